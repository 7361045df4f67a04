import type { BlockList } from './block-list.js'
import type { PoolCore } from './core.js'
import { LEASED_FRAMES_MAX, leaseReach } from './lease-reach.js'
import type { Stretch } from './leases.js'
import { usableBytes, type BlockRow } from './rows.js'

/** What of a lane's blocks can be leased next. */
export class LeasePlan {
  private readonly frameCounts = new WeakMap<BlockRow, number>()

  /** @param opened Blocks below the horizon; the first one is being leased. */
  constructor (private readonly core: PoolCore, private readonly opened: BlockList) {}

  /** Stretches of `bytes`, or what there is, behind the `leased` blocks. Blocks that are leased to their end leave `opened`. */
  take (bytes: number, leased: readonly BlockRow[]): Stretch[] {
    const out: Stretch[] = []
    const blocks = new Set(leased)
    let frames = 0
    for (const block of blocks) frames += this.framesIn(block)
    for (let block = this.opened.first; bytes > 0 && block !== undefined; block = this.opened.first) {
      if (!blocks.has(block)) {
        frames += this.framesIn(block)
        blocks.add(block)
      }
      if (frames > LEASED_FRAMES_MAX) break
      const end = usableBytes(block)
      const to = Math.min(end, block.spent + (Math.min(bytes, this.core.deps.limits.leaseMaxBytes) + 7 & ~7))
      out.push({ block, from: block.spent, to, last: to === end })
      bytes -= to - block.spent
      if (to < end) break
      this.opened.shift()
    }
    return out
  }

  /** How many of `bytes` could be leased at once, of these blocks in their order. */
  reach (lists: readonly Iterable<BlockRow>[], bytes: number): number { return leaseReach(lists, (block) => this.framesIn(block), bytes) }

  private framesIn (block: BlockRow): number {
    let count = this.frameCounts.get(block)
    if (count === undefined) this.frameCounts.set(block, count = this.core.framesOf(block.number).length)
    return count
  }
}
