import { Counters } from '../kernel/metrics.js'
import type { KmeId } from '../kernel/ids.js'
import { isNewer, peekAnnouncement, readAnnouncement, sha256, type Announcement } from './announcement.js'
import { Budgets } from './budget.js'
import { Malformed, sameBytes } from './bytes.js'
import { PENDING, type Credentials } from './credentials.js'
import type { Database, Held } from './database.js'
import { FLOOD_HOPS_MAX, type Carried } from './packet.js'
import type { RoutingPorts } from './ports.js'

/** What became of records that neighbours brought. Everything but `accepted`, `repeated` and `pending`, which is looked at again, was refused. */
export const recordOutcomes = ['accepted', 'repeated', 'stale', 'expired', 'malformed', 'forged', 'uncertified', 'certificateRefused', 'pending', 'limited', 'noRoom', 'dropped'] as const
export type RecordOutcome = (typeof recordOutcomes)[number]

export interface IntakeEvents {
  /** A record came that is newer than `before`, in its place now. */
  accepted (held: Held, before: Held | undefined): void
  /** The neighbour has this record, or an older one (`older`): it lacks ours. */
  seen (neighbour: KmeId, name: string, older: boolean): void
  /** A record of our own that we did not make in this life, properly signed. */
  reflected (record: Announcement): void
}

/** A record of a certificate costs as much as so many others: its chain is judged. */
const CERTIFICATE_COST = 8
const COST_PER_TURN = 8
/** What is known already costs next to nothing. */
const KNOWN_COST = 0.1
const QUEUE_MAX = 8_192
/** Verifications that one neighbour can cause: a whole network at once, then a steady trickle. */
const NEIGHBOUR_BURST = 16_384, NEIGHBOUR_PER_S = 200
/** What one KME may announce: all its SAEs at once, then a steady trickle. */
const ORIGIN_BURST_BYTES = 8_388_608, ORIGIN_BYTES_PER_S = 2_048
const ORIGIN_BURST = 600, ORIGIN_PER_S = 2
const NAMES_MAX = 8_192
/** An OCSP responder is asked about a KME that is new here: its records wait, and are looked at again so often. Beyond, a refusal. */
const PENDING_MS = 500, PENDING_FOR_MS = 15_000, PENDING_MAX = 1_024

interface Waiting { readonly neighbour: KmeId, readonly carried: Carried, readonly sinceMs: number }

/**
 * Takes records from neighbours: parses, compares, verifies, bounds, stores. A few per turn of the event loop, because a
 * signature takes a tenth of a millisecond and key delivery must not wait. What is dropped at a bound is asked for again later
 * (`check` packets), so that no loss lasts.
 */
export class Intake {
  readonly outcomes = new Counters(recordOutcomes)
  readonly #queue: Waiting[] = []
  readonly #neighbours = new Budgets<KmeId>(NEIGHBOUR_BURST, NEIGHBOUR_PER_S, NAMES_MAX)
  readonly #originBytes = new Budgets<KmeId>(ORIGIN_BURST_BYTES, ORIGIN_BYTES_PER_S, NAMES_MAX)
  readonly #originRecords = new Budgets<KmeId>(ORIGIN_BURST, ORIGIN_PER_S, NAMES_MAX)
  #scheduled = false
  /** What waits for the judgement of a certificate; and of whom these are. */
  #pending: Waiting[] = []
  readonly #pendingOrigins = new Set<KmeId>()

  constructor (
    private readonly self: KmeId, private readonly ports: RoutingPorts, private readonly database: Database,
    private readonly credentials: Credentials, private readonly on: IntakeEvents,
  ) {}

  /** Records that wait. */
  get waiting (): number { return this.#queue.length }

  /** `records` must not be used again: their bytes are kept. */
  take (neighbour: KmeId, records: readonly Carried[]): void {
    const sinceMs = this.ports.clock.monoMs()
    for (const carried of records) {
      if (this.#queue.length >= QUEUE_MAX) this.outcomes.add('dropped')
      else this.#queue.push({ neighbour, carried, sinceMs })
    }
    this.#turn()
  }

  #turn (): void {
    if (this.#scheduled) return
    let cost = 0
    while (this.#queue.length > 0 && cost < COST_PER_TURN) cost += this.#one(this.#queue.shift()!)
    if (this.#queue.length === 0) return
    this.#scheduled = true
    this.ports.clock.after(0, () => { this.#scheduled = false; this.#turn() })
  }

  /** @returns what it cost. */
  #one ({ neighbour, carried, sinceMs }: Waiting): number {
    const now = this.ports.clock.monoMs(), ageMs = carried.ageMs + now - sinceMs
    let record: Announcement
    try {
      const known = this.#known(neighbour, carried.bytes, ageMs, now)
      if (known !== undefined) { this.outcomes.add(known); return KNOWN_COST }
      record = readAnnouncement(carried.bytes.slice()) // The rest of the packet need not stay.
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#refuse('malformed', neighbour, error.message)
      return 1
    }
    let outcome = this.#judge(neighbour, record, ageMs, carried.hops, now)
    if (outcome === 'uncertified' && this.#pendingOrigins.has(record.origin)) outcome = 'pending'
    if (outcome === 'pending' && !this.#postpone({ neighbour, carried, sinceMs }, record.origin, now)) outcome = 'certificateRefused'
    this.outcomes.add(outcome)
    return record.kind === 'certificate' && outcome === 'accepted' ? CERTIFICATE_COST : 1
  }

  /** False if it has waited long enough, or too much waits. */
  #postpone (waiting: Waiting, origin: KmeId, now: number): boolean {
    if (now - waiting.sinceMs > PENDING_FOR_MS || this.#pending.length >= PENDING_MAX) return false
    if (this.#pending.length === 0) this.ports.clock.after(PENDING_MS, () => { this.#again() })
    this.#pending.push({ ...waiting, carried: { ...waiting.carried, bytes: waiting.carried.bytes.slice() } })
    this.#pendingOrigins.add(origin)
    return true
  }

  #again (): void {
    this.#queue.unshift(...this.#pending.splice(0))
    this.#pendingOrigins.clear()
    this.#turn()
  }

  /** What is held already, or something newer, is seen without reading the rest. */
  #known (neighbour: KmeId, bytes: Uint8Array, ageMs: number, now: number): 'repeated' | 'stale' | undefined {
    const head = peekAnnouncement(bytes), held = this.database.get(head.name)
    if (held === undefined || isNewer(head, held.record)) return undefined
    if (isNewer(held.record, head)) {
      this.on.seen(neighbour, head.name, true)
      return 'stale'
    }
    if (!sameBytes(bytes, held.record.bytes)) return undefined
    this.database.rejuvenate(head.name, ageMs, now)
    this.on.seen(neighbour, head.name, false)
    return 'repeated'
  }

  #judge (neighbour: KmeId, record: Announcement, ageMs: number, hops: number, now: number): RecordOutcome {
    const { database } = this
    const standing = database.standing(record)
    if (standing !== 'new' && standing !== 'newer' && standing !== 'twin') return 'stale'
    if (ageMs >= record.lifetimeS * 1_000 || hops >= FLOOD_HOPS_MAX) return 'expired'
    if (!this.#neighbours.take(neighbour, record.kind === 'certificate' ? CERTIFICATE_COST : 1, now)) return 'dropped'
    const refusal = this.#verify(neighbour, record)
    if (refusal !== undefined) return refusal
    if (record.origin === this.self) { this.on.reflected(record); return 'accepted' }
    return this.#store(neighbour, record, standing === 'twin', ageMs, hops, now)
  }

  #verify (neighbour: KmeId, record: Announcement): RecordOutcome | undefined {
    const { credentials } = this
    if (record.body.kind !== 'certificate') {
      const credential = credentials.find(record.origin, record.fingerprint)
      if (credential === undefined) return 'uncertified'
      return credential.verify(record.signed, record.signature) ? undefined : this.#forged(neighbour, record)
    }
    const { der } = record.body
    if (!sameBytes(sha256(der), record.fingerprint)) return this.#forged(neighbour, record)
    const credential = credentials.look(record.origin, der, record.fingerprint)
    if (credential === PENDING) return 'pending'
    if (typeof credential === 'string') return 'certificateRefused'
    if (!credential.verify(record.signed, record.signature)) return this.#forged(neighbour, record)
    credentials.keep(record.origin, der, record.fingerprint, credential)
    return undefined
  }

  #store (neighbour: KmeId, record: Announcement, isTwin: boolean, ageMs: number, hops: number, now: number): RecordOutcome {
    const { origin } = record
    if (!this.#originRecords.take(origin, 1, now) || !this.#originBytes.take(origin, record.bytes.length, now)) {
      this.ports.alarm('routing.flooding', origin, 'announces more than it may; what is too much is refused')
      return 'limited'
    }
    if (this.database.room(record) !== '') return 'noRoom'
    const before = this.database.find(origin, record.kind, record.part)
    if (isTwin && before !== undefined) {
      this.ports.alarm('routing.identityTwice', origin, `signed two announcements with the same number ${record.incarnation}.${record.sequence}`)
      // Any rule will do, as long as all KMEs decide alike.
      if (Buffer.compare(record.hash, before.record.hash) <= 0) { this.on.seen(neighbour, before.name, true); return 'stale' }
    }
    this.on.accepted(this.database.put(record, ageMs, now, hops, neighbour), before)
    return 'accepted'
  }

  #forged (neighbour: KmeId, record: Announcement): RecordOutcome {
    this.ports.alarm('routing.forged', neighbour, `brought a record that says it comes from ${record.origin} and is not signed by it`)
    return 'forged'
  }

  #refuse (outcome: RecordOutcome, neighbour: KmeId, detail: string): void {
    this.outcomes.add(outcome)
    this.ports.alarm('routing.forged', neighbour, detail)
  }
}
