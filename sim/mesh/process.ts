import { loadNative, type NativeVault } from '../../src/device/native.js'
import { defaultHybridLimits } from '../../src/hybrid/exchange.js'
import { HybridExchanges } from '../../src/hybrid/exchanges.js'
import { KmeError } from '../../src/kernel/errors.js'
import type { KmeId, SaeId } from '../../src/kernel/ids.js'
import { quietLog } from '../../src/kernel/log.js'
import type { Cancel, Clock } from '../../src/kernel/time.js'
import { createControlPeers, type ControlPeers } from '../../src/peer/control/control.js'
import { TunnelHub } from '../../src/peer/control/hub.js'
import { controlSigns, defaultTunnelLimits } from '../../src/peer/control/limits.js'
import { defaultPeerLimits, signsOfLife, type PeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import type { MessageName } from '../../src/peer/messages.js'
import { joinParts } from '../../src/peer/parts.js'
import type { PeerChannel, PeerHandler } from '../../src/peer/ports.js'
import { keepConnected } from '../../src/peer/redial.js'
import { ExtensionRegistry } from '../../src/pool/extensions.js'
import { PoolKeyService } from '../../src/pool/key-service.js'
import { Pool } from '../../src/pool/pool.js'
import { defaultPoolLimits, type Incarnation, type PoolDeps, type PoolEvent, type PoolLimits } from '../../src/pool/ports.js'
import type { RecordKeys } from '../../src/pool/ports.js'
import { RelayDesk } from '../../src/relay/desk.js'
import { defaultRelayLimits, type RelayLimits } from '../../src/relay/limits.js'
import { AutomaticPools, comesBack, type AutomaticLimits } from '../../src/relay/automatic.js'
import { FarEnds } from '../../src/relay/far-ends.js'
import { RelayedPools } from '../../src/relay/pools.js'
import { neighbourLane } from '../../src/relay/relayed.js'
import type { SimClock } from '../clock.js'
import { createSimEndToEnd } from '../control-layer.js'
import { simMasterKey } from '../master-key.js'
import type { SimNetwork } from '../network.js'
import type { SimRandom } from '../random.js'
import { simRecordKeys } from '../record-keys.js'
import type { SimKv } from '../store.js'
import { MeshRoutes } from './routes.js'

export interface MeshKmeOptions {
  readonly id: KmeId
  readonly clock: SimClock
  readonly random: SimRandom
  readonly network: SimNetwork
  /** Neighbours with the number of the link. */
  readonly neighbours: ReadonlyMap<KmeId, number>
  /** KMEs with which it has a relayed pool. */
  readonly relayed: readonly { readonly kme: KmeId, readonly paths: number, readonly hybrid: boolean }[]
  /** Pools that come by themselves; absent: none. */
  readonly automatic?: Partial<AutomaticLimits> | undefined
  /** Where each SAE is. */
  readonly saes: ReadonlyMap<SaeId, KmeId>
  readonly limits: Partial<PoolLimits>
  readonly relayLimits: Partial<RelayLimits>
  /** What relayed pools want however little they are used; size of the vault's arena. */
  readonly stockBytes: number, readonly arenaBytes: number
  readonly tickMs: number
  /** After so much silence a neighbour is asked for a sign of life; absent: the usual times. */
  readonly keepAliveMs: number | undefined
  /** What this KME's wall clock is ahead, and how much faster it runs. */
  readonly wallAheadMs: number, readonly wallDriftPpm: number
}

/** What a process tells the machine that it runs on. */
export interface ProcessHost {
  readonly o: MeshKmeOptions
  /** Milliseconds this store has been in use. */
  ageMs (): number
  event (event: PoolEvent): void
  alarm (text: string): void
  /** The process has met a broken store, or a bug, and must end. */
  fatal (process: MeshProcess, error: unknown): void
  /** Each tick. */
  tick (process: MeshProcess): void
  /** What a node that lies makes of a message before it goes out; undefined swallows it. */
  tamper (to: KmeId, name: MessageName, body: object): object | undefined
  /** A message of the engine that its channel took: to a neighbour, or over a control channel. */
  said (to: KmeId, name: MessageName, body: object): void
}

const noAutomatic: AutomaticLimits = { open: 'never', accept: false, kmes: [], paths: 1, hybrid: false, stockBytes: 262_144, poolsMax: 32, idleMs: 3_600_000 }
const SIZES = { defaultBits: 256, minBits: 64, maxBits: 8192, maxPerRequest: 128, maxKeyCount: 100_000, maxSaeIds: 16, leaseWaitMs: 50, foreignIdsPerS: 64 }

/** One process of a KME of a network: everything of it dies with `alive = false`. */
export class MeshProcess {
  alive = true
  readonly vault: NativeVault
  readonly start: number
  readonly pools: ReadonlyMap<KmeId, Pool>
  readonly relayedPools: RelayedPools
  readonly far: FarEnds
  readonly automatic: AutomaticPools
  readonly routes: MeshRoutes
  readonly relay: RelayDesk
  readonly hybrid: HybridExchanges
  readonly service: PoolKeyService
  readonly neighbours: PeerManager
  readonly control: ControlPeers
  private readonly clock: Clock
  private readonly timers: Cancel[] = []
  private ticking: Cancel = () => {}
  private lookedMs = 0

  constructor (private readonly host: ProcessHost, readonly kv: SimKv, incarnation: Incarnation, disowned: string) {
    const { o } = host
    this.start = incarnation.number
    const vault = this.vault = loadNative().createVault({ arenaBytes: o.arenaBytes, allowUnlockedMemory: true, seed: o.random.bytes(32) })
    const clock = this.clock = {
      wallMs: () => Math.round(o.clock.wallMs() + o.wallAheadMs + o.clock.now() * o.wallDriftPpm / 1e6), monoMs: () => o.clock.monoMs(),
      after: (ms, fn) => o.clock.after(ms, () => { this.run(fn) }),
    }
    const keys = simRecordKeys(vault, simMasterKey(), this.start)
    const deps = (remote: KmeId): PoolDeps => this.poolDeps(remote, keys, incarnation, disowned)
    const pools = this.pools = new Map([...o.neighbours].map(([kme, link]) => [kme, new Pool(deps(kme), [link])]))
    const automatic: AutomaticLimits = { ...noAutomatic, ...o.automatic }
    const relayed = this.relayedPools = new RelayedPools({
      self: o.id, kv, all: new Map(), make: (remote, poolId, link, traits) => new Pool({ ...deps(remote), poolId }, [link], traits),
    })
    relayed.open(o.relayed.map((pool) => ({ stockBytes: o.stockBytes, ...pool })), (kme, count) => comesBack(automatic, o.id, kme, count) ? automatic.stockBytes : undefined)
    const relayLimits = { ...defaultRelayLimits, ...o.relayLimits }
    const alarm = (text: string): void => { host.alarm(text) }
    this.routes = new MeshRoutes({ self: o.id, clock, random: o.random, incarnation: this.start, pools, reserveBytes: relayLimits.reserveBytes, alarm })
    this.hybrid = new HybridExchanges({ self: o.id, vault, clock, random: o.random, limits: defaultHybridLimits, security: (event, _subject, detail) => { alarm(`${event}: ${detail}`) } })
    this.relay = new RelayDesk({
      self: o.id, vault, keys, clock, random: o.random, log: quietLog, limits: relayLimits, start: this.start, hybrid: this.hybrid, routes: this.routes.relay,
      neighbour: (kme) => { const pool = pools.get(kme); return pool === undefined ? undefined : neighbourLane(pool) },
      security: (event, _subject, detail) => { alarm(`${event}: ${detail}`) },
    })
    this.service = this.makeService(deps)
    relayed.dropUnwanted()
    const hub = new TunnelHub({ self: o.id, clock, random: o.random, log: quietLog, limits: defaultTunnelLimits })
    const limits = (signs: typeof signsOfLife): PeerLimits => ({ ...defaultPeerLimits, sendQueueBytesMax: 8 << 20, ...(o.keepAliveMs === undefined ? {} : signs(o.keepAliveMs)) })
    const shared = { self: o.id, vault, clock, random: o.random, log: quietLog, limits: limits(signsOfLife) }
    const handlers = new Map([...pools].map(([kme, pool]) => {
      return [kme, this.guarded(kme, joinParts(pool, [this.routes.part(kme), hub.neighbour(kme), this.relay.part(kme)]))]
    }))
    this.neighbours = createPeerManager({ ...shared, peers: [...pools.keys()].map((id) => ({ id, url: `sim://${id}` })), handlerFor: (kme) => handlers.get(kme), ...o.network.process(o.id, this.timers) })
    this.automatic = this.makeAutomatic(automatic)
    this.far = new FarEnds({
      self: o.id, storeId: incarnation.storeId, incarnation: incarnation.number, nonce: incarnation.nonce, pools: relayed, desk: this.relay, parts: (kme) => [this.hybrid.part(kme)],
      guard: (handler) => this.guarded(undefined, handler), invite: (kme, cls) => this.automatic.invite(kme, cls),
      opened: (entry, isKept) => { if (entry.cls.hybrid) this.hybrid.want(entry.remote); this.automatic.opened(entry, isKept) },
      refused: (entry, reason, hasLeft) => { if (hasLeft) this.automatic.left(entry, reason); else this.automatic.refused(entry, reason) },
    })
    relayed.watch({ added: (entry) => { this.far.add(entry) }, dropped: (entry, reason) => { this.far.remove(entry, reason) } })
    this.control = createControlPeers({
      ...shared, limits: limits(controlSigns), hub, endToEnd: createSimEndToEnd(o.id, 'secret of the run', clock), paths: this.routes.control, invited: (kme) => this.automatic.mayCall(kme),
      handlerFor: (kme) => this.automatic.mayCall(kme) ? this.far.handler(kme) : undefined,
    })
    this.tick()
  }

  /** Both kinds. */
  get allPools (): readonly Pool[] { return [...this.pools.values(), ...this.relayedPools.list().map((entry) => entry.pool)] }

  /** By their far KME; further classes with the same KME by their own name. */
  get relayed (): ReadonlyMap<string, Pool> {
    const pools = new Map<string, Pool>()
    for (const { id, remote, pool } of this.relayedPools.list()) pools.set(pools.has(remote) ? id : remote, pool)
    return pools
  }

  private makeAutomatic (limits: AutomaticLimits): AutomaticPools {
    const { o } = this.host
    return new AutomaticPools(limits, {
      self: o.id, clock: this.clock, pools: this.relayedPools, isConnected: (kme) => this.far.isConnected(kme),
      known: () => [...new Set(o.saes.values())].filter((kme) => kme !== o.id && !o.neighbours.has(kme)),
      ways: (kme, disjoint) => this.routes.relay.paths(kme, { disjoint, excludeHops: [], avoid: [] }),
      openChannel: (kme) => { this.control.open(kme) }, closeChannel: (kme, why) => { this.control.close(kme, why) }, channels: () => this.control.remotes, say: () => {},
    })
  }

  private poolDeps (remote: KmeId, keys: RecordKeys, incarnation: Incarnation, disowned: string): PoolDeps {
    const { host, vault, kv, clock } = this, { o } = host
    return {
      self: o.id, remote, kv, clock, ageMs: () => host.ageMs(), random: o.random, vault, keys, disowned, incarnation,
      limits: { ...defaultPoolLimits, ...o.limits }, soon: this.soon, emit: (e) => { this.told(e) }, fatal: (error) => { host.fatal(this, error) },
      admit: (_m, slaves) => slaves.every((s) => o.saes.get(s) === o.id) ? '' : 'unknown', ownSaes: () => ({ generation: 1, saes: [] }),
      announced: () => {}, auditHead: () => ({ records: 0, head: new Uint8Array(32) }),
    }
  }

  private told (event: PoolEvent): void {
    if (event.type === 'pool.voiding') (this.service as PoolKeyService | undefined)?.voiding(event.pool) // There is none while the pools are made.
    if (event.type !== 'pool.stock') this.host.event(event)
  }

  private readonly soon = (fn: () => void): void => { queueMicrotask(() => { this.run(fn) }) }

  private makeService (deps: (remote: KmeId) => PoolDeps): PoolKeyService {
    const { host, pools, relayedPools: relayed } = this, { o } = host
    return new PoolKeyService({
      self: o.id, clock: this.clock, vault: this.vault, kv: this.kv, soon: this.soon, fatal: deps(o.id).fatal, security: (event, detail) => { host.alarm(`${event}: ${detail}`) },
      poolsWith: (kme) => [pools.get(kme), ...relayed.poolsWith(kme)].filter((pool) => pool !== undefined), pools: () => this.allPools,
      wanted: (kme, demand) => this.automatic.wanted(kme, demand),
      policy: { whereIs: (sae) => o.saes.get(sae), allowed: () => true, confidentialNames: false }, sizes: SIZES,
      extensions: new ExtensionRegistry(), details: { keys: 'way', status: true, localSource: 'random' }, audit: { record: () => 1, recordIn: () => 1, healthy: () => true }, accepting: () => this.alive,
    })
  }

  private tick (): void {
    this.ticking = this.clock.after(this.host.o.tickMs, () => {
      for (const pool of this.pools.values()) pool.tick()
      for (const { pool } of this.relayedPools.list()) pool.tick()
      this.routes.look()
      this.host.tick(this)
      this.relay.tick()
      if (this.clock.monoMs() - this.lookedMs >= 1_000) {
        this.lookedMs = this.clock.monoMs()
        this.automatic.tick()
        this.far.retry()
      }
      this.tick()
    })
  }

  /** Its start is on disk: the peers may know of it. */
  async connect (): Promise<void> {
    const { o } = this.host
    const keep = (remote: KmeId, manager: PeerManager): Cancel => {
      const cancel = keepConnected({ self: o.id, remote, hasUrl: true, manager, clock: this.clock, random: o.random, limits: { ...defaultPeerLimits, backoffMinMs: 100, backoffMaxMs: 1_000 }, onWait: () => {} })
      this.timers.push(cancel)
      return cancel
    }
    const far = new Map<KmeId, Cancel>()
    await this.neighbours.start()
    await this.control.manager.start()
    if (!this.alive) return
    this.routes.start(() => { this.control.topologyChanged(); this.relay.rerouted() })
    for (const remote of this.pools.keys()) keep(remote, this.neighbours)
    this.control.watch({ opened: (remote) => { far.set(remote, keep(remote, this.control.manager)) }, closed: (remote) => { far.get(remote)?.() } })
    for (const { remote } of this.relayedPools.list()) this.control.open(remote)
  }

  /**
   * A handler is called within other nodes' events: what it throws must end this process and not theirs.
   *
   * @param neighbour Whom its messages go to as they are, so that a node may lie; undefined for a control channel.
   */
  private guarded (neighbour: KmeId | undefined, handler: PeerHandler): PeerHandler {
    const call = (fn: () => void): void => {
      if (!this.alive) return
      try { fn() } catch (error) {
        if (error instanceof KmeError && error.code === 'PROTOCOL') { this.host.alarm(error.message); throw error }
        this.host.fatal(this, error)
      }
    }
    return {
      pads: handler.pads, hello: () => handler.hello(), acknowledged: () => handler.acknowledged?.(),
      onHello: (body, before) => { call(() => { handler.onHello(body, before) }) },
      onMessage: (name, body) => { call(() => { handler.onMessage(name, body) }) },
      onReady: (channel) => { call(() => { handler.onReady(this.observed(channel, neighbour)) }) },
      onClosed: (reason) => { call(() => { handler.onClosed(reason) }) }, onWritable: () => { call(() => { handler.onWritable?.() }) },
    }
  }

  /** What goes out, as the model sees it; to a neighbour it may be a lie. */
  private observed (channel: PeerChannel, neighbour: KmeId | undefined): PeerChannel {
    return {
      remote: channel.remote, close: (reason) => { channel.close(reason) },
      send: (name, body) => {
        const said = neighbour === undefined ? body : this.host.tamper(neighbour, name, body)
        if (said === undefined) return 'sent'
        const result = channel.send(name, said)
        if (result === 'sent') this.host.said(channel.remote, name, said)
        return result
      },
    }
  }

  /** Runs a callback of the process; what it throws ends the process, after its own end nothing runs. */
  run (fn: () => void): void {
    if (!this.alive) return
    try { fn() } catch (error) { this.host.fatal(this, error) }
  }

  /** Nothing new is begun; the peers hear where we stopped. */
  async drain (timeoutMs: number): Promise<void> {
    this.relay.stop('this KME is stopping')
    this.service.stop()
    await Promise.all(this.allPools.map((pool) => pool.stop(timeoutMs)))
  }

  end (): void {
    this.alive = false
    for (const cancel of [this.ticking, ...this.timers]) cancel()
    this.routes.stop()
    this.host.o.network.kill(this.host.o.id)
    queueMicrotask(() => { this.vault.zeroize() }) // Whoever called into it is still on the stack.
  }
}
