import { KmeError } from '../kernel/errors.js'
import type { KvWriter } from '../store/kv.js'
import { recordSlot } from '../store/record.js'
import type { PoolCore } from './core.js'
import { removeRecords, type KnownRecord } from './frame-rows.js'
import { framesKey, tombKey, usableBytes, CONFIRM_BYTES, type BlockRow, type FrameRef } from './rows.js'
import type { BlockViews } from './views.js'

/** How many blocks' frame names are remembered after erasure: 2^16 blocks are up to 2^20 frames (device.md 5.5). */
const TOMBSTONES_MAX = 2 ** 16
const HEADER_BYTES = 64

/**
 * Removes blocks and frames for good. What is booked here is what was still *stock* of them; what was delivered,
 * leased or used was booked when that happened (I10).
 */
export class Erasure {
  /** @param gone Nothing about the block is kept, nor its claims. */
  constructor (private readonly core: PoolCore, private readonly views: BlockViews, private readonly gone: (tx: KvWriter, number: number) => void) {}

  /** `stockBytes` of the spendable part were never named and are burned with `cause`; the rest of it is booked already. */
  block (tx: KvWriter, block: BlockRow, stockBytes: number, cause: string): void {
    const { core } = this
    core.burn(cause, stockBytes)
    if (block.state === 'proposed' || block.state === 'accepted') core.burn(cause, block.bytes - usableBytes(block))
    this.frames(tx, core.framesOf(block.number), (i) => core.headers.of(block.number, i))
    tx.remove(framesKey(core.pool, block.number))
    core.removeBlock(tx, block.number)
    core.account.blocksErased++
    this.views.drop(block.number)
    this.gone(tx, block.number)
  }

  /** Both sides know the block: its confirmation bytes, and up to 7 that fill no unit, leave the stock. */
  bookConfirmed (block: BlockRow): void {
    this.core.account.confirmation += Math.min(CONFIRM_BYTES, block.bytes)
    this.core.burn('padding', block.bytes - Math.min(CONFIRM_BYTES, block.bytes) - usableBytes(block))
  }

  /** A record whose header is damaged names a wrong slot: its hour's key then stays longer than it must, which is the safe side. */
  private bookOut (tx: KvWriter, records: readonly Uint8Array[]): void {
    const counts = new Map<number, number>()
    for (const record of records) this.guard(() => { const slot = recordSlot(record); counts.set(slot, (counts.get(slot) ?? 0) + 1) })
    for (const [slot, count] of counts) this.guard(() => { this.core.deps.keys.removed(tx, slot, count) })
  }

  private guard (run: () => void): void {
    try { run() } catch (error) {
      if (error instanceof KmeError && error.code !== 'STORE_CORRUPT') throw error
      this.core.security('integrity.record', `a record of ${this.core.pool} names a key slot that does not count it. Run qkme store check`)
    }
  }

  /** Removes frames' records; their names and fingerprints stay known, so that a resent or replayed frame is not taken again. */
  frames (tx: KvWriter, frames: readonly FrameRef[], known?: (index: number) => KnownRecord | undefined): void {
    const { core } = this
    const headers = removeRecords(tx, frames, known), whole = headers.filter((header) => header.length === HEADER_BYTES)
    this.bookOut(tx, headers)
    if (whole.length === 0) return
    const n = ++core.meta.tombstones
    tx.put(tombKey(core.pool, n), Buffer.concat(whole))
    if (n > TOMBSTONES_MAX) tx.remove(tombKey(core.pool, n - TOMBSTONES_MAX))
  }
}
