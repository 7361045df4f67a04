import type { PoolCore } from './core.js'
import type { PadUse } from './relay-access.js'

/**
 * What was cut since the account was written: kept in memory, because a row per request would cost more than the request.
 * A crash loses the books, not the bytes: what was leased and not booked is then 'crash' (possibly delivered).
 */
export class CutBooks {
  private keyBytes = 0
  private paddingBytes = 0
  private skippedBytes = 0
  private relayedBytes = 0
  private grantedBytes = 0

  constructor (private readonly core: PoolCore) {}

  /** `count` keys of `sizeBytes`, each in whole units of 8 bytes; `skippedBytes` at block ends. @returns bytes of the keys in whole units. */
  add (count: number, sizeBytes: number, skippedBytes: number): number {
    const unitBytes = sizeBytes + 7 & ~7
    this.keyBytes += count * sizeBytes
    this.paddingBytes += count * (unitBytes - sizeBytes)
    this.skippedBytes += skippedBytes
    return count * unitBytes
  }

  /** Pads, and the bits of relayed blocks that begin their way here. @returns `bytes`. */
  addPads (use: PadUse, bytes: number): number {
    if (use === 'relay') this.relayedBytes += bytes
    else this.grantedBytes += bytes
    return bytes
  }

  /** Moves what was cut from 'leased' to its accounts. Called inside a commit. */
  book (): void {
    const { account } = this.core
    account.delivered += this.keyBytes
    account.relay += this.relayedBytes
    this.core.burn('padding', this.paddingBytes)
    this.core.burn('tail', this.skippedBytes)
    this.core.burn('grant', this.grantedBytes)
    account.leased -= this.keyBytes + this.paddingBytes + this.skippedBytes + this.relayedBytes + this.grantedBytes
    this.keyBytes = this.paddingBytes = this.skippedBytes = this.relayedBytes = this.grantedBytes = 0
  }
}
