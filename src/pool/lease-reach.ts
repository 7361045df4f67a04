import { BLOCK_FRAMES_MAX } from './composition.js'
import { usableBytes, type BlockRow } from './rows.js'

/** Frames of leased blocks, at most: it bounds what the lane pins in the arena. As many as eight full blocks have. */
export const LEASED_FRAMES_MAX = 128
/** A job of the relay names the stretches that it takes, and a message holds 64 of them: so it counts on no more blocks. */
const BLOCKS_MAX = 48
/** What others take before of the block at the front leaves its frames pinned: one block less is counted on, or the rest would be waited for in vain. */
const REACH_FRAMES_MAX = LEASED_FRAMES_MAX - BLOCK_FRAMES_MAX

/**
 * How many of `bytes` the blocks at the front of a lane hold, as leases may cover REACH_FRAMES_MAX frames of
 * them at once: of blocks of short frames that is little. Frames are counted only where it is not plain without.
 */
export const leaseReach = (lists: readonly Iterable<BlockRow>[], framesIn: (block: BlockRow) => number, bytes: number): number => {
  let reach = 0, frames = 0, framesAtMost = 0, blocks = 0, isCounted = false
  const passed: BlockRow[] = []
  for (const list of lists) {
    for (const block of list) {
      framesAtMost += BLOCK_FRAMES_MAX
      if (framesAtMost > REACH_FRAMES_MAX && !isCounted) {
        isCounted = true
        for (const before of passed) frames += framesIn(before)
      }
      if (isCounted) frames += framesIn(block)
      if (frames > REACH_FRAMES_MAX || ++blocks > BLOCKS_MAX) return reach
      if (!isCounted) passed.push(block)
      reach += usableBytes(block) - block.spent
      if (reach >= bytes) return bytes
    }
  }
  return reach
}
