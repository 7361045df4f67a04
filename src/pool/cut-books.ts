import type { PoolCore } from './core.js'

/**
 * What was cut since the account was written: kept in memory, because a row per request would cost more than the request.
 * A crash loses the books, not the bytes: what was leased and not booked is then 'crash' (possibly delivered).
 */
export class CutBooks {
  private keyBytes = 0
  private paddingBytes = 0
  private skippedBytes = 0
  private relayedBytes = 0

  constructor (private readonly core: PoolCore) {}

  /** `count` keys of `sizeBytes`, each in `unitBytes`; `skippedBytes` at block ends. */
  add (count: number, sizeBytes: number, unitBytes: number, skippedBytes: number): void {
    this.keyBytes += count * sizeBytes
    this.paddingBytes += count * (unitBytes - sizeBytes)
    this.skippedBytes += skippedBytes
  }

  /** Pads, and the bits of blocks that begin their way here. */
  addRelayed (bytes: number): void { this.relayedBytes += bytes }

  /** Moves what was cut from 'leased' to its accounts. Called inside a commit. */
  book (): void {
    const { account } = this.core
    account.delivered += this.keyBytes
    account.relay += this.relayedBytes
    this.core.burn('padding', this.paddingBytes)
    this.core.burn('tail', this.skippedBytes)
    account.leased -= this.keyBytes + this.paddingBytes + this.skippedBytes + this.relayedBytes
    this.keyBytes = this.paddingBytes = this.skippedBytes = this.relayedBytes = 0
  }
}
