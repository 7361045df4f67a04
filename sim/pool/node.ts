import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadNative, RECORD_STRIDE, type KeyHandle, type NativeVault, type SealerHandle } from '../../src/device/native.js'
import type { KmeId, SaeId } from '../../src/kernel/ids.js'
import { quietLog } from '../../src/kernel/log.js'
import type { Cancel, Clock } from '../../src/kernel/time.js'
import { defaultPeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import { keepConnected } from '../../src/peer/redial.js'
import { PoolKeyService } from '../../src/pool/key-service.js'
import { LocalPool } from '../../src/pool/local-pool.js'
import { Pool } from '../../src/pool/pool.js'
import { defaultPoolLimits, type PoolDeps, type PoolEvent, type PoolLimits, type RecordKeys } from '../../src/pool/ports.js'
import type { DecKeysRequest, EncKeysRequest, Refusal } from '../../src/pool/service.js'
import type { AuditEntry } from '../../src/pool/service-ports.js'
import { makeRecordHeader, RECORD_KIND, recordStart } from '../../src/store/record.js'
import type { SimClock } from '../clock.js'
import type { SimNetwork } from '../network.js'
import type { SimRandom } from '../random.js'
import { SimDisk, type SimKv } from '../store.js'

/** One key as an SAE got it. */
export interface GotKey { readonly id: string, readonly key: string }
export type Answer = { readonly keys: GotKey[] } | { readonly refusal: Refusal }

export interface NodeOptions {
  readonly id: KmeId
  readonly peer: KmeId
  readonly clock: SimClock
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly saes: readonly SaeId[]
  readonly peerSaes: readonly SaeId[]
  readonly limits?: Partial<PoolLimits>
  readonly flushMs?: number
  readonly arenaBytes?: number
}

const STARTS_KEPT = 64

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
  readonly disk = new SimDisk()
  readonly events: PoolEvent[] = []
  readonly audit: AuditEntry[] = []
  process: Process | undefined
  private readonly folder = mkdtempSync(join(tmpdir(), 'qkme-sim-'))
  private storeId: Uint8Array
  private starts: { number: number, nonce: Uint8Array }[] = []
  private ageBaseMs = 0
  /** Set when the engine found that its store was rolled back; `start` then takes a new store ID. */
  rolledBack = ''

  constructor (readonly o: NodeOptions) {
    this.storeId = o.random.bytes(16)
    loadNative().createVault({ arenaBytes: 65_536, allowUnlockedMemory: true }).createMasterKeyFile(join(this.folder, 'master.key'))
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
    const kv = this.disk.open({ clock: o.clock, flushMs: o.flushMs ?? 1 })
    const stored = kv.get(['store'])
    if (stored !== undefined) {
      const state = JSON.parse(Buffer.from(stored).toString()) as { id: string, starts: [number, string][], ageMs: number }
      this.storeId = Buffer.from(state.id, 'hex')
      this.starts = state.starts.map(([number, nonce]) => ({ number, nonce: Buffer.from(nonce, 'hex') }))
      this.ageBaseMs = state.ageMs
    } else this.starts = []
    if (this.rolledBack !== '') { // What the store helper does with a copy: a new identity, and no pool remembers its peer.
      this.storeId = o.random.bytes(16)
      this.rolledBack = ''
    }
    const start = (this.starts.at(-1)?.number ?? 0) + 1
    const me = { number: start, nonce: o.random.bytes(16) }
    this.starts = [...this.starts.slice(-STARTS_KEPT), me]
    this.saveStore(kv)
    const process = this.build(kv, start, me.nonce)
    this.process = process
    kv.flushed().then(() => { if (process.alive) this.connect(process) }).catch(() => {})
    await Promise.resolve()
  }

  private saveStore (kv: SimKv): void {
    const state = { id: Buffer.from(this.storeId).toString('hex'), starts: this.starts.map((s) => [s.number, Buffer.from(s.nonce).toString('hex')]), ageMs: this.ageMs() }
    kv.transact((tx) => { tx.put(['store'], Buffer.from(JSON.stringify(state))) })
  }

  private startedMs = 0
  private ageMs (): number { return this.ageBaseMs + this.o.clock.monoMs() - this.startedMs }

  private build (kv: SimKv, start: number, nonce: Uint8Array): Process {
    const { o } = this
    this.startedMs = o.clock.monoMs()
    const vault = loadNative().createVault({ arenaBytes: o.arenaBytes ?? 2 << 20, allowUnlockedMemory: true, seed: o.random.bytes(32) })
    const timers: Cancel[] = []
    const process = { alive: true, kv, vault, timers, start } as unknown as Process & Record<string, unknown>
    const clock: Clock = { // Timers of a dead process do nothing.
      wallMs: () => o.clock.wallMs(), monoMs: () => o.clock.monoMs(),
      after: (delayMs, fn) => o.clock.after(delayMs, () => { if (process.alive) fn() }),
    }
    const keys = this.recordKeys(vault, start)
    const base = (remote: KmeId): PoolDeps => ({
      self: o.id, remote, kv, clock, ageMs: () => this.ageMs(), random: o.random, vault, keys,
      incarnation: { storeId: this.storeId, number: start, nonce, known: (n, x) => this.starts.some((s) => s.number === n && Buffer.from(s.nonce).equals(x)) },
      limits: { ...defaultPoolLimits, ...o.limits }, soon: (fn) => { queueMicrotask(() => { if (process.alive) fn() }) },
      emit: (e) => { if (e.type !== 'pool.stock') this.onEvent(e) },
      fatal: (error) => { this.fatal(process, error) },
      admit: (_m, slaves) => slaves.every((s) => o.saes.includes(s)) ? '' : 'unknown', ownSaes: () => ({ generation: 1, saes: o.saes }),
      announced: () => {}, auditHead: () => ({ records: this.audit.length, head: new Uint8Array(32) }),
    })
    const pool = new Pool(base(o.peer), [1])
    const local = new LocalPool(base(o.id))
    const service = new PoolKeyService({
      self: o.id, clock, vault, kv, soon: base(o.id).soon, fatal: (error) => { this.fatal(process, error) },
      security: (event, detail) => { this.onEvent({ type: 'security', event, detail }) },
      pool: (kme) => kme === o.peer ? pool : kme === o.id ? local : undefined, pools: () => [pool, local],
      policy: { whereIs: (s) => o.saes.includes(s) ? o.id : o.peerSaes.includes(s) ? o.peer : undefined, allowed: () => true, confidentialNames: false },
      sizes: { defaultBits: 256, minBits: 64, maxBits: 8192, maxPerRequest: 128, maxKeyCount: 100_000, maxSaeIds: 16, leaseWaitMs: 50, foreignIdsPerS: 64 },
      localSource: 'random',
      audit: { record: (e) => this.audit.push(e), recordIn: (_tx, e) => this.audit.push(e), healthy: () => true }, accepting: () => process.alive,
    })
    const { dialler, listen } = o.network.node(o.id)
    const manager = createPeerManager({
      self: o.id, peers: [{ id: o.peer, url: `wss://${o.peer}` }], handlerFor: () => pool, vault, clock, random: o.random, log: quietLog,
      limits: defaultPeerLimits, dialler, listen,
    } as Parameters<typeof createPeerManager>[0])
    const tick = (): void => {
      timers[0] = clock.after(250, () => {
        pool.tick()
        local.tick()
        if (this.running.alive) this.saveStore(kv)
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
      clock: { wallMs: () => o.clock.wallMs(), monoMs: () => o.clock.monoMs(), after: (ms, fn) => o.clock.after(ms, () => { if (process.alive) fn() }) },
    }))
  }

  private recordKeys (vault: NativeVault, start: number): RecordKeys {
    const master = vault.openMasterKeyFile(join(this.folder, 'master.key'))
    const openers = new Map<number, KeyHandle>()
    const opener = (n: number): KeyHandle => {
      let key = openers.get(n)
      if (key === undefined) openers.set(n, key = vault.deriveKey(master, Uint8Array.of(n & 0xff, n >>> 8 & 0xff, n >>> 16 & 0xff), 'record'))
      return key
    }
    const sealer = vault.createSealer(opener(start), start)
    const aad = new Uint8Array(1)
    return {
      sealer: () => ({ sealer, slot: 1 }), opener: (record) => opener(recordStart(record)), added: () => {}, removed: () => {},
      wrap: (key) => vault.wrapKey(master, key, aad), unwrap: (wrapped) => vault.unwrapKey(master, wrapped, aad),
    }
  }

  private onEvent (event: PoolEvent): void {
    this.events.push(event)
    if (event.type === 'store.rolledBack') this.rolledBack = event.reason
  }

  /** A failed store: the process ends, as src/main.ts does. */
  fatalError: unknown
  private fatal (process: Process, error: unknown): void {
    if (!process.alive) return
    this.fatalError = error
    this.end(process)
    this.disk.kill()
  }

  private end (process: Process): void {
    process.alive = false
    this.o.network.kill(this.o.id)
    for (const cancel of process.timers) cancel()
    process.vault.zeroize()
    this.process = undefined
  }

  /** SIGKILL: the newest `lost` unflushed transactions are gone. */
  kill (lost = 0): void { if (this.process !== undefined) { this.end(this.process); this.disk.kill(lost) } }
  powerCut (survivors = 0): void { if (this.process !== undefined) { this.end(this.process); this.disk.powerCut(survivors) } }

  /** Drains, says bye, waits, ends. */
  async stop (timeoutMs = 1_000): Promise<void> {
    const process = this.running
    const done = Promise.all([process.pool.stop(timeoutMs), process.local.stop()])
    for (let i = 0; i < 100; i++) {
      const finished = await Promise.race([done.then(() => true), this.o.clock.advanceAsync(20).then(() => false)])
      if (finished) break
    }
    if (!process.alive) return
    this.saveStore(process.kv)
    this.end(process)
    this.disk.kill()
  }

  // --- device and SAEs ---------------------------------------------------------------------------------------------

  /** The link delivers a frame: `payload` is sealed as the ingest path does. */
  frame (id: number, payloadSeed: number, length = 3_968): void {
    const process = this.process
    if (process === undefined || !process.pool.hungry) return
    const header = makeRecordHeader(RECORD_KIND.device, { link: 1, id: id.toString(16).padStart(32, '0'), offset: 0 }, length, 1, process.start)
    const record = new Uint8Array(RECORD_STRIDE)
    const bytes = process.vault.sealBytes(process.sealer, header, framePayload(payloadSeed, length), record)
    process.pool.ingest(record, [bytes], 1)
  }

  enc (request: Partial<EncKeysRequest> & Pick<EncKeysRequest, 'caller' | 'slave'>, then: (answer: Answer) => void): void {
    this.running.service.encKeys({ additionalSlaves: [], number: 1, sizeBits: 256, extensions: [], ...request }, replyTo(then))
  }

  dec (request: DecKeysRequest, then: (answer: Answer) => void): void { this.running.service.decKeys(request, replyTo(then)) }

  /** Ends and deletes the temporary folder. */
  dispose (): void {
    if (this.process !== undefined) this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const replyTo = (then: (answer: Answer) => void): Parameters<PoolKeyService['encKeys']>[1] => ({
  keys: (json) => {
    const container = JSON.parse(Buffer.from(json).toString()) as { keys: { key_ID: string, key: string }[] }
    then({ keys: container.keys.map((k) => ({ id: k.key_ID, key: k.key })) })
  },
  refuse: (refusal) => { then({ refusal }) },
})

/** Payload of a simulated frame: the same at both ends for the same seed. */
export const framePayload = (seed: number, length: number): Uint8Array => {
  const out = new Uint8Array(length)
  let x = Math.imul(seed + 1, 0x9e3779b1) >>> 0
  for (let i = 0; i < length; i++) {
    x = Math.imul(x ^ x >>> 15, 0x2c1b3c6d) + 0x6d2b79f5 >>> 0
    out[i] = x >>> 24
  }
  return out
}

