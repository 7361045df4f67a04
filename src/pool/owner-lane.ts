import { CUT_INSUFFICIENT, type LaneHandle } from '../device/native.js'
import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import { BlockEnds } from './block-ends.js'
import { BlockList } from './block-list.js'
import { CutBooks } from './cut-books.js'
import type { Erasure } from './erasure.js'
import { LaneStart, takeBack, type Cursor } from './lane-start.js'
import { LastFifth } from './last-fifth.js'
import { LeaseNeed } from './lease-need.js'
import { LeasePlan } from './lease-plan.js'
import { Leases, type Stretch } from './leases.js'
import { OPEN_MESSAGE_MAX, Openings } from './openings.js'
import { Rate } from './rate.js'
import type { PadUse } from './relay-access.js'
import { usableBytes, type BlockRow } from './rows.js'
import type { BlockViews } from './views.js'

const OPENING_MAX = 256
const CLOSE_BATCH = 16, WAITERS_MAX = 1_024

/**
 * The blocks that this KME owns and cuts keys from. A block is opened (the looker stores its lane index), then leased
 * piece by piece (flushed as spent), then cut by the addon. Each step is ahead of demand, so that a request waits for
 * nothing (design 3.5, 3.6).
 */
export class OwnerLane {
  private readonly leases: Leases
  /** Usable and not opened, by number. */
  private readonly unopened = new BlockList((block) => block.number)
  /** Opened, waiting for the looker's acknowledgement. */
  private readonly opening: Openings
  /** Below the horizon, by lane index; the first one is being leased. */
  private readonly opened = new BlockList((block) => block.index)
  private readonly finished: BlockRow[] = []
  private leasing = false
  private pushing = false
  private hasMore = false
  private readonly plan: LeasePlan
  readonly used: Rate
  private readonly need: LeaseNeed
  private readonly books: CutBooks
  private readonly ends: BlockEnds
  private readonly lastFifth: LastFifth
  /** How it goes on after a start. */
  readonly start: LaneStart
  spending = false
  /** Blocks opened, decayed by the pool's tick: what this side uses. */
  openedLately = 0
  private readonly waiters: (() => void)[] = []

  constructor (
    private readonly core: PoolCore, views: BlockViews, erasure: Erasure,
    /** A pool with itself has no looker: a block is below the horizon as soon as its index is on disk. */
    private readonly alone: boolean, keepForLocal: (block: BlockRow) => boolean,
  ) {
    this.leases = new Leases(core, views)
    this.used = new Rate(core.deps.clock)
    this.need = new LeaseNeed(core.deps.limits, this.used)
    this.books = new CutBooks(core)
    this.opening = new Openings(core)
    this.plan = new LeasePlan(core, this.opened)
    this.ends = new BlockEnds(core, erasure, this.books, alone, keepForLocal)
    this.start = new LaneStart({
      core, opened: this.opened, opening: this.opening, close: (blocks, cause) => { this.close(blocks, cause) },
      burnLeased: (cause) => { this.burnLeased(cause) }, closeAll: (blocks) => { this.closeAllOpened(blocks) },
    })
    this.lastFifth = new LastFifth(() => this.freeBytes(core.ready || alone))
  }

  // --- stock ------------------------------------------------------------------------------------------

  add (block: BlockRow): void {
    if (block.state !== 'usable' || block.owner !== 'mine' || this.unopened.has(block) || this.core.blocks.get(block.number) !== block) return
    // It was proposed, or granted, before our association numbers began again: its key IDs would name associations of the old space.
    if (block.epoch < this.core.meta.generation) { this.burnUnopened([block], 'epoch'); return }
    this.unopened.add(block)
    this.extend()
  }

  /** Bytes that this lane can still deliver: `connected` counts what the horizon does not cover yet, too. */
  freeBytes (connected: boolean): number {
    let bytes = this.leases.leftBytes + this.leases.comingBytes + this.opened.freeBytes
    if (!connected) return bytes
    for (const b of this.opening.values()) bytes += usableBytes(b)
    return bytes + this.unopened.freeBytes
  }

  /** Lane index of the block that is being spent, or of the next. */
  get cursorIndex (): number { return this.leases.front?.index ?? this.opened.first?.index ?? this.core.meta.horizonMine + 1 }
  get unopenedCount (): number { return this.unopened.size }
  oldestBornMs (): number { return this.leases.front?.bornMs ?? this.opened.first?.bornMs ?? this.unopened.first?.bornMs ?? this.core.deps.ageMs() }

  /** Gives away up to `count` blocks wholly above the horizon, youngest first. */
  takeForGrant (count: number): BlockRow[] { return this.unopened.takeLast(count) }

  // --- horizon ------------------------------------------------------------------------------------------

  /** Opens blocks until the runway is covered: `runwayMs` of use, at least two blocks (design 2). */
  extend (): void {
    const { core } = this
    if (!this.spending || (!core.ready && !this.alone)) return
    const wanted = Math.max(this.used.perSecond() * core.deps.limits.runwayMs / 1_000, this.need.askedBytes)
    let runway = this.opened.freeBytes
    let blocks = this.opening.size + this.opened.size
    if (this.opened.first !== undefined && this.opened.first.spent > 0) blocks-- // Leased in part; the others are whole.
    for (const b of this.opening.values()) runway += usableBytes(b)
    const fresh: BlockRow[] = []
    while (this.unopened.size > 0 && this.opening.size + fresh.length < OPENING_MAX && fresh.length < OPEN_MESSAGE_MAX && (runway < wanted || blocks < 2)) {
      const block = this.unopened.shift()!
      fresh.push(block)
      runway += usableBytes(block)
      blocks++
    }
    if (fresh.length > 0) { this.open(fresh) } else this.lease()
  }

  private open (blocks: BlockRow[]): void {
    const { core } = this
    const from = core.meta.horizonMine + 1
    this.openedLately += blocks.length
    core.commit((tx) => {
      for (const block of blocks) {
        block.index = ++core.meta.horizonMine
        block.state = 'open'
        core.putBlock(tx, block)
      }
    })
    this.opening.add(blocks)
    if (this.alone) {
      core.durable(() => { this.onHorizonAck({ lane: 0, from, index: from + blocks.length - 1, refused: [] }) })
      return
    }
    core.durable(() => {
      this.opening.stored(from + blocks.length - 1)
      core.send('horizon', { lane: 0, from, blocks: blocks.map((b) => b.number) })
    })
  }

  onHorizonAck (body: Body<'horizonAck'>): void {
    const { opened, refused } = this.opening.acknowledged(body)
    const late = opened.filter(this.ends.isOld()) // The acknowledgement was long under way.
    for (const b of opened) if (!late.includes(b)) this.opened.add(b)
    if (refused.length > 0) this.close(refused, 'refused')
    if (late.length > 0) this.close(late, 'expired')
    this.extend()
  }

  resendIfStuck (): void { if (!this.alone) this.opening.resendIfStuck() }
  resend (): void { this.opening.resend() }
  get acknowledgedTo (): number { return this.opening.acknowledgedTo }

  // --- leases ------------------------------------------------------------------------------------------

  /** Marks the next stretch as spent, flushed, and only then hands it to the addon (I2). */
  lease (atLeastBytes = 0): void {
    const { core, leases, need } = this
    need.ask(atLeastBytes)
    if (this.leasing || !this.spending || need.isCalm(leases.leftBytes)) return
    if (leases.isComing) this.pushSoon()
    need.look(leases.leftBytes)
    if (leases.isComing || this.opened.size === 0) return
    const missing = need.missing(leases.leftBytes), fresh = missing > 0 ? this.plan.take(missing, leases.blocks()) : []
    if (fresh.length === 0) return
    this.leasing = true
    leases.add(fresh)
    core.commit((tx) => {
      for (const s of fresh) {
        s.block.spent = s.to
        this.opened.changed(s.block)
        core.putBlock(tx, s.block)
        core.account.leased += s.to - s.from
      }
      this.bookCuts()
    })
    core.durable(() => {
      this.leasing = false
      this.push()
    })
  }

  /** What is flushed goes to the addon over several turns. Whoever waits looks when all of it is there: parts would go to those who want little. */
  private push (): void {
    if (this.leasing) return // Stretches of another lease are here that are not flushed yet (I2).
    const before = this.leases.leftBytes, pushed = this.leases.push()
    if (typeof pushed === 'object') this.endDamaged(pushed)
    this.hasMore ||= this.leases.leftBytes > before
    if (pushed !== 'full' && this.leases.isComing) { this.pushSoon(); return }
    if (pushed === 'full' && !this.hasMore) return // Whoever waits would only ask for the same again.
    this.hasMore = false
    for (const wake of this.waiters.splice(0)) wake()
    if (!this.leases.isComing) this.extend()
  }

  private pushSoon (): void {
    if (this.pushing) return
    this.pushing = true
    this.core.deps.soon(() => {
      this.pushing = false
      try { this.push() } catch (error) { this.core.deps.fatal(error) }
    })
  }

  /** A block with a record that does not open is closed: nothing of this stretch was cut. */
  private endDamaged (s: Stretch): void {
    this.core.commit(() => { this.bookUncut(s.to - s.from, 'damaged') })
    this.endEarly(new Set([s.block]), 'damaged')
  }

  private burnLeased (cause: string): void { this.core.burn(cause, this.core.account.leased); this.core.account.leased = 0 }

  private bookUncut (bytes: number, cause: string): void { this.core.account.leased -= bytes; this.core.burn(cause, bytes) }

  private trim (): void {
    this.finished.push(...this.leases.trim())
    if (this.finished.length >= CLOSE_BATCH) this.settle()
  }

  // --- delivery ------------------------------------------------------------------------------------------

  /** @returns bytes written, CUT_INSUFFICIENT or CUT_NO_ROOM; nothing is consumed in the last two cases. */
  cut (count: number, sizeBytes: number, association: number, keyMembers: string | undefined, out: Uint8Array, taken: Uint32Array): number {
    if (!this.spending) return CUT_INSUFFICIENT
    return this.wasCut(this.core.deps.vault.cut(this.leases.handle, count, sizeBytes, association, keyMembers, undefined, out, taken), count, sizeBytes, taken)
  }

  /** As `cut`: `how` cuts, and returns a positive number or one of those two. */
  cutWith (count: number, sizeBytes: number, taken: Uint32Array, how: (lane: LaneHandle) => number): number {
    return this.spending ? this.wasCut(how(this.leases.handle), count, sizeBytes, taken) : CUT_INSUFFICIENT
  }

  private wasCut (result: number, count: number, sizeBytes: number, taken: Uint32Array): number {
    if (result === CUT_INSUFFICIENT) this.lease(count * (sizeBytes + 7 & ~7) + sizeBytes + 8)
    if (result < 0) return result
    this.used.note(this.books.add(count, sizeBytes, taken[3]!))
    if (this.leases.wasCut(taken)) this.trim()
    this.lease()
    return result
  }

  /** Blocks of which the next keys are cut. */
  nextBlocks (count: number, unitBytes: number): readonly BlockRow[] { return this.leases.next(count, unitBytes) }

  /** Leased bytes that the relay can take in one step. */
  get runBytes (): number { return this.spending ? this.core.deps.vault.laneRun(this.leases.handle) : 0 }
  /** Leased bytes, over all blocks. */
  get leasedBytes (): number { return this.leases.leftBytes }
  /** How many of `bytes` can be leased at once. */
  reachBytes (bytes: number): number { return this.leases.leftBytes + this.plan.reach([new Set([...this.leases.blocks(), ...this.opened]), this.opening.values(), this.unopened], bytes - this.leases.leftBytes) }

  /** Pads: takes `length` bytes, a multiple of 8: `use` moves the lane's cursor over them. */
  take (length: number, use: (lane: LaneHandle) => void, as: PadUse): void {
    try { use(this.leases.handle) } finally { this.leases.wasMoved() }
    this.used.note(this.books.addPads(as, length))
    this.trim()
  }

  /** Runs `then` after the next lease arrives. The caller bounds the time it waits. */
  afterLease (then: () => void): void {
    this.waiters.push(then)
    if (this.waiters.length > WAITERS_MAX) this.waiters.shift() // It has timed out long ago.
  }

  /** Whether taking `bytes` reaches into the last fifth of the lane. */
  shortAfter (bytes: number): boolean { return this.lastFifth.reachedBy(bytes) }

  /** Moves what was cut since the last time to its accounts. Called inside a commit. */
  bookCuts (): void { this.books.book() }

  // --- ends of blocks ------------------------------------------------------------------------------------------

  /** Tells the looker which blocks are spent, and erases ours. */
  settle (): void {
    const blocks = this.finished.splice(0)
    if (blocks.length > 0) this.close(blocks, 'spent')
  }

  close (blocks: readonly BlockRow[], cause: string): void { this.ends.close(blocks, cause) }

  /** The owner's time rule: nothing is leased or cut from a block older than `key_ttl`, by either clock. */
  expire (): void {
    this.trim()
    const isOld = this.ends.isOld(), old = new Set<BlockRow>()
    for (const blocks of [this.leases.blocks(), this.opened, this.opening.values()]) for (const b of blocks) if (isOld(b)) old.add(b)
    this.endEarly(old, 'expired')
    this.burnUnopened(this.removeUnopened(isOld), 'expired')
  }

  /** Nothing more is leased or cut from these of the opened blocks. */
  endEarly (blocks: ReadonlySet<BlockRow>, cause: string): void {
    const mine = [...blocks].filter((b) => this.opened.has(b) || this.leases.has(b) || this.opening.has(b))
    if (mine.length === 0) return
    for (const b of mine) {
      this.opened.remove(b)
      this.opening.forget(b)
    }
    const { uncutBytes, finished } = this.leases.withdraw(blocks)
    this.finished.push(...finished)
    this.core.commit(() => {
      this.bookCuts()
      this.bookUncut(uncutBytes, cause)
    })
    this.close(mine, cause)
  }

  burnUnopened (blocks: readonly BlockRow[], cause: string): void { this.ends.burn(blocks, cause) }

  /** The other side burned a block that was never opened. */
  forget (number: number): void {
    const block = this.core.blocks.get(number)
    if (block !== undefined) this.unopened.remove(block)
  }

  /** Blocks of ID epochs before `generation` that were not opened, when association numbers start again. */
  removeUnopened (which: (block: BlockRow) => boolean): BlockRow[] { return this.unopened.removeIf(which) }

  // --- start and stop ------------------------------------------------------------------------------------------

  /** After an unclean stop: every opened block is closed; what was leased and not booked may have been delivered. */
  closeAllOpened (blocks: readonly BlockRow[], cause = 'crash'): void {
    const { core } = this
    this.bookCuts()
    this.burnLeased(cause)
    if (blocks.length > 0) { this.close(blocks, cause) } else core.commit(() => {})
  }

  /** A clean stop of a pool with itself: what was leased and not cut is free again at the next start. Nothing is cut any more. */
  giveBack (): void {
    this.spending = false
    this.trim()
    this.settle()
    this.core.commit((tx) => {
      this.bookCuts()
      for (const [block, offset] of this.leases.uncut()) takeBack(this.core, tx, block, offset)
    })
    this.leases.clear()
  }

  /** Where the next byte comes from: everything of the lane before it may be out. */
  get position (): Cursor {
    const next = this.opened.first ?? this.opening.first()
    return this.leases.cursor() ?? { index: next?.index ?? this.core.meta.horizonMine + 1, offset: next?.spent ?? 0 }
  }

  /** Stops spending and tells where it stopped. */
  stop (): Cursor {
    this.spending = false
    return this.position
  }

  /** Closes everything that was opened: the association numbers begin again, and IDs of these blocks would count in the old space. */
  abandon (cause: string): void {
    const blocks = [...new Set([...this.finished, ...this.leases.blocks(), ...this.opened, ...this.opening.values()])]
    const unopened = [...this.unopened]
    this.clear()
    for (const b of unopened) this.unopened.add(b)
    this.closeAllOpened(blocks, cause)
  }

  /** Forgets every block and starts with an empty cursor. What the blocks held is the caller's to book. */
  clear (): void {
    this.leases.clear()
    this.unopened.clear()
    this.opened.clear()
    this.opening.clear()
    this.finished.length = 0
  }

  dispose (): void { this.leases.dispose() }
}
