import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import type { BlockRow } from './rows.js'

/** Blocks in one horizon message at most. */
export const OPEN_MESSAGE_MAX = 64
const STUCK_MS = 1_000

/** Blocks that the owner has opened and the looker has not acknowledged yet, by lane index. */
export class Openings {
  private readonly byIndex = new Map<number, BlockRow>()
  private sentMs = 0

  constructor (private readonly core: PoolCore) {}

  get size (): number { return this.byIndex.size }
  values (): Iterable<BlockRow> { return this.byIndex.values() }
  clear (): void { this.byIndex.clear() }
  has (block: BlockRow): boolean { return this.byIndex.get(block.index) === block }
  forget (block: BlockRow): void { if (this.has(block)) this.byIndex.delete(block.index) }
  first (): BlockRow | undefined { return this.sorted()[0] }

  private sorted (): BlockRow[] { return [...this.byIndex.values()].sort((a, b) => a.index - b.index) }

  add (blocks: readonly BlockRow[]): void {
    for (const block of blocks) this.byIndex.set(block.index, block)
    this.sentMs = this.core.deps.clock.monoMs()
  }

  /** Takes out what the acknowledgement names: blocks below the horizon now, and those that the looker refuses. */
  acknowledged (body: Body<'horizonAck'>): { opened: BlockRow[], refused: BlockRow[] } {
    const named = this.sorted().filter((b) => b.index >= body.from && b.index <= body.index)
    for (const block of named) this.byIndex.delete(block.index)
    return { opened: named.filter((b) => !body.refused.includes(b.number)), refused: named.filter((b) => body.refused.includes(b.number)) }
  }

  /** An opening that found no pad, or whose acknowledgement found none, goes out again. */
  resendIfStuck (): void {
    if (this.size > 0 && this.core.deps.clock.monoMs() - this.sentMs >= STUCK_MS) this.resend()
  }

  /** Everything not acknowledged goes out again: one message for each run of consecutive indices. */
  resend (): void {
    this.sentMs = this.core.deps.clock.monoMs()
    const all = this.sorted()
    while (all.length > 0) {
      let run = 1
      while (run < all.length && run < OPEN_MESSAGE_MAX && all[run]!.index === all[0]!.index + run) run++
      const part = all.splice(0, run)
      this.core.send('horizon', { lane: 0, from: part[0]!.index, blocks: part.map((b) => b.number) })
    }
  }
}
