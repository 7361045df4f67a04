import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadNative, type NativeVault } from '../../src/device/native.js'
import { KmeError } from '../../src/kernel/errors.js'
import type { KmeId, SaeId } from '../../src/kernel/ids.js'
import { quietLog } from '../../src/kernel/log.js'
import type { Cancel, Clock } from '../../src/kernel/time.js'
import { createControlPeers, type ControlPeers } from '../../src/peer/control/control.js'
import { TunnelHub } from '../../src/peer/control/hub.js'
import { defaultTunnelLimits } from '../../src/peer/control/limits.js'
import { defaultPeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import { joinParts } from '../../src/peer/parts.js'
import type { PeerHandler } from '../../src/peer/ports.js'
import { keepConnected } from '../../src/peer/redial.js'
import { ExtensionRegistry } from '../../src/pool/extensions.js'
import { PoolKeyService } from '../../src/pool/key-service.js'
import { Pool } from '../../src/pool/pool.js'
import { defaultPoolLimits, type PoolDeps, type PoolEvent, type PoolLimits } from '../../src/pool/ports.js'
import type { DecKeysRequest, EncKeysRequest } from '../../src/pool/service.js'
import { RelayDesk } from '../../src/relay/desk.js'
import { defaultRelayLimits, type RelayLimits } from '../../src/relay/limits.js'
import { relayLink, relayPoolId } from '../../src/relay/link.js'
import { neighbourLane, RelayedEnd } from '../../src/relay/relayed.js'
import { createSimEndToEnd } from '../control-layer.js'
import type { SimNetwork } from '../network.js'
import type { SimRandom } from '../random.js'
import { simRecordKeys } from '../record-keys.js'
import { replyTo, type Answer } from '../sae-answer.js'
import type { SimClock } from '../clock.js'
import { SimDisk, type SimKv } from '../store.js'
import type { MeshGraph } from './graph.js'
import { MeshRing } from './ring.js'

export interface MeshKmeOptions {
  readonly id: KmeId
  readonly clock: SimClock
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly graph: MeshGraph
  /** Neighbours with the number of the link. */
  readonly neighbours: ReadonlyMap<KmeId, number>
  /** KMEs with which it has a relayed pool. */
  readonly relayed: readonly { readonly kme: KmeId, readonly paths: number }[]
  /** Where each SAE is. */
  readonly saes: ReadonlyMap<SaeId, KmeId>
  readonly limits: Partial<PoolLimits>
  readonly relayLimits: Partial<RelayLimits>
  readonly flushMs: number
  /** What relayed pools want however little they are used; size of the vault's arena. */
  readonly stockBytes: number, readonly arenaBytes: number
}

interface Process {
  alive: boolean
  readonly kv: SimKv, readonly vault: NativeVault, readonly start: number, readonly timers: Cancel[]
  readonly pools: ReadonlyMap<KmeId, Pool>, readonly relayed: ReadonlyMap<KmeId, Pool>
  readonly relay: RelayDesk, readonly service: PoolKeyService, readonly neighbours: PeerManager, readonly control: ControlPeers
}

/** One KME of a network with its neighbours, relayed pools, tunnels and relay: the real code in simulated time, on simulated disk and lines. */
export class MeshKme {
  readonly disk = new SimDisk()
  readonly events: PoolEvent[] = []
  /** Alarms of the relay. */
  readonly alarms: string[] = []
  /** Errors that are bugs. */
  readonly bugs: string[] = []
  process: Process | undefined
  /** A node that lies: what it does to a relayed message of its own before it goes out. */
  evil: ((name: string, body: unknown) => unknown) | undefined
  /** A node that takes relayed messages and says nothing. */
  isSilent = false
  private readonly rings = new Map<KmeId, MeshRing>()
  private readonly folder = mkdtempSync(join(tmpdir(), 'qkme-mesh-'))
  private readonly storeId: Uint8Array
  private starts: { number: number, nonce: Uint8Array }[] = []
  private ageBaseMs = 0
  private startedMs = 0

  constructor (readonly o: MeshKmeOptions) {
    this.storeId = o.random.bytes(16)
    for (const [kme, link] of o.neighbours) this.rings.set(kme, new MeshRing(link))
    loadNative().createVault({ arenaBytes: 65_536, allowUnlockedMemory: true }).createMasterKeyFile(join(this.folder, 'master.key'))
  }

  get running (): Process {
    if (this.process === undefined) throw new Error(`${this.o.id} is not running`)
    return this.process
  }

  // --- life -------------------------------------------------------------------------------------------------------

  async start (): Promise<void> {
    const { o } = this
    const kv = this.disk.open({ clock: o.clock, flushMs: o.flushMs })
    const me = { number: (this.starts.at(-1)?.number ?? 0) + 1, nonce: o.random.bytes(16) }
    this.starts = [...this.starts, me]
    for (const ring of this.rings.values()) ring.restart()
    const process = this.process = this.build(kv, me.number, me.nonce)
    await kv.flushed()
    if (process.alive) await this.connect(process)
  }

  private ageMs (): number { return this.ageBaseMs + this.o.clock.monoMs() - this.startedMs }

  private build (kv: SimKv, start: number, nonce: Uint8Array): Process {
    const { o } = this
    this.startedMs = o.clock.monoMs()
    const vault = loadNative().createVault({ arenaBytes: o.arenaBytes, allowUnlockedMemory: true, seed: o.random.bytes(32) })
    const timers: Cancel[] = []
    const process = { alive: true, kv, vault, timers, start } as unknown as Process & Record<string, unknown>
    const clock: Clock = { wallMs: () => o.clock.wallMs(), monoMs: () => o.clock.monoMs(), after: (ms, fn) => o.clock.after(ms, () => { this.inProcess(process, fn) }) }
    const keys = simRecordKeys(vault, join(this.folder, 'master.key'), start)
    const deps = (remote: KmeId): PoolDeps => ({
      self: o.id, remote, kv, clock, ageMs: () => this.ageMs(), random: o.random, vault, keys, disowned: '',
      incarnation: { storeId: this.storeId, number: start, nonce, known: (n, x) => this.starts.some((s) => s.number === n && Buffer.from(s.nonce).equals(x)) },
      limits: { ...defaultPoolLimits, ...o.limits }, soon: (fn) => { queueMicrotask(() => { this.inProcess(process, fn) }) },
      emit: (e) => { if (e.type !== 'pool.stock') this.events.push(e) }, fatal: (error) => { this.fatal(process, error) },
      admit: (_m, slaves) => slaves.every((s) => o.saes.get(s) === o.id) ? '' : 'unknown', ownSaes: () => ({ generation: 1, saes: [] }),
      announced: () => {}, auditHead: () => ({ records: 0, head: new Uint8Array(32) }),
    })
    const pools = new Map([...o.neighbours].map(([kme, link]) => [kme, new Pool(deps(kme), [link])]))
    const relayed = new Map(o.relayed.map(({ kme, paths }) => [kme, new Pool({ ...deps(kme), poolId: relayPoolId(kme) }, [relayLink(o.id, kme)], { route: 'relayed', paths, hybrid: false })]))
    const ends = new Map([...relayed].map(([kme, pool]) => [kme, new RelayedEnd(pool, o.stockBytes)]))
    const relay = new RelayDesk({
      self: o.id, vault, keys, clock, random: o.random, limits: { ...defaultRelayLimits, ...o.relayLimits }, start, hybrid: undefined,
      routes: { paths: (to, query) => o.graph.disjoint(o.id, to, query), mayForward: () => '' },
      neighbour: (kme) => this.laneTo(pools.get(kme)), relayed: (kme) => ends.get(kme), security: (event, _subject, detail) => { this.alarms.push(`${event}: ${detail}`) },
    })
    for (const end of ends.values()) relay.add(end)
    const service = this.service(process, clock, pools, relayed, deps)
    const hub = new TunnelHub({ self: o.id, clock, random: o.random, log: quietLog, limits: defaultTunnelLimits })
    const shared = { self: o.id, vault, clock, random: o.random, log: quietLog, limits: { ...defaultPeerLimits, sendQueueBytesMax: 8 << 20 } }
    const handlers = new Map([...pools].map(([kme, pool]) => [kme, this.guarded(process, joinParts(pool, [hub.neighbour(kme), relay.part(kme)]))]))
    const neighbours = createPeerManager({ ...shared, peers: [...pools.keys()].map((id) => ({ id, url: `sim://${id}` })), handlerFor: (kme) => handlers.get(kme), ...o.network.node(o.id) })
    const far = new Map([...relayed].map(([kme, pool]) => [kme, this.guarded(process, joinParts(pool, [relay.controlPart(kme)]))]))
    const control = createControlPeers({
      ...shared, hub, endToEnd: createSimEndToEnd(o.id, 'secret of the run', clock), paths: { paths: (to) => o.graph.ways(o.id, to) }, handlerFor: (kme) => far.get(kme),
    })
    const tick = (): void => {
      timers[0] = clock.after(100, () => {
        for (const pool of [...pools.values(), ...relayed.values()]) pool.tick()
        this.drain(process)
        relay.tick()
        tick()
      })
    }
    tick()
    return Object.assign(process, { pools, relayed, relay, service, neighbours, control }) as unknown as Process
  }

  private laneTo (pool: Pool | undefined): ReturnType<typeof neighbourLane> | undefined {
    if (pool === undefined) return undefined
    const lane = neighbourLane(pool)
    return { access: lane.access, send: (name, body) => this.isSilent || lane.send(name, (this.evil?.(name, body) ?? body) as typeof body) }
  }

  private service (process: Process, clock: Clock, pools: ReadonlyMap<KmeId, Pool>, relayed: ReadonlyMap<KmeId, Pool>, deps: (remote: KmeId) => PoolDeps): PoolKeyService {
    const { o } = this
    return new PoolKeyService({
      self: o.id, clock, vault: process.vault, kv: process.kv, soon: deps(o.id).soon, fatal: (error) => { this.fatal(process, error) }, security: (event, detail) => { this.alarms.push(`${event}: ${detail}`) },
      poolsWith: (kme) => [pools.get(kme), relayed.get(kme)].filter((pool) => pool !== undefined), pools: () => [...pools.values(), ...relayed.values()],
      policy: { whereIs: (sae) => o.saes.get(sae), allowed: () => true, confidentialNames: false },
      sizes: { defaultBits: 256, minBits: 64, maxBits: 8192, maxPerRequest: 128, maxKeyCount: 100_000, maxSaeIds: 16, leaseWaitMs: 50, foreignIdsPerS: 64 },
      extensions: new ExtensionRegistry(), localSource: 'random', audit: { record: () => 1, recordIn: () => 1, healthy: () => true }, accepting: () => process.alive,
    })
  }

  private async connect (process: Process): Promise<void> {
    const { o } = this
    const clock: Clock = { wallMs: () => o.clock.wallMs(), monoMs: () => o.clock.monoMs(), after: (ms, fn) => o.clock.after(ms, () => { this.inProcess(process, fn) }) }
    const keep = (remote: KmeId, manager: PeerManager): void => {
      process.timers.push(keepConnected({ self: o.id, remote, hasUrl: true, manager, clock, random: o.random, limits: { ...defaultPeerLimits, backoffMinMs: 100, backoffMaxMs: 1_000 }, onWait: () => {} }))
    }
    await process.neighbours.start()
    await process.control.manager.start()
    for (const remote of process.pools.keys()) keep(remote, process.neighbours)
    process.control.watch({ opened: (remote) => { keep(remote, process.control.manager) }, closed: () => {} })
    for (const remote of process.relayed.keys()) process.control.open(remote)
  }

  /** A handler is called within other nodes' events: what it throws must end this process and not theirs. */
  private guarded (process: Process, handler: PeerHandler): PeerHandler {
    const call = (fn: () => void): void => {
      if (!process.alive) return
      try { fn() } catch (error) {
        if (error instanceof KmeError && error.code === 'PROTOCOL') { this.alarms.push(error.message); throw error }
        this.fatal(process, error)
      }
    }
    return {
      pads: handler.pads, hello: () => handler.hello(), onHello: (body) => { call(() => { handler.onHello(body) }) },
      onMessage: (name, body) => { call(() => { handler.onMessage(name, body) }) }, onReady: (channel) => { call(() => { handler.onReady(channel) }) },
      onClosed: (reason) => { call(() => { handler.onClosed(reason) }) }, onWritable: () => { call(() => { handler.onWritable?.() }) },
    }
  }

  private fatal (process: Process, error: unknown): void {
    if (!process.alive) return
    if (!(error instanceof KmeError && error.code.startsWith('STORE_'))) this.bugs.push(error instanceof Error ? error.stack ?? error.message : String(error))
    this.end(process)
    this.disk.kill()
  }

  private inProcess (process: Process, fn: () => void): void {
    if (!process.alive) return
    try { fn() } catch (error) { this.fatal(process, error) }
  }

  private end (process: Process): void {
    process.alive = false
    this.process = undefined
    this.ageBaseMs = this.ageMs()
    for (const cancel of process.timers) cancel()
    this.o.network.kill(this.o.id)
    queueMicrotask(() => { process.vault.zeroize() })
  }

  /** SIGKILL: the newest `lost` unflushed transactions are gone. */
  kill (lost = 0): void { if (this.process !== undefined) { this.end(this.process); this.disk.kill(lost) } }

  // --- device and SAEs ---------------------------------------------------------------------------------------------

  frame (neighbour: KmeId, id: number, seed: number): void { this.rings.get(neighbour)?.push(id, seed) }

  private drain (process: Process): void {
    for (const [kme, ring] of this.rings) {
      const pool = process.pools.get(kme)
      if (pool !== undefined) ring.drain(process, pool, (error) => { this.fatal(process, error) })
    }
  }

  enc (request: Partial<EncKeysRequest> & Pick<EncKeysRequest, 'caller' | 'slave'>, then: (answer: Answer) => void): void {
    const process = this.running
    this.inProcess(process, () => { process.service.encKeys({ additionalSlaves: [], number: 1, sizeBits: 256, extensions: [], ...request }, replyTo(then)) })
  }

  dec (request: DecKeysRequest, then: (answer: Answer) => void): void {
    const process = this.running
    this.inProcess(process, () => { process.service.decKeys(request, replyTo(then)) })
  }

  dispose (): void {
    this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
