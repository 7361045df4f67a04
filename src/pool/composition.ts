import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { SEED_BYTES } from './epochs.js'
import type { Taken } from './flights.js'
import type { PendingFrames } from './pending.js'
import { encodeFrames } from './row-codec.js'
import { framesKey, usableBytes, type BlockRow, type FrameRef, type Purpose } from './rows.js'

export const BLOCK_FRAMES_MAX = 16
/**
 * Frames become blocks in rounds: a commit, a flush and a write of each message cost as much for one block as for several. At the
 * greatest rate of a link known (115.8 Mbit/s) a round is four or five blocks.
 */
const ROUND_MS = 20
/** A round of so many is followed by another at once: there is no rest while frames come faster. */
const ROUND_BLOCKS_MAX = 16
/** A block of pads that is shorter than this wastes too much on its confirmation. */
const USEFUL_BYTES = 448

/** What a block must hold to serve its purpose: the seed of an ID epoch, or a pad, or a key. */
const leastBytes = (purpose: Purpose): number => purpose === 'id' ? SEED_BYTES : 16

const bytesOf = (frames: readonly FrameRef[]): number => frames.reduce((sum, frame) => sum + frame.length, 0)

/** Whether these frames can make no block of this purpose. */
export const isTooSmall = (purpose: Purpose, frames: readonly FrameRef[]): boolean => usableBytes({ bytes: bytesOf(frames) }) < leastBytes(purpose)

export interface NextBlock { readonly owner: 'mine' | 'theirs', readonly purpose: Purpose, readonly epoch: number, readonly framesMax: number }

/** `row`: of its frames, and how they were taken, if it was written just now. */
export interface Composed { readonly block: BlockRow, readonly frames: readonly FrameRef[], readonly row?: Uint8Array, readonly taken?: Taken }

/** How many blocks may be made: of any kind, and of urgent ones, which are all but those for keys of the oldest frames. */
export interface Room { readonly any: number, readonly urgent: number }

interface Plan { readonly next: NextBlock, readonly frames: FrameRef[], readonly isNewest: boolean }

/**
 * Which waiting frames make the proposer's next block, and when (design 3.2): a block closes when it is full, or when its oldest
 * frame waited `blockCloseMs`.
 */
export class Composition {
  /** The next round has not begun. */
  private isResting = false

  /** @param begin  A round may begin that no frame begins. */
  constructor (
    private readonly core: PoolCore, private readonly pending: PendingFrames, private readonly next: () => NextBlock | undefined,
    private readonly takesNewest: (purpose: Purpose) => boolean, private readonly begin: () => void,
  ) {}

  /** Whether a round would make any block. */
  isDue (room: Room): boolean { return !this.isResting && this.plan(room, []) !== undefined }

  /** The blocks that close now. */
  round (tx: KvWriter, room: Room): Composed[] {
    const blocks: Composed[] = []
    while (!this.isResting && blocks.length < ROUND_BLOCKS_MAX) {
      const plan = this.plan(room, blocks)
      if (plan === undefined) break
      blocks.push(this.compose(tx, plan))
    }
    if (blocks.length > 0 && blocks.length < Math.min(room.any, ROUND_BLOCKS_MAX)) this.rest()
    return blocks
  }

  private rest (): void {
    this.isResting = true
    this.core.deps.clock.after(ROUND_MS, () => {
      this.isResting = false
      this.begin()
    })
  }

  /** What would be composed now, after these. */
  private plan (room: Room, made: readonly Composed[]): Plan | undefined {
    const { core, pending } = this
    if (pending.size === 0) return undefined
    const next = this.next()
    if (next === undefined) return undefined
    const isNewest = this.takesNewest(next.purpose) && !(next.purpose === 'app' && made.some(({ taken }) => taken?.isNewest === true))
    if (made.length >= (isNewest || next.purpose !== 'app' ? room.urgent : room.any)) return undefined
    const waitedMs = core.deps.clock.monoMs() - (pending.oldestMs ?? 0)
    if (pending.size < next.framesMax && waitedMs < core.deps.limits.blockCloseMs) return undefined
    const frames = this.enough(next, isNewest)
    if (frames === undefined) return undefined // Short frames, and too few of them for the purpose yet.
    if (bytesOf(frames) < USEFUL_BYTES && next.purpose === 'auth' && frames.length < BLOCK_FRAMES_MAX && waitedMs < core.deps.limits.blockCloseMs) return undefined
    return { next, frames, isNewest }
  }

  /** Writes the block and takes its frames from those that wait. Its number is never used again. */
  private compose (tx: KvWriter, { next, frames, isNewest }: Plan): Composed {
    const { core } = this, taken = { orders: frames.map((frame) => this.pending.orderOf(frame)), isNewest }
    const block: BlockRow = {
      number: ++core.meta.highestBlock, owner: next.owner, purpose: next.purpose, lane: 0, epoch: next.epoch, state: 'proposed',
      bytes: bytesOf(frames), index: 0, spent: 0, bornMs: core.deps.ageMs(), bornWallMs: core.deps.clock.wallMs(), closedMs: 0,
    }
    const row = encodeFrames(frames)
    core.putBlock(tx, block)
    tx.put(framesKey(core.pool, block.number), row)
    this.pending.remove(frames)
    if (next.purpose === 'app') core.given = { owner: next.owner, inARow: core.given.owner === next.owner ? core.given.inARow + 1 : 1 }
    return { block, frames, row, taken }
  }

  /** The oldest frames for a block, or the newest: `framesMax`, or more if they are so short that they hold too little for its purpose. */
  private enough (plan: NextBlock, isNewest: boolean): FrameRef[] | undefined {
    const least = leastBytes(plan.purpose)
    for (let count = plan.framesMax; count <= BLOCK_FRAMES_MAX; count++) {
      const frames = isNewest ? this.pending.newest(count) : this.pending.peek(count)
      const usable = usableBytes({ bytes: bytesOf(frames) })
      // Of short frames a block takes more, as far as they are there: each block costs 48 bytes.
      if (usable >= least && (usable >= USEFUL_BYTES || plan.purpose === 'id' || frames.length < count || count === BLOCK_FRAMES_MAX)) return frames
      if (frames.length < count) return undefined
    }
    return undefined
  }
}
