import type { KmeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import { Budget } from './budget.js'
import type { Database } from './database.js'
import { packUpdate, type Carried } from './packet.js'
import type { RoutingPorts } from './ports.js'

export interface Pace {
  /** Records wait this long for others that change soon, so that many go in one message. */
  readonly gatherMs: number
  /** The same for records that change what is reachable. */
  readonly urgentMs: number
  /** Messages to one neighbour: at once, and per second in the long run. Each costs 16 bytes of authentication key. */
  readonly burst: number
  readonly perS: number
}
export const defaultPace: Pace = { gatherMs: 1_000, urgentMs: 20, burst: 64, perS: 2 }

const RETRY_MS = 500
const CARRIED_MAX = 256

export interface OutletCounters { packets: number, bytes: number, records: number, unsent: number }

/**
 * What one neighbour lacks, by name of the record, and its sending: each record once, its newest state, many in a message. The
 * queue holds names, so it is never longer than the database. Survives nothing: a new connection begins with digests.
 */
export class Outlet {
  readonly counters: OutletCounters = { packets: 0, bytes: 0, records: 0, unsent: 0 }
  #connected = false
  readonly #records = new Set<string>()
  #packets: Uint8Array[] = []
  #dueMs = Infinity
  #timer: Cancel | undefined
  #timerMs = Infinity
  readonly #budget: Budget

  constructor (private readonly neighbour: KmeId, private readonly ports: RoutingPorts, private readonly database: Database, private readonly pace: Pace) {
    this.#budget = new Budget(pace.burst, pace.perS, ports.clock.monoMs())
  }

  get isConnected (): boolean { return this.#connected }
  /** Records that wait. */
  get waiting (): number { return this.#records.size }

  open (): void {
    this.close()
    this.#connected = true
  }

  close (): void {
    this.#connected = false
    this.#records.clear()
    this.#packets = []
    this.#dueMs = Infinity
    this.#stopTimer()
  }

  /** The newest state of a record is to be sent. */
  add (name: string, urgent: boolean): void {
    if (!this.#connected) return
    this.#records.add(name)
    this.#wake(urgent ? this.pace.urgentMs : this.pace.gatherMs)
  }

  /** The neighbour has it already. */
  remove (name: string): void { this.#records.delete(name) }

  /** A digest or check: goes before records, at once. */
  push (packets: readonly Uint8Array[]): void {
    if (!this.#connected) return
    this.#packets.push(...packets)
    this.#wake(0)
  }

  /** The channel has room again. */
  writable (): void { if (this.#connected && this.#pending) this.#wake(0) }

  get #pending (): boolean { return this.#records.size > 0 || this.#packets.length > 0 }

  #wake (delayMs: number): void {
    const now = this.ports.clock.monoMs()
    this.#dueMs = Math.min(this.#dueMs, now + delayMs)
    const atMs = Math.max(this.#dueMs, now + this.#budget.waitMs(1, now))
    if (this.#timer !== undefined && this.#timerMs <= atMs) return
    this.#stopTimer()
    this.#timerMs = atMs
    this.#timer = this.ports.clock.after(atMs - now, () => { this.#stopTimer(); this.#run() })
  }

  #stopTimer (): void {
    this.#timer?.()
    this.#timer = undefined
    this.#timerMs = Infinity
  }

  #run (): void {
    if (!this.#connected || !this.#pending) return
    const { clock } = this.ports, now = clock.monoMs()
    if (now < this.#dueMs || this.#budget.waitMs(1, now) > 0) { this.#wake(Math.max(0, this.#dueMs - now)); return }
    this.#dueMs = Infinity
    const sent = this.#packets.length > 0 ? this.#sendPacket() : this.#sendRecords(now)
    if (sent) this.#budget.take(1, now)
    if (this.#pending) this.#wake(sent ? this.pace.urgentMs : RETRY_MS)
  }

  #sendPacket (): boolean {
    if (!this.#send(this.#packets[0]!)) return false
    this.#packets.shift()
    return true
  }

  #sendRecords (nowMs: number): boolean {
    const names: string[] = [], carried: Carried[] = []
    for (const name of this.#inOrder()) {
      const held = this.database.get(name)
      if (held === undefined) { this.#records.delete(name); continue } // It died while it waited.
      names.push(name)
      carried.push({ bytes: held.record.bytes, ageMs: nowMs - held.bornMs + 1, hops: held.hops + 1 })
      if (carried.length >= CARRIED_MAX) break
    }
    if (carried.length === 0) return false
    const { packet, count } = packUpdate(carried)
    if (!this.#send(packet)) return false
    for (const name of names.slice(0, count)) this.#records.delete(name)
    this.counters.records += count
    return true
  }

  /** Certificates first, then links, then SAEs: what comes later can only be verified or used after what comes first. */
  #inOrder (): string[] {
    return [...this.#records].sort((a, b) => kindOf(a) - kindOf(b))
  }

  #send (packet: Uint8Array): boolean {
    const result = this.ports.send(this.neighbour, packet)
    if (result === 'sent') {
      this.counters.packets++
      this.counters.bytes += packet.length
      return true
    }
    this.counters.unsent++
    return false
  }
}

/** The kind code in a record's name. */
const kindOf = (name: string): number => Number(name.split(' ')[1])
