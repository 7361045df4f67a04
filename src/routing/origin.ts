import { invariant } from '../kernel/errors.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import { dealSaes, isNewer, LINKS_MAX, makeAnnouncement, type Announcement, type RecordBody, type RecordHead } from './announcement.js'
import { Budget } from './budget.js'
import type { Credentials } from './credentials.js'
import type { Database, Held } from './database.js'
import type { Capabilities, NeighbourReport, RoutingPorts, Signer } from './ports.js'
import { SmoothLink, type DampingTimes } from './smoothing.js'

export interface OriginOptions {
  readonly self: KmeId
  /** Number of this start; greater than that of any start before. */
  readonly incarnation: number
  readonly capabilities: Capabilities
  /** Every record is made anew this often; it lives four times as long. */
  readonly refreshMs: number
  /** Changes of stock and rate are announced at most this often. */
  readonly changeMs: number
  readonly damping: DampingTimes
}

export interface OriginEvents {
  /** A record of ours is in the database. */
  made (held: Held, before: Held | undefined, urgent: boolean): void
  /** Everything of ours is taken back, to be made anew. */
  withdrawn (): void
}

const LIVES = 4
const SWEEP_MS = 250
/** Announcements of a changed state: so many at once, and per second in the long run. */
const URGENT_BURST = 10, URGENT_PER_S = 0.5
/** Records of our own from elsewhere, above all of ours, before somebody else must have our key. */
const REFLECTIONS_MAX = 3
const SEQUENCE_MAX = 0xffff_ffff
/** In a network of more KMEs each announces changes of amounts more rarely, so that all together they cost no more than these. */
const AMPLE_KMES = 64

/**
 * What this KME announces of itself: certificate, links, SAEs. Decides when: at once when a link fails, gathered when only
 * amounts change, and again from time to time so that nothing dies of age.
 */
export class Origin {
  #signer: Signer
  readonly #links = new Map<KmeId, SmoothLink>()
  #saes: readonly SaeId[] = []
  #buckets: readonly (readonly SaeId[])[] = [[]]
  #incarnation: number
  #sequence = 0
  #reflections = 0
  #dirty: '' | 'amount' | 'state' = 'state'
  #amountMs = -Infinity
  #refreshAtMs = 0
  readonly #urgent: Budget
  #timer: Cancel | undefined

  constructor (
    private readonly o: OriginOptions, private readonly ports: RoutingPorts, private readonly database: Database,
    private readonly credentials: Credentials, private readonly on: OriginEvents,
  ) {
    this.#signer = ports.signer
    this.#incarnation = o.incarnation
    this.#urgent = new Budget(URGENT_BURST, URGENT_PER_S, ports.clock.monoMs())
  }

  get links (): Iterable<SmoothLink> { return this.#links.values() }
  get order (): { readonly incarnation: number, readonly sequence: number } { return { incarnation: this.#incarnation, sequence: this.#sequence } }

  start (): void {
    this.#makeAll(true)
    this.#later()
  }

  stop (): void { this.#timer?.() }

  report (neighbour: KmeId, report: NeighbourReport): void {
    let link = this.#links.get(neighbour)
    if (link === undefined) {
      invariant(this.#links.size < LINKS_MAX && neighbour !== this.o.self, 'a KME has at most 256 neighbours and is none of its own')
      this.#links.set(neighbour, link = new SmoothLink(neighbour, this.o.damping))
      this.#mark('amount')
    }
    this.#mark(link.report(report, this.ports.clock.monoMs()))
    this.#announceLinks()
  }

  /** The SAEs that this KME serves, all of them. @returns '' or why they cannot be announced; then the former list stays. */
  serve (saes: readonly SaeId[]): string {
    const buckets = dealSaes(saes)
    if (buckets === undefined) return `${saes.length} SAEs are too many to announce`
    const before = this.#buckets
    this.#saes = saes
    this.#buckets = buckets
    if (this.#sequence === 0) return ''
    buckets.forEach((bucket, part) => {
      if (before.length !== buckets.length || !sameSet(before[part]!, bucket)) this.#make({ kind: 'saes', saes: bucket }, part, buckets.length, false)
    })
    return ''
  }

  get saes (): readonly SaeId[] { return this.#saes }

  /** A renewed certificate: everything is signed again with its key. */
  renew (signer: Signer): void {
    this.#signer = signer
    if (this.#sequence > 0) this.#makeAll(true)
  }

  /**
   * A record with our signature that is newer than all we made: left from a former life whose incarnations counted further (a new
   * store), or made by somebody who has our key. We go above it, so that the network hears us.
   */
  reflected (record: Announcement): void {
    if (!isNewer(record, this.order)) return
    this.#incarnation = Math.max(this.#incarnation, record.incarnation) + 1
    this.#sequence = 0
    if (++this.#reflections > REFLECTIONS_MAX) this.ports.alarm('routing.identityTwice', this.o.self, `announcements signed with our key, numbered ${record.incarnation}.${record.sequence}, keep coming from elsewhere`)
    this.database.forget(this.o.self)
    this.on.withdrawn()
    this.#makeAll(true)
  }

  #mark (what: '' | 'amount' | 'state'): void { if (what === 'state' || (what === 'amount' && this.#dirty === '')) this.#dirty = what }

  #announceLinks (): void {
    if (this.#dirty === '' || this.#sequence === 0) return
    const now = this.ports.clock.monoMs(), urgent = this.#dirty === 'state'
    if (urgent ? !this.#urgent.take(1, now) : now - this.#amountMs < this.#changeMs) return
    this.#makeLinks(urgent)
  }

  get #changeMs (): number { return this.o.changeMs * Math.max(1, this.database.originCount / AMPLE_KMES) }

  #makeLinks (urgent: boolean): void {
    this.#dirty = ''
    this.#amountMs = this.ports.clock.monoMs()
    this.#make({ kind: 'links', capabilities: this.o.capabilities, links: [...this.#links.values()].map((link) => link.view) }, 0, 1, urgent)
  }

  /** Certificate first: the others are verified with it. */
  #makeAll (urgent: boolean): void {
    const { clock, random } = this.ports, der = this.#signer.certificate
    // With some jitter, so that a network that was started at once does not announce at once for ever.
    this.#refreshAtMs = clock.monoMs() + this.o.refreshMs - random.integer(Math.ceil(this.o.refreshMs / 5))
    const certificate = this.#make({ kind: 'certificate', der }, 0, 1, urgent)
    const own = this.credentials.look(this.o.self, der, certificate.record.fingerprint)
    if (typeof own === 'object') this.credentials.keep(this.o.self, der, certificate.record.fingerprint, own)
    this.#makeLinks(urgent)
    this.#buckets.forEach((saes, part) => { this.#make({ kind: 'saes', saes }, part, this.#buckets.length, false) })
  }

  #make (body: RecordBody, part: number, parts: number, urgent: boolean): Held {
    if (this.#sequence >= SEQUENCE_MAX) { this.#incarnation++; this.#sequence = 0 }
    const head: Omit<RecordHead, 'kind' | 'fingerprint'> = {
      origin: this.o.self, incarnation: this.#incarnation, sequence: ++this.#sequence, part, parts, lifetimeS: Math.ceil(LIVES * this.o.refreshMs / 1_000),
    }
    const record = makeAnnouncement(head, body, this.#signer)
    const before = this.database.find(this.o.self, body.kind, part)
    const held = this.database.put(record, 0, this.ports.clock.monoMs(), 0, undefined)
    this.on.made(held, before, urgent)
    return held
  }

  #later (): void {
    this.#timer = this.ports.clock.after(SWEEP_MS, () => {
      const now = this.ports.clock.monoMs()
      for (const link of this.#links.values()) if (link.tick(now)) this.#mark('state')
      if (now >= this.#refreshAtMs) this.#makeAll(false)
      else this.#announceLinks()
      this.#later()
    })
  }
}

const sameSet = (a: readonly string[], b: readonly string[]): boolean => {
  const set = new Set(a)
  return set.size === b.length && b.every((item) => set.has(item))
}
