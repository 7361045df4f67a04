import { loadNative, META_NUMBERS, RECORD_HEADER_BYTES, RECORD_STRIDE, type NativeVault, type SealerHandle } from '../../src/device/native.js'
import { KmeError } from '../../src/kernel/errors.js'
import type { KmeId, SaeId } from '../../src/kernel/ids.js'
import { quietLog } from '../../src/kernel/log.js'
import type { Cancel, Clock } from '../../src/kernel/time.js'
import { defaultPeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import type { PeerHandler } from '../../src/peer/ports.js'
import { keepConnected } from '../../src/peer/redial.js'
import { ExtensionRegistry } from '../../src/pool/extensions.js'
import { PoolKeyService } from '../../src/pool/key-service.js'
import { LocalPool } from '../../src/pool/local-pool.js'
import { Pool } from '../../src/pool/pool.js'
import { defaultPoolLimits, type Incarnation, type PoolDeps, type PoolEvent, type PoolLimits } from '../../src/pool/ports.js'
import { storedFrames } from '../../src/pool/frame-rows.js'
import { tableOf } from '../../src/pool/rows.js'
import type { ReserveSettings } from '../../src/pool/reserve.js'
import type { DecKeysRequest, EncKeysRequest } from '../../src/pool/service.js'
import type { AuditEntry } from '../../src/pool/service-ports.js'
import type { Kv } from '../../src/store/kv.js'
import { makeRecordHeader, recordName, RECORD_KIND } from '../../src/store/record.js'
import type { SimClock } from '../clock.js'
import { SimIdentity } from '../identity.js'
import { simMasterKey } from '../master-key.js'
import type { SimNetwork } from '../network.js'
import type { SimRandom } from '../random.js'
import { simRecordKeys } from '../record-keys.js'
import { replyTo, type Answer } from '../sae-answer.js'
import { framePayload } from './payload.js'
import { SimDisk, type SimKv } from '../store.js'

export interface NodeOptions {
  readonly id: KmeId
  readonly peer: KmeId
  readonly clock: SimClock
  /** What this KME's wall clock shows; by default the simulation's. */
  readonly wallMs?: () => number
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly saes: readonly SaeId[]
  readonly peerSaes: readonly SaeId[]
  readonly limits?: Partial<PoolLimits>
  readonly reserve?: ReserveSettings
  readonly flushMs?: number
  readonly arenaBytes?: number
  /** A copy of another node: its disk and its identity. */
  readonly copyOf?: SimNode
}

/** Frames that the ring holds for a KME that does not take them; further ones are lost, at this end only. */
const RING_FRAMES = 96
const BATCH_FRAMES = 32

/** A frame in the ring, until it is durable. */
interface RingFrame { readonly name: { link: number, id: string, offset: number }, readonly seed: number, readonly length: number }

/** One process of a KME: everything of it dies with `alive = false`. */
interface Process {
  alive: boolean
  readonly kv: SimKv, readonly vault: NativeVault, readonly pool: Pool, readonly local: LocalPool
  readonly service: PoolKeyService, readonly manager: PeerManager, readonly sealer: SealerHandle, readonly start: number
  readonly timers: Cancel[]
}

/**
 * A whole KME without REST and device, in simulated time, on a simulated disk and network, with the real engine, the real
 * channel and the real vault. It can be stopped, killed, cut from power, copied and restored.
 */
export class SimNode {
  readonly disk: SimDisk
  readonly events: PoolEvent[] = []
  readonly audit: AuditEntry[] = []
  process: Process | undefined
  /** How long a flush of the disk takes from now on. */
  flushMs: number
  private readonly ring: RingFrame[] = []
  /** Frames of the ring's head that this process has taken and not yet flushed. */
  private taken = 0
  private readonly identity: SimIdentity
  /** Set when the engine found that its store was rolled back; `start` then takes a new store ID. */
  rolledBack = ''

  constructor (readonly o: NodeOptions) {
    this.flushMs = o.flushMs ?? 1
    this.identity = new SimIdentity(o.clock, o.random, o.copyOf?.identity.storeId)
    this.disk = o.copyOf?.disk.copy() ?? new SimDisk()
  }

  get pool (): Pool { return this.running.pool }
  get running (): Process {
    if (this.process === undefined) throw new Error(`${this.o.id} is not running`)
    return this.process
  }

  // --- life -------------------------------------------------------------------------------------------------------

  /** Reads the start counter and IDs from the disk, as src/store/open.ts does, and runs. */
  async start (): Promise<void> {
    const { o } = this
    const delay = (): number => this.flushMs
    const kv = this.disk.open({ clock: o.clock, get flushMs () { return delay() } })
    const reason = this.rolledBack
    this.rolledBack = ''
    const incarnation = this.identity.begin(kv, reason !== '')
    this.forgetKnownFrames(kv)
    let process: Process
    try {
      this.identity.save(kv)
      process = this.build(kv, incarnation, reason)
    } catch (error) { // A disk that fails within the start: whoever starts processes tries again.
      if (!(error instanceof KmeError)) throw error
      this.disk.kill()
      this.rolledBack = reason
      return
    }
    this.process = process
    this.hasLostLocalPool = false
    this.inProcess(process, () => { this.drain() })
    if (!process.alive) this.rolledBack = reason
    kv.flushed().then(() => { if (process.alive) this.connect(process) }).catch(() => {})
    await Promise.resolve()
  }

  private build (kv: SimKv, incarnation: Incarnation, reason: string): Process {
    const { o } = this, start = incarnation.number
    const vault = loadNative().createVault({ arenaBytes: o.arenaBytes ?? 2 << 20, allowUnlockedMemory: true, seed: o.random.bytes(32) })
    const timers: Cancel[] = []
    const process = { alive: true, kv, vault, timers, start } as unknown as Process & Record<string, unknown>
    const clock: Clock = { // Timers of a dead process do nothing.
      wallMs: () => (o.wallMs ?? o.clock.wallMs.bind(o.clock))(), monoMs: () => o.clock.monoMs(),
      after: (delayMs, fn) => o.clock.after(delayMs, () => { this.inProcess(process, fn) }),
    }
    const keys = simRecordKeys(vault, simMasterKey(), start)
    const base = (remote: KmeId, disowned = ''): PoolDeps => ({
      self: o.id, remote, kv, clock, ageMs: () => this.identity.ageMs(), random: o.random, vault, keys, incarnation,
      limits: { ...defaultPoolLimits, ...o.limits }, soon: (fn) => { queueMicrotask(() => { this.inProcess(process, fn) }) },
      disowned, emit: (e) => { if (e.type !== 'pool.stock') this.onEvent(e) },
      fatal: (error) => { this.fatal(process, error) },
      admit: (_m, slaves) => slaves.every((s) => o.saes.includes(s)) ? '' : 'unknown', ownSaes: () => ({ generation: 1, saes: o.saes }),
      announced: () => {}, auditHead: () => ({ records: this.audit.length, head: new Uint8Array(32) }),
    })
    const pool = new Pool(base(o.peer, reason), [1])
    const local = new LocalPool(base(o.id, this.hasLostLocalPool ? 'the stamp is not its own' : reason), 65_536)
    const service = new PoolKeyService({
      self: o.id, clock, vault, kv, soon: base(o.id).soon, fatal: (error) => { this.fatal(process, error) },
      security: (event, detail) => { this.onEvent({ type: 'security', event, detail }) },
      poolsWith: (kme) => kme === o.peer ? [pool] : kme === o.id ? [local] : [], pools: () => [pool, local], wanted: () => false,
      policy: { whereIs: (s) => o.saes.includes(s) ? o.id : o.peerSaes.includes(s) ? o.peer : undefined, allowed: () => true, confidentialNames: false },
      sizes: { defaultBits: 256, minBits: 64, maxBits: 8192, maxPerRequest: 128, maxKeyCount: 100_000, maxSaeIds: 16, leaseWaitMs: 50, foreignIdsPerS: 64 },
      ...(o.reserve === undefined ? {} : { reserve: o.reserve }), extensions: new ExtensionRegistry(), details: { keys: 'wayAndAge', status: true, localSource: 'random' },
      audit: { record: (e) => this.audit.push(e), recordIn: (_tx, e) => this.audit.push(e), healthy: () => true }, accepting: () => process.alive,
    })
    const { dialler, listen } = o.network.process(o.id, timers)
    const manager = createPeerManager({
      self: o.id, peers: [{ id: o.peer, url: `wss://${o.peer}` }], handlerFor: () => this.guarded(process, pool), vault, clock, random: o.random, log: quietLog,
      limits: defaultPeerLimits, dialler, listen,
    } as Parameters<typeof createPeerManager>[0])
    const tick = (): void => {
      timers[0] = clock.after(250, () => {
        pool.tick()
        local.tick()
        this.drain()
        if (process.alive) this.identity.save(kv)
        tick()
      })
    }
    tick()
    return Object.assign(process, { pool, local, service, manager, sealer: keys.sealer('').sealer }) as unknown as Process
  }

  private connect (process: Process): void {
    const { o } = this
    void process.manager.start()
    process.timers.push(keepConnected({
      self: o.id, remote: o.peer, hasUrl: true, manager: process.manager, random: o.random, limits: defaultPeerLimits, onWait: () => {},
      clock: { wallMs: () => o.clock.wallMs(), monoMs: () => o.clock.monoMs(), after: (ms, fn) => o.clock.after(ms, () => { this.inProcess(process, fn) }) },
    }))
  }

  private onEvent (event: PoolEvent): void { this.events.push(event) }

  /** Errors that no disk made: bugs of the engine. */
  readonly bugs: string[] = []
  /** The process ends, as src/main.ts does: after a failed disk, or after a bug. */
  private fatal (process: Process, error: unknown): void {
    if (!process.alive) return
    if (!(error instanceof KmeError && error.code.startsWith('STORE_'))) this.bugs.push(error instanceof Error ? error.stack ?? error.message : String(error))
    this.end(process)
    this.disk.kill()
  }

  /** Runs a callback of the process; what it throws after its own end goes nowhere, and before ends it. */
  private inProcess (process: Process, fn: () => void): void {
    if (!process.alive) return
    try { fn() } catch (error) { this.fatal(process, error) }
  }

  /** The peer channel calls into the engine within the other node's events: the death of one process must not unwind through the other. */
  private guarded (process: Process, pool: Pool): PeerHandler {
    const call = (fn: () => void): void => {
      if (!process.alive) return
      try { fn() } catch (error) {
        if (error instanceof KmeError && error.code === 'PROTOCOL') throw error
        this.fatal(process, error)
      }
    }
    return {
      pads: pool.pads, hello: () => pool.hello(), acknowledged: () => pool.acknowledged(), onHello: (body, before) => { call(() => { pool.onHello(body, before) }) },
      onMessage: (name, body) => { call(() => { pool.onMessage(name, body) }) }, onReady: (channel) => { call(() => { pool.onReady(channel) }) },
      onClosed: (reason) => { call(() => { pool.onClosed(reason) }) }, onWritable: () => { call(() => { pool.onWritable() }) },
    }
  }

  private end (process: Process): void {
    process.alive = false
    this.process = undefined
    for (const cancel of process.timers) cancel()
    this.o.network.kill(this.o.id)
    queueMicrotask(() => { process.vault.zeroize() }) // Whoever called into it is still on the stack.
  }

  private hasLostLocalPool = false
  /** The next start voids the pool with itself: what a stamp that is not its own does. */
  loseLocalPool (): void { this.hasLostLocalPool = true }

  /** A new machine: an empty disk, another store, and a ring whose frames nobody waits for. */
  replaceDisk (): void {
    this.disk.restore(new SimDisk())
    this.identity.forget()
    this.rolledBack = ''
    this.ring.length = this.taken = 0
  }

  /** SIGKILL: the newest `lost` unflushed transactions are gone. */
  kill (lost = 0): void { if (this.process !== undefined) { this.end(this.process); this.disk.kill(lost) } }
  powerCut (survivors = 0): void { if (this.process !== undefined) { this.end(this.process); this.disk.powerCut(survivors) } }

  /** Drains, says bye, waits, ends. */
  async stop (timeoutMs = 1_000): Promise<void> {
    const process = this.running
    const done = Promise.all([process.pool.stop(timeoutMs), process.local.stop()]).catch((error: unknown) => { this.fatal(process, error) })
    for (let i = 0; i < 100; i++) {
      const finished = await Promise.race([done.then(() => true), this.o.clock.advanceAsync(20).then(() => false)])
      if (finished) break
    }
    this.inProcess(process, () => {
      this.identity.save(process.kv)
      this.end(process)
      this.disk.kill()
    })
  }

  // --- device and SAEs ---------------------------------------------------------------------------------------------

  /** The link delivers a frame into this KME's ring. The device keeps it there until it is durable. */
  frame (id: number, payloadSeed: number, length = 3_968): void {
    if (this.ring.length >= RING_FRAMES) return
    this.ring.push({ name: { link: 1, id: id.toString(16).padStart(32, '0'), offset: 0 }, seed: payloadSeed, length })
    if (this.process !== undefined) this.inProcess(this.process, () => { this.drain() })
  }

  /** After a start the device sends again what was not acknowledged; the ring's reader drops what the store knows (device.md 5.5). */
  private forgetKnownFrames (kv: Kv): void {
    this.taken = 0
    if (this.ring.length === 0) return
    const finished = new Set<string>()
    for (const { value } of kv.range(tableOf('tomb', this.o.peer))) {
      for (let at = 0; at < value.length; at += RECORD_HEADER_BYTES) finished.add(recordName(value.subarray(at, at + RECORD_HEADER_BYTES)).id)
    }
    for (const { frame } of storedFrames(kv, 1)) finished.add(frame.id)
    const fresh = this.ring.filter((f) => !finished.has(f.name.id))
    this.ring.splice(0, this.ring.length, ...fresh)
  }

  /** Seals what waits in the ring, as the ingest path does, in batches. */
  private drain (): void {
    const process = this.process
    if (process === undefined) return
    while (process.alive && this.taken < this.ring.length && process.pool.hungry) {
      const batch = this.ring.slice(this.taken, this.taken + BATCH_FRAMES)
      const records = new Uint8Array(batch.length * RECORD_STRIDE)
      const meta = new Uint32Array(batch.length * META_NUMBERS)
      batch.forEach((f, i) => {
        const header = makeRecordHeader(RECORD_KIND.device, f.name, f.length, 1, process.start)
        meta[i * META_NUMBERS] = process.vault.sealBytes(process.sealer, header, framePayload(f.seed, f.length), records.subarray(i * RECORD_STRIDE))
      })
      this.taken += batch.length
      process.pool.ingest(records, meta, batch.length)
      process.kv.flushed().then(() => {
        if (!process.alive) return
        this.ring.splice(0, batch.length)
        this.taken -= batch.length
      }).catch((error: unknown) => { this.fatal(process, error) })
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

  /** An operator voids the pool. */
  voidPool (): void {
    const process = this.running
    this.inProcess(process, () => { process.pool.void('an operator said so') })
  }

  /** Numbers of blocks go on so much higher, as after years. */
  skipBlocks (count: number): void {
    const process = this.process
    if (process === undefined) return
    this.inProcess(process, () => {
      for (const { core } of [process.pool, process.local]) if (core.proposer || core === process.local.core) core.commit(() => { core.meta.highestBlock += count })
    })
  }

  dispose (): void { this.kill() }
}
