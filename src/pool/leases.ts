import type { LaneHandle } from '../device/native.js'
import type { PoolCore } from './core.js'
import type { BlockRow } from './rows.js'
import type { BlockViews } from './views.js'

const UNKNOWN = -1
/** What is handed to the vault in one turn of the loop beside the first stretch: a third of a millisecond. */
const TURN_BYTES = 15_872, TURN_STRETCHES = 8

/** Bytes [from, to) of a block that are spent on disk. `last`: nothing behind them will ever be leased. */
export interface Stretch { readonly block: BlockRow, readonly from: number, readonly to: number, readonly last: boolean }

/** What a lane has leased, in order: stretches whose flush is under way or for which the arena has no room, then those in the vault. */
export class Leases {
  private lane: LaneHandle
  /** In the vault, the front first; as the vault has them. */
  private readonly held: Stretch[] = []
  /** Committed as spent, not in the vault yet. */
  private readonly coming: Stretch[] = []
  /** Whoever waited for a lease when the pool went finds none. */
  private isDisposed = false
  /** Bytes left in the vault, or UNKNOWN: each request asks, and a cut tells them. */
  private left = UNKNOWN

  constructor (private readonly core: PoolCore, private readonly views: BlockViews) { this.lane = core.deps.vault.createLane() }

  get handle (): LaneHandle { return this.lane }
  /** Bytes that can be cut now. */
  get leftBytes (): number {
    if (this.isDisposed) return 0
    if (this.left === UNKNOWN) this.left = this.core.deps.vault.laneLeft(this.lane)
    return this.left
  }
  get isComing (): boolean { return this.coming.length > 0 }
  /** Bytes that are being flushed, or wait for room in the arena: they can be cut soon. */
  get comingBytes (): number { return this.coming.reduce((sum, s) => sum + s.to - s.from, 0) }
  get front (): BlockRow | undefined { return (this.held[0] ?? this.coming[0])?.block }
  /** Every block with a leased byte that is not cut. */
  blocks (): BlockRow[] { return [...new Set([...this.held, ...this.coming].map((s) => s.block))] }
  has (block: BlockRow): boolean { return this.held.some((s) => s.block === block) || this.coming.some((s) => s.block === block) }

  /** Blocks of which the next `count` keys of `unitBytes` (a multiple of 8) are cut: no key lies in two. */
  next (count: number, unitBytes: number): readonly BlockRow[] {
    const { vault } = this.core.deps, [number] = vault.laneCursor(this.lane), blocks: BlockRow[] = []
    let runBytes = vault.laneRun(this.lane), left = count
    for (let i = this.held.findIndex((s) => s.block.number === number); i >= 0 && i < this.held.length && left > 0; i++) {
      const fit = Math.floor(runBytes / unitBytes), after = this.held[i + 1]
      if (fit > 0) blocks.push(this.held[i]!.block)
      left -= fit
      runBytes = after === undefined ? 0 : after.to - after.from
    }
    return blocks
  }

  /** Where the next byte comes from, or undefined. */
  cursor (): { index: number, offset: number } | undefined {
    const [number, offset] = this.core.deps.vault.laneCursor(this.lane)
    const current = this.held.find((s) => s.block.number === number)?.block
    if (current !== undefined) return { index: current.index, offset }
    const next = this.coming[0]
    return next === undefined ? undefined : { index: next.block.index, offset: next.from }
  }

  /** Where each block with leased bytes that are not cut goes on: what a lane gives back that is never cut from again. */
  uncut (): Map<BlockRow, number> {
    const places = new Map<BlockRow, number>(), [number, offset] = this.core.deps.vault.laneCursor(this.lane)
    const current = this.held.findIndex((s) => s.block.number === number)
    if (current >= 0) places.set(this.held[current]!.block, offset) // Those before it are cut.
    for (const s of [...this.held.slice(current >= 0 ? current : this.held.length), ...this.coming]) if (!places.has(s.block)) places.set(s.block, s.from)
    return places
  }

  /** Stretches that the caller commits as spent now. `push` follows when that is flushed. */
  add (stretches: readonly Stretch[]): void { this.coming.push(...stretches) }

  /**
   * Hands what is flushed to the vault (I2), as much as one turn bears: each stretch opens up to 16 records, and requests wait behind it.
   * @returns 'full': the arena has no room, to be called again at the next request or tick. A stretch whose records do not open: it is
   * out of the lane, and the caller books it.
   */
  push (): 'pushed' | 'full' | Stretch {
    let pushed = this.pushNext(), leftBytes = TURN_BYTES
    for (let i = 1; i < TURN_STRETCHES && pushed === 'pushed' && this.coming.length > 0; i++) {
      leftBytes -= this.coming[0]!.to - this.coming[0]!.from
      if (leftBytes < 0) break
      pushed = this.pushNext()
    }
    return pushed
  }

  private pushNext (): 'pushed' | 'full' | Stretch {
    const s = this.coming[0]
    if (s === undefined) return 'pushed'
    const handle = this.views.reach(s.block, s.from, s.to)
    if (handle === 'full') return 'full'
    this.coming.shift()
    if (handle === 'damaged') return s
    this.core.deps.vault.lanePush(this.lane, handle, s.from, s.to, s.last)
    this.left = UNKNOWN
    this.keep(s)
    return 'pushed'
  }

  /** The vault lengthens its last stretch when a lease continues it, and `laneTrim` counts stretches as the vault has them. */
  private keep (s: Stretch): void {
    const before = this.held.at(-1)
    if (before === undefined || before.block !== s.block || before.to !== s.from || before.last) {
      this.held.push(s)
      return
    }
    this.held[this.held.length - 1] = { ...s, from: before.from }
    this.views.leave(s.block.number) // One entry for one stretch.
  }

  /** Keys were cut. @param taken What the vault told of it. @returns whether there is something to trim. */
  wasCut (taken: Uint32Array): boolean {
    this.left = taken[4]!
    return taken[5]! > 0
  }

  /** The lane was moved by something else than a cut. */
  wasMoved (): void { this.left = UNKNOWN }

  /** Forgets what is cut. @returns blocks of which the last byte is. */
  trim (): BlockRow[] {
    const done = this.core.deps.vault.laneTrim(this.lane)
    const finished: BlockRow[] = []
    for (let i = 0; i < done; i++) {
      const s = this.held.shift()!
      this.views.leave(s.block.number)
      if (s.last) finished.push(s.block)
    }
    return finished
  }

  /**
   * Some blocks are not cut from any more. The vault leases no byte twice, so if it holds some of them everything in it goes: at most
   * some seconds of use. @returns bytes that went uncut, and other blocks that are at their end by it.
   */
  withdraw (blocks: ReadonlySet<BlockRow>): { uncutBytes: number, finished: BlockRow[] } {
    let uncutBytes = 0
    for (let i = this.coming.length - 1; i >= 0; i--) {
      const s = this.coming[i]!
      if (!blocks.has(s.block)) continue
      uncutBytes += s.to - s.from
      this.coming.splice(i, 1)
    }
    if (!this.held.some((s) => blocks.has(s.block))) return { uncutBytes, finished: [] }
    uncutBytes += this.leftBytes
    const finished = this.held.filter((s) => s.last && !blocks.has(s.block)).map((s) => s.block)
    this.dropHeld()
    return { uncutBytes, finished }
  }

  private dropHeld (): void {
    for (const s of this.held) this.views.leave(s.block.number)
    this.held.length = 0
    this.core.deps.vault.dropLane(this.lane)
    this.lane = this.core.deps.vault.createLane()
    this.left = UNKNOWN
  }

  /** Forgets everything. What it held is the caller's to book. */
  clear (): void {
    this.dropHeld()
    this.coming.length = 0
  }

  dispose (): void {
    this.isDisposed = true
    this.coming.length = 0
    this.core.deps.vault.dropLane(this.lane)
  }
}
