import type { BlockHandle, LaneHandle } from '../device/native.js'
import { GRANT_ASSOCIATION, RELAY_ASSOCIATION, type Claims } from './claims.js'
import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import type { OwnerLane } from './owner-lane.js'
import { usableBytes, type BlockRow } from './rows.js'
import { Rate } from './rate.js'
import type { BlockViews } from './views.js'

/** A stretch of a lane, as a neighbour names it. */
export interface PadPlace { readonly block: number, readonly offset: number, readonly length: number }

/** What pads are for: the account in which they stand (I10). Grants are booked as burned, cause 'grant'. */
export type PadUse = 'relay' | 'grant'

/** The relay leaves what SAEs use in so long: they ask before it takes again. */
const KEPT_AHEAD_S = 2
/** Two rates that decay in steps of their own (rate.ts): their difference is good to this part. */
const RATE_SLACK = 1.03

/**
 * What the relay and named grants may do with a pool: take bytes of our own lane at its cursor, and bytes of the peer's lane that it
 * names, each once. Both are spent on disk before they are used (I2).
 */
export class RelayAccess {
  /** Of the lane's use, what went this way. */
  private readonly relayed: Rate
  constructor (
    private readonly core: PoolCore, private readonly lane: OwnerLane, private readonly claims: Claims,
    private readonly views: BlockViews, private readonly claimed: (blocks: readonly number[]) => void, private readonly use: PadUse = 'relay',
  ) { this.relayed = new Rate(core.deps.clock) }

  private get association (): number { return this.use === 'relay' ? RELAY_ASSOCIATION : GRANT_ASSOCIATION }

  get isReady (): boolean { return this.core.ready && this.lane.spending && this.core.isServing }

  // --- our lane ---------------------------------------------------------------------------------------------------

  /** Bytes that our lane could deliver. */
  get freeBytes (): number { return this.lane.freeBytes(this.core.ready) }
  get leasedBytes (): number { return this.lane.leasedBytes }
  /** How many of `bytes` can be leased at once: less where frames are short. */
  reachBytes (bytes: number): number { return this.lane.reachBytes(bytes) }
  /** What the SAEs of the two ends keep of our lane: `leastBytes`, or more when they use more. */
  keptBytes (leastBytes: number): number {
    const ofSaes = this.lane.used.perSecond() - this.relayed.perSecond() * RATE_SLACK
    return Math.max(leastBytes, Math.ceil(ofSaes * KEPT_AHEAD_S))
  }
  /** Leased bytes in one block at the cursor. */
  get runBytes (): number { return this.lane.runBytes }

  /** Asks for leases until `bytes` are there, then runs `then`, at once if they are. The caller bounds the time it waits. */
  lease (bytes: number, then: () => void): void {
    if (this.lane.leasedBytes >= bytes) { then(); return }
    this.lane.afterLease(then)
    this.lane.lease(bytes)
  }

  /** Takes `length` bytes of the run, a multiple of 8: `use` moves the cursor over them in the vault. */
  take (length: number, use: (lane: LaneHandle) => void): void {
    this.relayed.add(length)
    this.lane.take(length, use, this.use)
  }

  /** After the last `take` of a job: what is cut is let go and leases are extended. */
  settle (): void { this.lane.lease() }

  // --- the neighbour's lane ---------------------------------------------------------------------------------------

  /** Sets claims in memory for all of `pads`, or says what is wrong and sets none. `store` and `letGo` follow. */
  claim (pads: readonly PadPlace[]): string {
    const rows: BlockRow[] = []
    if (this.core.held !== '') return `the pool is on hold: ${this.core.held}`
    for (const pad of pads) {
      const block = this.core.blocks.get(pad.block)
      const end = pad.offset + pad.length
      if (block === undefined || block.owner !== 'theirs' || block.purpose !== 'app') return `block ${pad.block} is not in the sender's lane`
      if (pad.offset % 8 !== 0 || end > usableBytes(block)) return `block ${pad.block} has no bytes ${pad.offset} to ${end}`
      if (block.state !== 'open' && !(block.state === 'closed' && end <= block.spent)) return `block ${pad.block} is not below the horizon`
      if (this.claims.check(block, pad.offset / 8, pad.length, this.association, 0) !== 'fresh') return `bytes ${pad.offset} to ${end} of block ${pad.block} are spent already`
      if (pads.some((other) => other !== pad && other.block === pad.block && other.offset < end && pad.offset < other.offset + other.length)) return `block ${pad.block} is named twice`
      rows.push(block)
    }
    pads.forEach((pad, i) => { this.claims.take(rows[i]!, pad.offset / 8, pad.length, this.association, 0, 1) })
    return ''
  }

  /** Writes the claims in a transaction of the caller's. */
  write (tx: KvWriter, pads: readonly PadPlace[]): void { for (const pad of pads) this.claims.write(tx, pad.block, pad.offset / 8) }

  /** Writes the claims; `then` runs when they are on disk. */
  store (pads: readonly PadPlace[], then: () => void): void {
    this.core.commit((tx) => { this.write(tx, pads) })
    this.core.durable(then)
  }

  /** Opens a claimed stretch; `use` runs within the call. False if it cannot be opened: the bits are lost. */
  reach (pad: PadPlace, use: (block: BlockHandle) => void): boolean {
    const block = this.core.blocks.get(pad.block)
    if (block === undefined) return false
    const handle = this.views.reach(block, pad.offset, pad.offset + pad.length)
    if (typeof handle === 'string') return false
    try { use(handle) } finally { this.views.leave(pad.block) }
    return true
  }

  /** Whether a stretch that was reached is still open in the vault. */
  isOpen (pad: PadPlace): boolean { return this.views.isLoaded(pad.block, pad.offset, pad.offset + pad.length) }

  /** The claims are used, or will never be. */
  letGo (pads: readonly PadPlace[]): void {
    for (const { block } of pads) this.claims.letGo(block)
    this.claimed([...new Set(pads.map(({ block }) => block))].filter((number) => this.core.blocks.get(number)?.state === 'closed'))
  }
}
