import { uuidText } from '../../src/device/formats/uuid.js'
import type { MessageName } from '../../src/peer/messages.js'
import { KmeError } from '../../src/kernel/errors.js'
import type { KmeId } from '../../src/kernel/ids.js'
import type { PoolEvent } from '../../src/pool/ports.js'
import type { DecKeysRequest, EncKeysRequest } from '../../src/pool/service.js'
import { runVoid, spreadVoid, voidPartOf, type VoidOrder, type VoidPart, type VoidResult } from '../../src/pool/void-desk.js'
import type { VoidAct } from '../../src/pool/voids.js'
import { SimIdentity } from '../identity.js'
import { replyTo, type Answer } from '../sae-answer.js'
import { SimDisk } from '../store.js'
import { MeshProcess, type MeshKmeOptions, type ProcessHost } from './process.js'
import { MeshRing } from './ring.js'

/** Messages of the relay: what a node that is silent swallows. */
const RELAYED: readonly string[] = ['relayAsk', 'relayReady', 'relayCancel', 'relay', 'relayFailed']

/**
 * One KME of a network with its neighbours, relayed pools, tunnels, routes and relay: the real code in simulated time, on simulated
 * disk and lines. It can be stopped, killed, cut from power and restored from an old copy.
 */
export class MeshKme {
  readonly disk = new SimDisk()
  readonly events: PoolEvent[] = []
  /** Alarms: security events, and what neighbours sent that no honest one sends. */
  readonly alarms: string[] = []
  /** Errors that are bugs. */
  readonly bugs: string[] = []
  process: MeshProcess | undefined
  /** A node that lies: what it makes of a message to a neighbour before it goes out; undefined swallows it. */
  evil: ((name: MessageName, body: unknown, to: KmeId) => unknown) | undefined
  /** Hears every message of this KME's engine that a channel took. */
  heard: ((to: KmeId, name: MessageName, body: object) => void) | undefined
  /** A node that takes relayed messages and says nothing. */
  isSilent = false
  /** Set when the engine found that its store was rolled back, or by whoever restores a copy; the next start takes a new identity. */
  rolledBack = ''
  private readonly rings = new Map<KmeId, MeshRing>()
  private readonly identity: SimIdentity
  private savedMs = 0
  private readonly host: ProcessHost

  constructor (readonly o: MeshKmeOptions, public flushMs: number) {
    this.identity = new SimIdentity(o.clock, o.random)
    for (const [kme, link] of o.neighbours) this.rings.set(kme, new MeshRing(link))
    this.host = {
      o, ageMs: () => this.identity.ageMs(), alarm: (text) => { this.alarms.push(text) }, fatal: (process, error) => { this.fatal(process, error) },
      event: (event) => {
        this.events.push(event)
        if (event.type === 'store.rolledBack') this.rolledBack = event.reason
        else if (event.type === 'keys.voided') spreadVoid(this.voidParts, event.pool, { id: event.incident, reason: event.reason }, event.spread) // As src/runtime/incidents.ts.
      },
      tick: (process) => { this.tick(process) },
      said: (to, name, body) => { this.heard?.(to, name, body) },
      tamper: (to, name, body) => this.isSilent && RELAYED.includes(name) ? undefined : this.evil === undefined ? body : this.evil(name, body, to) as object | undefined,
    }
  }

  get running (): MeshProcess {
    if (this.process === undefined) throw new Error(`${this.o.id} is not running`)
    return this.process
  }

  // --- life -------------------------------------------------------------------------------------------------------

  /** Returns before the start is on disk; the process speaks to its peers when it is. */
  async start (): Promise<void> {
    const { disk, identity } = this, delay = (): number => this.flushMs, reason = this.rolledBack
    const kv = disk.open({ clock: this.o.clock, get flushMs () { return delay() } })
    let process: MeshProcess
    try {
      const incarnation = identity.begin(kv, reason !== '')
      identity.save(kv)
      this.rolledBack = ''
      for (const ring of this.rings.values()) ring.restart()
      process = new MeshProcess(this.host, kv, incarnation, reason)
    } catch (error) { // A disk that fails within the start: whoever starts processes tries again.
      if (!(error instanceof KmeError)) throw error
      disk.kill()
      this.rolledBack = reason
      return
    }
    this.process = process
    // Nobody waits for it: the disk works in simulated time.
    kv.flushed().then(() => { if (process.alive) return process.connect(); return undefined }).catch((error: unknown) => { this.fatal(process, error) })
    await Promise.resolve()
  }

  private tick (process: MeshProcess): void {
    for (const [kme, ring] of this.rings) ring.drain(process, process.pools.get(kme)!, (error) => { this.fatal(process, error) })
    if (!process.alive || this.o.clock.now() - this.savedMs < 1_000) return
    this.savedMs = this.o.clock.now()
    process.run(() => { this.identity.save(process.kv) })
  }

  private fatal (process: MeshProcess, error: unknown): void {
    if (!process.alive) return
    if (!(error instanceof KmeError && error.code.startsWith('STORE_'))) this.bugs.push(error instanceof Error ? error.stack ?? error.message : String(error))
    this.end(process)
    this.disk.kill()
  }

  private end (process: MeshProcess): void {
    process.end()
    this.process = undefined
  }

  /** SIGKILL: the newest `lost` unflushed transactions are gone. */
  kill (lost = 0): void { if (this.process !== undefined) { this.end(this.process); this.disk.kill(lost) } }
  powerCut (survivors = 0): void { if (this.process !== undefined) { this.end(this.process); this.disk.powerCut(survivors) } }

  /** Says goodbye to those who listen, and ends. */
  async stop (timeoutMs = 1_000): Promise<void> {
    const process = this.running
    process.drain(timeoutMs).catch((error: unknown) => { this.fatal(process, error) }).finally(() => {
      process.run(() => {
        this.identity.save(process.kv)
        this.end(process)
        this.disk.kill()
      })
    })
    for (let waitedMs = 0; process.alive && waitedMs < 2 * timeoutMs; waitedMs += 50) await this.o.clock.advanceAsync(50)
  }

  // --- device and SAEs ---------------------------------------------------------------------------------------------

  frame (neighbour: KmeId, id: number, payload: Uint8Array): void { this.rings.get(neighbour)?.push(id, payload) }

  enc (request: Partial<EncKeysRequest> & Pick<EncKeysRequest, 'caller' | 'slave'>, then: (answer: Answer) => void): void {
    const process = this.running
    process.run(() => { process.service.encKeys({ additionalSlaves: [], number: 1, sizeBits: 256, extensions: [], ...request }, replyTo(then)) })
  }

  dec (request: DecKeysRequest, then: (answer: Answer) => void): void {
    const process = this.running
    process.run(() => { process.service.decKeys(request, replyTo(then)) })
  }

  // --- operators -----------------------------------------------------------------------------------------------------

  private get voidParts (): VoidPart[] { return this.running.allPools.map((pool) => voidPartOf(pool, this.running.vault)) }

  /** An operator's order. @returns what was done, which is durable when the store is flushed; undefined if this KME cannot just now. */
  void (act: VoidAct, order: VoidOrder): VoidResult | undefined {
    try {
      return runVoid(this.voidParts, act, order, false)
    } catch (error) {
      if (error instanceof KmeError) return undefined // Too many questions wait, or its disk has failed.
      throw error
    }
  }

  /** Key IDs of named grants that this KME has given or taken. */
  get grantedIds (): ReadonlySet<string> {
    const named = this.running.allPools.flatMap(({ named }) => named ?? [])
    return new Set([...named.flatMap(({ offers }) => offers.idsOf(() => true)).map((id) => uuidText(Buffer.from(id, 'hex'))), ...named.flatMap(({ keys }) => keys.those(() => true)).map((k) => k.id)])
  }

  /** Whether everybody else who could serve what an order made void has it on disk. */
  isVoided (act: VoidAct, { counts }: VoidResult): boolean {
    const { process } = this
    return process !== undefined && counts.every(({ pool, told }) => process.allPools.find(({ core }) => core.pool === pool)?.voids.isDone(act.id, told) ?? true)
  }

  dispose (): void { this.kill() }
}
