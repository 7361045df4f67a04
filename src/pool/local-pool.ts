import { FRAME_BYTES_MAX, META_NUMBERS, RECORD_STRIDE } from '../device/native.js'
import { RECORD_KIND, makeRecordHeader } from '../store/record.js'
import { Associations } from './associations.js'
import { Claims } from './claims.js'
import { PoolCore } from './core.js'
import { Epochs } from './epochs.js'
import { Erasure } from './erasure.js'
import { FrameRows } from './frame-rows.js'
import type { KeyPool } from './key-pool.js'
import { OwnerLane } from './owner-lane.js'
import type { PoolDeps } from './ports.js'
import { encodeFrames } from './row-codec.js'
import { framesKey, usableBytes, type BlockRow } from './rows.js'
import { localTraits } from './traits.js'
import { BlockViews } from './views.js'
import { Voids } from './voids.js'

/** Link id of frames that no link delivered. */
export const LOCAL_LINK = 0
const FRAMES = 16
const STOCK_BLOCKS_MIN = 2
const STOCK_BLOCKS_MAX = 64
/** Blocks that are made between two flushes. */
const UNFLUSHED_MAX = 8

/**
 * The pool of a KME with itself: keys between two SAEs of one site, from the system's random source (and saying so in
 * `key_extension`). Same blocks, leases, IDs and claims as any pool; no peer, so no horizon.
 */
export class LocalPool implements KeyPool {
  readonly kind = 'local'
  readonly traits = localTraits
  readonly named = undefined
  readonly core: PoolCore
  readonly lane: OwnerLane
  readonly epochs: Epochs
  readonly associations: Associations
  readonly claims: Claims
  readonly views: BlockViews
  readonly voids: Voids
  private readonly erasure: Erasure
  private isFilling = false
  private made = 0
  private readonly rows = new FrameRows()
  private readonly records = new Uint8Array(FRAMES * RECORD_STRIDE)
  private readonly meta = new Uint32Array(FRAMES * META_NUMBERS)

  /** @param stockBytes Stock kept ready, rounded up to whole blocks. */
  constructor (deps: PoolDeps, private readonly stockBytes: number) {
    const core = this.core = new PoolCore(deps)
    this.views = new BlockViews(core, (epoch) => this.epochs.key(epoch))
    this.erasure = new Erasure(core, this.views, (tx, number) => { this.claims.erase(tx, number) })
    this.epochs = new Epochs(core, this.erasure, () => { this.endOldBlocks() })
    this.claims = new Claims(core)
    this.associations = new Associations(core, true, () => { if (!this.epochs.isFull) this.epochs.foundAlone() })
    this.lane = new OwnerLane(core, this.views, this.erasure, true, (block) => block.spent > 0)
    this.voids = new Voids(core, true, {
      named: () => undefined, nameOf: () => undefined, claims: this.claims, associations: this.associations, position: () => this.lane.position, claimed: (number) => { this.claimed(number) },
      overlap: (what) => { core.security('integrity.overlap', what); this.suspend(what) }, epochs: () => {},
    })
    if (deps.disowned !== '') this.disown(deps.disowned)
    this.start()
  }

  private start (): void {
    const { core, lane } = this
    const opened = [...core.blocks.values()].filter((b) => b.state === 'open')
    lane.start.goOn(opened)
    if (this.epochs.current === undefined) this.epochs.foundAlone()
    lane.spending = true
    for (const b of core.blocks.values()) if (b.state === 'usable') lane.add(b)
    this.fill()
  }

  /** Association numbers have begun anew with another ID epoch. */
  private endOldBlocks (): void {
    this.lane.abandon('epoch')
    this.lane.burnUnopened(this.lane.removeUnopened((b) => b.epoch < this.core.meta.generation), 'epoch')
    this.fill()
  }

  /** Keeps two blocks and a minute of use in stock, as fresh blocks of random frames: one a turn, because requests wait behind it, and not faster than the disk. */
  fill (): void {
    const { core, lane } = this
    if (this.isFilling || !lane.spending) return
    if (!this.epochs.canName(this.epochs.current?.epoch ?? 0, core.meta.highestBlock + 1)) return // `tick` founds an epoch that can, or an older one ends first.
    const perBlock = FRAMES * FRAME_BYTES_MAX
    const wanted = Math.min(Math.max(this.stockBytes, STOCK_BLOCKS_MAX * perBlock), Math.max(STOCK_BLOCKS_MIN * perBlock, this.stockBytes, lane.used.perSecond() * core.deps.limits.runwayMs / 1_000))
    const before = lane.freeBytes(true)
    if (before >= wanted) return
    lane.add(this.make())
    if (lane.freeBytes(true) <= before) throw new Error('invariant violated: a fresh block of the local pool is not taken into its lane')
    const goOn = (): void => {
      this.isFilling = false
      try { this.fill() } catch (error) { core.deps.fatal(error) }
    }
    this.isFilling = true
    if (++this.made % UNFLUSHED_MAX === 0) core.durable(goOn)
    else core.deps.soon(goOn)
  }

  private make (): BlockRow {
    const { core } = this
    const { keys, vault, incarnation } = core.deps
    const number = core.meta.highestBlock + 1
    const { sealer, slot } = keys.sealer(core.pool) // May begin a new hour, in a transaction of its own.
    return core.commit((tx) => {
      core.meta.highestBlock = number
      for (let i = 0; i < FRAMES; i++) {
        const name = { link: LOCAL_LINK, id: number.toString(16).padStart(32, '0'), offset: i * FRAME_BYTES_MAX / 32 }
        const header = makeRecordHeader(RECORD_KIND.random, name, FRAME_BYTES_MAX, slot, incarnation.number)
        this.meta[i * META_NUMBERS] = vault.sealRandom(sealer, header, FRAME_BYTES_MAX, this.records.subarray(i * RECORD_STRIDE, (i + 1) * RECORD_STRIDE))
      }
      const frames = this.rows.put(tx, this.records, this.meta, FRAMES)
      keys.added(tx, slot, FRAMES)
      const block: BlockRow = {
        number, owner: 'mine', purpose: 'app', lane: 0, epoch: this.epochs.current?.epoch ?? 0, state: 'usable', bytes: FRAMES * FRAME_BYTES_MAX,
        index: 0, spent: 0, bornMs: core.deps.ageMs(), bornWallMs: core.deps.clock.wallMs(), closedMs: 0,
      }
      core.account.ingested += block.bytes
      this.erasure.bookConfirmed(block)
      tx.put(framesKey(core.pool, number), encodeFrames(frames))
      core.putBlock(tx, block)
      return block
    })
  }

  /** This store has a new identity: nothing of its old stock is ever used. Before `start`, which founds a new ID epoch. */
  private disown (reason: string): void {
    const { core, lane } = this
    lane.clear()
    core.commit((tx) => {
      lane.bookCuts()
      core.burn('void', core.account.leased)
      core.account.leased = 0
      for (const block of [...core.blocks.values()]) this.erasure.block(tx, block, block.state === 'closed' ? 0 : usableBytes(block) - block.spent, 'void')
      this.associations.clear(tx)
      this.epochs.clear(tx)
      this.voids.clear(tx)
      core.meta.generation = core.meta.highestEpoch + 1
      core.meta.nextAssociation = 1
    })
    core.deps.emit({ type: 'pool.voided', reason })
  }

  blocked (): '' | 'SUSPENDED' { return this.core.meta.suspended === '' ? '' : 'SUSPENDED' }

  suspend (reason: string): void {
    this.core.commit(() => { this.core.meta.suspended = reason })
    this.core.deps.emit({ type: 'pool.suspended', reason })
  }

  release (): void { this.core.commit(() => { this.core.meta.suspended = '' }) }

  damaged (block: BlockRow): void { this.lane.endEarly(new Set([block]), 'damaged') }

  replenish (): string {
    this.fill()
    return ''
  }

  claimed (number: number): void {
    const { core } = this
    const block = core.blocks.get(number)
    if (block?.state === 'closed' && !this.claims.isHeld(number) && this.claims.claimedBytes(number) >= block.spent) core.commit((tx) => { this.erasure.block(tx, block, 0, 'spent') })
  }

  tick (): void {
    const { core } = this
    this.lane.settle()
    this.lane.expire()
    const old = [...core.blocks.values()].filter((b) => b.state === 'closed' && core.deps.ageMs() - b.closedMs > core.deps.limits.fetchTtlMs)
    if (old.length > 0) core.commit((tx) => { for (const b of old) this.erasure.block(tx, b, 0, 'expired') })
    this.epochs.sweep()
    if (this.epochs.isLong && !this.epochs.isFull) this.epochs.foundAlone()
    this.voids.tick()
    this.fill()
    core.deps.emit({ type: 'pool.stock', freeBytes: this.lane.freeBytes(true), maxBytes: Math.max(this.stockBytes, STOCK_BLOCKS_MAX * FRAMES * FRAME_BYTES_MAX) })
  }

  /** Stops cutting, and gives back what was leased for it: a crash costs a lease, a stop in good order nothing. */
  async stop (): Promise<void> {
    this.lane.giveBack()
    await this.core.deps.kv.flushed()
  }

  dispose (): void {
    this.lane.spending = false
    this.lane.dispose()
    this.views.close()
    this.epochs.close()
  }
}
