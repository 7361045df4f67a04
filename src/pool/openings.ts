import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import type { BlockRow } from './rows.js'

/** Blocks in one horizon message at most. */
export const OPEN_MESSAGE_MAX = 64
const STUCK_MS = 1_000

/** Blocks that the owner has opened and the looker has not acknowledged yet, by lane index. */
export class Openings {
  private readonly byIndex = new Map<number, BlockRow>()
  /** Of these, what is below the horizon already and waits for an opening before it, whose acknowledgement was lost. */
  private readonly early = new Set<BlockRow>()
  /** When the first of them came to be it, or everything went out again: those that come behind it say nothing of whether it was lost. */
  private movedMs = 0
  /** The looker has said, in this start, that everything up to here is on its disk. */
  private acknowledgedIndex = 0
  /** What is opened behind this is not on disk: after a power cut the looker would remember more of this store than the store itself. */
  private durableTo: number

  constructor (private readonly core: PoolCore) { this.durableTo = core.meta.horizonMine }

  get size (): number { return this.byIndex.size }
  /** Lane index up to which the looker has acknowledged in this start, 0 for none. */
  get acknowledgedTo (): number { return this.acknowledgedIndex }
  values (): Iterable<BlockRow> { return this.byIndex.values() }
  has (block: BlockRow): boolean { return this.byIndex.get(block.index) === block }

  clear (): void {
    this.acknowledgedIndex = 0
    this.byIndex.clear()
    this.early.clear()
  }

  forget (block: BlockRow): void {
    if (this.has(block)) this.byIndex.delete(block.index)
    this.early.delete(block)
  }
  first (): BlockRow | undefined { return this.sorted()[0] }

  private sorted (): BlockRow[] { return [...this.byIndex.values()].sort((a, b) => a.index - b.index) }

  /** Opened up to here, on disk: may be said. */
  stored (index: number): void { this.durableTo = Math.max(this.durableTo, index) }

  add (blocks: readonly BlockRow[]): void {
    if (this.size === 0) this.movedMs = this.core.deps.clock.monoMs()
    for (const block of blocks) this.byIndex.set(block.index, block)
  }

  /**
   * Takes out the blocks that the looker refuses, and those that are below the horizon now with all before them: a lane is spent in the order
   * of its indices. After a clean stop its cursor says what is spent; a block behind it that had been spent from would be spent again (I1).
   */
  acknowledged (body: Body<'horizonAck'>): { opened: BlockRow[], refused: BlockRow[] } {
    const refused: BlockRow[] = [], opened: BlockRow[] = []
    for (const block of this.sorted()) {
      if (block.index < body.from || block.index > body.index) continue
      if (body.refused.includes(block.number)) refused.push(block)
      else this.early.add(block)
    }
    for (const block of refused) this.forget(block)
    for (const block of this.sorted()) {
      if (!this.early.has(block)) break
      this.forget(block)
      this.acknowledgedIndex = block.index
      opened.push(block)
    }
    if (opened.length + refused.length > 0) this.movedMs = this.core.deps.clock.monoMs()
    return { opened, refused }
  }

  /** An opening that found no pad, or whose acknowledgement found none, goes out again. */
  resendIfStuck (): void {
    if (this.size > 0 && this.core.deps.clock.monoMs() - this.movedMs >= STUCK_MS) this.resend()
  }

  /** Everything goes out again, also what waits for others, so that an acknowledgement comes that lets it go: one message for each run of consecutive indices. */
  resend (): void {
    this.movedMs = this.core.deps.clock.monoMs()
    const all = this.sorted().filter((b) => b.index <= this.durableTo)
    while (all.length > 0) {
      let run = 1
      while (run < all.length && run < OPEN_MESSAGE_MAX && all[run]!.index === all[0]!.index + run) run++
      const part = all.splice(0, run)
      this.core.send('horizon', { lane: 0, from: part[0]!.index, blocks: part.map((b) => b.number) })
    }
  }
}
