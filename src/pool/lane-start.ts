import type { KvWriter } from '../store/kv.js'
import type { BlockList } from './block-list.js'
import type { PoolCore } from './core.js'
import type { Openings } from './openings.js'
import { usableBytes, type BlockRow } from './rows.js'

/** Where a lane stopped: the next byte of it. */
export interface Cursor { readonly index: number, readonly offset: number }

export interface LaneStartDeps {
  readonly core: PoolCore
  readonly opened: BlockList
  readonly opening: Openings
  readonly close: (blocks: readonly BlockRow[], cause: string) => void
  readonly burnLeased: (cause: string) => void
  /** A doubt. */
  readonly closeAll: (blocks: readonly BlockRow[]) => void
}

/** How an owner's lane goes on at a start, with the blocks that were opened before. */
export class LaneStart {
  constructor (private readonly deps: LaneStartDeps) {}

  /** A pool with itself goes on behind what was leased: nobody else counts on a horizon, and what is spent is on disk. */
  goOn (blocks: readonly BlockRow[]): void {
    const { opened, close, burnLeased } = this.deps
    burnLeased('crash')
    const live = this.closeOld(blocks) // The power went before they were closed.
    close(live.filter((b) => b.spent >= usableBytes(b)), 'spent')
    for (const b of live) if (b.spent < usableBytes(b)) opened.add(b)
  }

  /**
   * After a clean stop: the first block goes on at the cursor, the ones before it are closed. What nothing was spent of is opened once
   * more: its opening may never have reached the looker, or been refused (I5); a repeated one is only acknowledged.
   */
  resume (blocks: readonly BlockRow[], cursor: Cursor): void {
    const { core, opened, opening, close, burnLeased, closeAll } = this.deps, offsetOf = (b: BlockRow): number => b.index === cursor.index ? cursor.offset : 0
    const before = blocks.filter((b) => b.index < cursor.index), after = blocks.filter((b) => b.index >= cursor.index)
    const uncut = after.reduce((sum, b) => sum + Math.max(0, b.spent - offsetOf(b)), 0)
    // A cursor gives back no more than was leased and not cut; else the lane was spent in another order, or from since: a doubt closes (I4).
    if (uncut > core.account.leased) { closeAll(blocks); return }
    core.commit((tx) => { for (const b of after) takeBack(core, tx, b, offsetOf(b)) })
    burnLeased('crash')
    if (before.length > 0) close(before, 'spent')
    const live = this.closeOld(after) // An ID epoch began new numbers while the lane waited to go on.
    for (const b of live) if (b.spent > 0) opened.add(b)
    opening.add(live.filter((b) => b.spent === 0))
    opening.resend()
  }

  /** Key IDs of blocks before the numbers of associations began anew would name those of the old space. @returns the others. */
  private closeOld (blocks: readonly BlockRow[]): BlockRow[] {
    const isOld = (b: BlockRow): boolean => b.epoch < this.deps.core.meta.generation
    this.deps.close(blocks.filter(isOld), 'epoch')
    return blocks.filter((b) => !isOld(b))
  }
}

/** What was leased and not cut from `offset` on is free again. Inside a commit. */
export const takeBack = (core: PoolCore, tx: KvWriter, block: BlockRow, offset: number): void => {
  core.account.leased -= Math.max(0, block.spent - offset)
  block.spent = Math.min(block.spent, offset)
  core.putBlock(tx, block)
}
