import type { Body, MessageName } from '../peer/messages.js'
import type { Acknowledged, PeerChannel, PeerHandler } from '../peer/ports.js'
import type { KvWriter } from '../store/kv.js'
import { recordSlot } from '../store/record.js'
import { Agreement } from './agreement.js'
import { Associations } from './associations.js'
import { Burns } from './burns.js'
import { Claims } from './claims.js'
import { BLOCK_FRAMES_MAX } from './composition.js'
import { PoolCore } from './core.js'
import { Epochs } from './epochs.js'
import { Erasure } from './erasure.js'
import { Grants } from './grants.js'
import { Holds } from './holds.js'
import { Greeting } from './greeting.js'
import type { KeyPool } from './key-pool.js'
import { Inventory } from './inventory.js'
import { LookerLane } from './looker-lane.js'
import { NamedGrants } from './named-grants.js'
import { nextBlock } from './next-block.js'
import { OwnerLane } from './owner-lane.js'
import { Pads } from './pads.js'
import { PendingFrames } from './pending.js'
import type { PoolDeps } from './ports.js'
import { type BlockRow } from './rows.js'
import { RelayAccess, type PadUse } from './relay-access.js'
import { Renewal } from './renewal.js'
import { Sharing } from './sharing.js'
import { Startup } from './startup.js'
import { directTraits, type KeyTraits } from './traits.js'
import { BlockViews } from './views.js'
import { VoidPool } from './void.js'
import { voidsOf, type Voids } from './voids.js'

/** Of the blocks opened by either side, per tick: half is forgotten in about 17 s. */
const USE_DECAY = 0.99

/**
 * All key shared with one neighbour. Composes the parts (agreement, lanes, epochs, associations, pads), routes the peer's
 * messages to them, and lets time pass (`tick`, a few times a second). Everything here is synchronous but the disk.
 */
export class Pool implements PeerHandler, KeyPool {
  readonly kind: 'direct' | 'relayed'
  readonly core: PoolCore
  readonly pads: Pads
  readonly lane: OwnerLane
  readonly looker: LookerLane
  readonly epochs: Epochs
  readonly associations: Associations
  readonly claims: Claims
  readonly views: BlockViews
  readonly pending: PendingFrames
  readonly erasure: Erasure
  readonly voids: Voids
  readonly holds: Holds
  readonly agreement: Agreement
  private readonly grants: Grants
  private readonly greeting: Greeting
  private readonly startup: Startup
  private readonly sharing: Sharing
  private readonly voiding: VoidPool
  private readonly inventory: Inventory
  private readonly burns: Burns
  readonly renewal: Renewal
  /** Monotonic time at which the peer was last ready; delivery without it is bounded (design 3.5). */
  lastReadyMs = -Infinity
  private theirUse = 0

  /** The relay's way to the lanes of this pool: pads for blocks of others. */
  readonly relay: RelayAccess
  readonly named: NamedGrants

  /** `links` bring its frames. A relayed pool has none of its own: its frames have the number of the relay's link (src/relay). */
  constructor (deps: PoolDeps, links: readonly number[], readonly traits: KeyTraits = directTraits) {
    this.kind = traits.route === 'relayed' ? 'relayed' : 'direct'
    const core = this.core = new PoolCore(deps)
    this.views = new BlockViews(core, (epoch) => this.epochs.key(epoch))
    this.erasure = new Erasure(core, this.views, (tx, number) => { this.claims.erase(tx, number) })
    this.epochs = new Epochs(core, this.erasure, () => { this.renewal.begun() })
    this.claims = new Claims(core)
    this.pending = new PendingFrames(core, links)
    this.pads = new Pads(core, this.views, this.erasure)
    this.associations = new Associations(core, false, () => { this.renewal.tick() })
    this.lane = new OwnerLane(core, this.views, this.erasure, false, (block) => this.keepForLocal(block))
    this.looker = new LookerLane(core, this.erasure, (number) => this.claims.claimedBytes(number), (number) => this.claims.isHeld(number))
    this.grants = new Grants(core, this.lane, this.erasure, (block) => { this.lane.add(block) })
    this.greeting = new Greeting(core, this.epochs, () => this.lane.acknowledgedTo)
    this.sharing = new Sharing(core)
    this.agreement = new Agreement({
      core, pending: this.pending, views: this.views, erasure: this.erasure, inOrder: this.kind !== 'relayed',
      next: () => nextBlock({ core, epochs: this.epochs, pads: this.pads, padded: this.kind !== 'relayed', use: () => ({ mine: this.lane.openedLately, theirs: this.theirUse }) }),
      canName: (epoch, number) => this.epochs.canName(epoch, number), onUsable: (block) => { this.usable(block) },
    })
    this.startup = new Startup(core, this.lane)
    this.voiding = new VoidPool(core, this)
    this.holds = new Holds(core, links)
    this.renewal = new Renewal(core, this.lane, this.epochs, this.views, () => this.voids)
    this.voids = voidsOf(this, (epochs, reason) => { this.renewal.replace(epochs, { id: '', reason: `told by ${core.deps.remote}: ${reason}` }, false) })
    this.inventory = new Inventory(core, this.erasure)
    this.burns = new Burns(core, this.erasure, this.pending, this.agreement, this.lane, this.pads)
    const pads = (use: PadUse): RelayAccess => new RelayAccess(core, this.lane, this.claims, this.views, (blocks) => { this.claimed(...blocks) }, use)
    this.relay = pads('relay')
    this.named = new NamedGrants(core, pads('grant'), (tx, keys) => this.voids.burn(tx, keys))
    const damaged = this.pending.restore()
    if (damaged.length > 0) core.commit((tx) => { this.agreement.burnPending(tx, damaged, 'damaged') })
    if (deps.disowned !== '') { // Before anything can be asked of it.
      core.meta.identity = null // The store itself has a new one.
      this.voiding.run(deps.disowned)
    }
    for (const block of core.blocks.values()) if (block.purpose === 'auth' && block.state === 'usable') this.pads.add(block)
  }

  // --- what a device brings ---------------------------------------------------------------------------------

  /**
   * Stores sealed records as the addon wrote them: one transaction, not yet durable. `meta[i * META_NUMBERS]` is the
   * length of the record at `i * RECORD_STRIDE`. `also` writes in the same transaction. Records are copied. After `kv.flushed()`
   * the device may be told.
   */
  ingest (records: Uint8Array, meta: ArrayLike<number>, count: number, also?: (tx: KvWriter) => void): void {
    const { core, pending } = this
    const slot = recordSlot(records)
    core.commit((tx) => {
      pending.take(tx, records, meta, count)
      if (count > 0) core.deps.keys.added(tx, slot, count)
      also?.(tx)
      this.agreement.proposals.compose(tx)
    })
    if (this.agreement.proposals.hasComposed) core.deps.soon(() => { this.agreement.proposals.launchComposed() })
  }

  /** Whether the ring should be drained: the pool is at its bound otherwise, and the device keeps its frames. */
  get hungry (): boolean {
    const { maxStockBytes, authReserveBytes } = this.core.deps.limits, stock = this.stockBytes()
    if (this.pending.full || this.pending.isLacking || stock < maxStockBytes || stock - this.agreement.proposals.lackingBytes < maxStockBytes) return !this.pending.full
    if (this.epochs.awaitsBlock && this.pending.size < BLOCK_FRAMES_MAX) return true // No more than it may take: a suspended pool founds none.
    if (this.kind === 'relayed') return false
    // Fresh frames become pads first: a full pool without pads could not even open a block.
    return this.pads.left('mine') < authReserveBytes || this.pads.left('theirs') < authReserveBytes
  }

  stockBytes (): number { return this.pending.bytes + this.core.tally.stockBytes }

  // --- the peer ------------------------------------------------------------------------------------------------

  hello (): Body<'hello'> { return this.greeting.make(this.core.deps.ownSaes().generation, this.pads.position) }

  acknowledged (): Acknowledged { return this.greeting.acknowledged }

  onHello (body: unknown, before?: Acknowledged): void {
    const { core } = this
    const hello = body as Body<'hello'>
    const verdict = this.greeting.judge(hello, before)
    if (verdict.kind === 'refuse') {
      if (verdict.alarm) core.security('peer.copy', verdict.reason)
      throw core.protocol(verdict.reason)
    }
    if (verdict.kind === 'rolledBack') {
      this.rolledBack(verdict.reason)
      throw core.protocol(verdict.reason)
    }
    if (verdict.kind === 'peerRolledBack') {
      core.security('peer.rolledBack', verdict.reason)
      this.leave(verdict.reason) // The next hello tells the peer.
      throw core.protocol(verdict.reason)
    }
    if (verdict.kind === 'void') this.voiding.run(verdict.reason)
    core.commit((tx) => {
      this.greeting.merge(hello, verdict.kind === 'void')
      if (verdict.kind === 'void') core.outbox.void(tx)
      else core.outbox.drop(tx, hello.yours?.lastSent ?? 0)
    })
    this.pads.met(hello, verdict.kind === 'void')
    this.startup.met(hello, verdict.kind === 'void')
  }

  /** A hello carries no tag, so one peer's word costs what is shared with that peer, and no more: from now on it knows us as another store. */
  rolledBack (reason: string): void {
    this.core.meta.identity = this.core.deps.random.bytes(16)
    this.voiding.run(reason)
    this.core.deps.emit({ type: 'store.rolledBack', reason })
  }

  onReady (channel: PeerChannel): void {
    const { core } = this
    core.channel = channel
    core.ready = true
    this.lastReadyMs = core.deps.clock.monoMs()
    this.agreement.reset()
    this.startup.ready(() => { this.spend() })
    this.agreement.resend()
    this.epochs.resend()
    core.outbox.begin()
    this.lane.resend()
    this.sharing.announce()
    this.holds.ready()
    this.inventory.ready()
    core.deps.emit({ type: 'pool.ready' })
  }

  onWritable (): void { if (this.core.ready) this.core.outbox.sendRest() }

  onClosed (_reason: string): void {
    if (this.core.ready) this.lastReadyMs = this.core.deps.clock.monoMs()
    this.core.ready = false
    this.core.channel = undefined
    this.named.closed()
    this.core.deps.emit({ type: 'pool.away' })
  }

  onMessage (name: MessageName, body: unknown): void {
    if (name !== 'propose' && name !== 'stored') this.agreement.answers.answerProposals()
    const seq = (body as { seq?: number }).seq
    if (seq !== undefined && name !== 'acknowledge') { this.onSequenced(name, body, seq); return }
    const handler = this.handlers[name] as ((body: never) => void) | undefined
    if (handler === undefined) throw this.core.protocol(`unexpected ${name}`)
    handler(body as never)
  }

  private readonly handlers: { [N in MessageName]?: (body: Body<N>) => void } = {
    propose: (b) => { this.agreement.answers.onPropose(b) },
    confirm: (b) => { this.agreement.proposals.onConfirm(b); this.agreement.proposals.propose() },
    stored: (b) => { this.agreement.answers.onStored(b.number) },
    horizon: (b) => { this.theirUse += b.blocks.length; this.looker.onHorizon(b) },
    horizonAck: (b) => { this.lane.onHorizonAck(b) },
    bye: (b) => { this.startup.onBye(b) },
    byeAck: (b) => { this.startup.onByeAck(b) },
    resume: (b) => { this.startup.onResume(b) },
    resumeAck: (b) => { this.startup.onResumeAck(b) },
    grantAsk: (b) => { this.grants.onAsk(b) },
    associationAck: (b) => { this.associations.onAck(b) },
    idEpoch: (b) => { this.epochs.onIdEpoch(b, this.views) },
    idEpochAck: (b) => { this.epochs.onAck(b); this.agreement.proposals.propose() },
    inventory: (b) => { this.inventory.onInventory(b) },
    hold: (b) => { this.holds.onHold(b) },
    epochAsk: (b) => { this.epochs.onAsk(b.epoch) },
    chainHead: (b) => { this.sharing.onChainHead(b) },
    namedGrant: (b) => { this.named.onGrant(b) },
    namedGrantAck: (b) => { this.named.offers.onAck(b) },
    acknowledge: (b) => { if (b.seq <= this.core.meta.lastSent) this.core.commit((tx) => { this.core.outbox.drop(tx, b.seq) }) },
  }

  /** Messages with an effect that both stores must share: processed once, in order, in one transaction with their number. */
  private onSequenced (name: MessageName, body: unknown, seq: number): void {
    const { core } = this
    if (seq <= core.meta.lastProcessed) { if (seq <= core.processedTo) core.send('acknowledge', { seq: core.processedTo }); return }
    if (seq !== core.meta.lastProcessed + 1 && !(body as { first: boolean }).first) return // One before it found no pad; the peer sends both again, in order.
    const after = core.commit((tx) => {
      const then = this.apply(tx, name, body)
      core.processed(seq)
      return then
    })
    core.durable(() => {
      core.send('acknowledge', { seq })
      after?.()
    })
  }

  private apply (tx: Parameters<Erasure['block']>[0], name: MessageName, body: unknown): (() => void) | undefined {
    switch (name) {
      case 'drop': this.agreement.onDrop(tx, body as Body<'drop'>); return
      case 'close': this.looker.onClose(tx, body as Body<'close'>); return
      case 'burn': return this.burns.onBurn(tx, body as Body<'burn'>)
      case 'grant': {
        const taken = this.grants.onGrant(tx, body as Body<'grant'>)
        return () => { this.grants.taken(taken) }
      }
      case 'association': {
        const ack = this.associations.onAssociation(tx, body as Body<'association'>)
        return () => { this.core.send('associationAck', ack) }
      }
      case 'voidKeys': return this.voids.onVoidKeys(tx, body as Body<'voidKeys'>)
      case 'voidAsk': return this.voids.onVoidAsk(tx, body as Body<'voidAsk'>)
      case 'namedGrantEnd': return this.named.onEnd(tx, body as Body<'namedGrantEnd'>)
      case 'saes': return this.sharing.onSaes(body as Body<'saes'>)
      default: throw this.core.protocol(`unexpected ${name}`)
    }
  }

  // --- blocks ---------------------------------------------------------------------------------------------------

  private usable (block: BlockRow): void {
    if (block.purpose === 'auth') this.pads.add(block)
    else if (block.purpose === 'app' && block.owner === 'mine') this.lane.add(block)
    else if (block.purpose === 'id' && this.core.proposer) this.epochs.found(block, this.views)
  }

  private spend (): void {
    const { core, lane } = this
    lane.spending = true
    for (const b of core.blocks.values()) if (b.purpose === 'app' && b.owner === 'mine' && b.state === 'usable') lane.add(b)
    lane.extend()
  }

  private keepForLocal (block: BlockRow): boolean { return this.associations.hasLocal && block.spent > 0 }

  // --- time -------------------------------------------------------------------------------------------------------

  /** Everything that time drives. Call it about four times a second. */
  tick (): void {
    const { core } = this
    this.theirUse *= USE_DECAY
    this.lane.openedLately *= USE_DECAY
    if (core.ready) {
      this.lastReadyMs = core.deps.clock.monoMs()
      this.agreement.tick()
      this.epochs.tick(this.views)
      this.startup.tick()
      this.lane.resendIfStuck()
      core.outbox.tick()
      if (this.lane.spending) this.grants.askIfDry()
      this.renewal.tick()
      this.inventory.tick()
      this.sharing.tick()
      this.holds.tick()
    }
    this.lane.settle()
    if (this.lane.spending) this.lane.expire()
    this.looker.expire()
    this.eraseClosed()
    this.named.tick()
    this.voids.tick()
    this.epochs.sweep()
    this.lane.extend()
    core.deps.emit({ type: 'pool.stock', freeBytes: this.lane.freeBytes(core.ready), maxBytes: core.deps.limits.maxStockBytes })
  }

  /** Own closed blocks kept for local slaves go `fetch_ttl` after they were closed. */
  private eraseClosed (): void {
    const { core } = this
    const before = core.deps.ageMs() - core.deps.limits.fetchTtlMs, old: BlockRow[] = []
    for (const b of core.blocks.values()) if (b.owner === 'mine' && b.state === 'closed' && b.closedMs < before) old.push(b)
    if (old.length > 0) core.commit((tx) => { for (const b of old) this.erasure.block(tx, b, 0, 'expired') })
  }

  // --- stop, void -------------------------------------------------------------------------------------------------

  /** Asks for stock now. @returns '' or why nothing can be done. */
  replenish (): string {
    if (!this.core.ready) return `${this.core.deps.remote} is not connected`
    if (this.core.proposer) this.agreement.proposals.propose()
    this.lane.extend()
    this.grants.askIfDry()
    return ''
  }

  /** The device says that a block of its own is compromised (`Burns.revoke`); ID epochs made of it are replaced. @returns how many pool blocks and epochs it touched. */
  revoke (link: number, deviceBlock: string): number {
    const epochs = this.epochs.madeOf(link, deviceBlock)
    this.renewal.replace(epochs, { id: Buffer.from(this.core.deps.random.bytes(16)).toString('hex'), reason: `its keys were made of block ${deviceBlock} of link ${link}, which the device took back` }, true)
    return this.burns.revoke(link, deviceBlock) + epochs.length
  }

  /** Clean stop: no more cuts; tells the peer where we stopped. Resolves when it knows, or after `timeoutMs`. */
  stop (timeoutMs: number): Promise<void> { this.agreement.answers.stop(); return this.startup.stop(timeoutMs) }

  /** Erases all stock with this peer on both sides (copy, new store, retire, operator). */
  void (reason: string): void {
    this.core.meta.voids++
    this.voiding.run(reason)
    this.core.channel?.close(reason) // The next hello tells the peer.
  }

  /** One end gives the pool up: all stock is void here. Whoever opens it again tells the other end by the greater number of voids. */
  leave (reason: string): void {
    this.core.meta.voids++
    this.voiding.run(reason)
  }

  suspend (reason: string): void {
    this.core.commit(() => { this.core.meta.suspended = reason })
    this.core.deps.emit({ type: 'pool.suspended', reason })
  }

  blocked (): '' | 'PEER_DOWN' | 'SUSPENDED' {
    const { core } = this
    if (!core.isServing) return 'SUSPENDED'
    if (!this.lane.spending) return 'PEER_DOWN'
    return core.ready || core.deps.clock.monoMs() - this.lastReadyMs <= core.deps.limits.peerAbsenceMaxMs ? '' : 'PEER_DOWN'
  }

  /** Closed blocks of which everything is claimed go, in one transaction. */
  claimed (...numbers: readonly number[]): void {
    const done = numbers.flatMap((number) => this.core.blocks.get(number) ?? []).filter((block) => this.looker.isDone(block))
    if (done.length > 0) this.core.commit((tx) => { for (const block of done) this.looker.eraseIfDone(tx, block) })
  }

  damaged (block: BlockRow): void { this.burns.damaged(block) }

  release (): void { this.core.commit(() => { this.core.meta.suspended = '' }) }

  /** Wipes plaintext and frees handles. The pool cannot be used afterwards. */
  dispose (): void {
    this.core.ready = false
    this.lane.spending = false
    this.lane.dispose()
    this.views.close()
    this.epochs.close()
  }
}
