import type { KmeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import { kindCode } from './announcement.js'
import { Budgets } from './budget.js'
import { byOctets, sameBytes } from './bytes.js'
import { Credentials } from './credentials.js'
import { Database, type Held } from './database.js'
import { Intake, type IntakeEvents } from './intake.js'
import { defaultPace, Outlet, type OutletCounters, type Pace } from './outlet.js'
import { packCheck, packDigests, readPacket, summaryOf, type OriginSummary, type Packet, type Summary } from './packet.js'
import type { RoutingPorts } from './ports.js'

export interface FloodEvents {
  /** A record changed or came. @returns whether it changes what is reachable: then it goes on fast. */
  changed (held: Held, before: Held | undefined): boolean
  /** These are gone: too old, or their certificate holds no more. */
  gone (held: readonly Held[], why: 'expired' | 'certificate'): void
  reflected: IntakeEvents['reflected']
}

const SWEEP_MS = 1_000
const CHECK_MS = 60_000
const CERTIFICATES_MS = 60_000
/** Digest packets of one neighbour that are answered, at once and per second: each can ask for the whole database. */
const DIGEST_BURST = 32, DIGEST_PER_S = 0.5
const RECHECKS_PER_SWEEP = 4

/**
 * Reliable flooding: every record reaches every KME once per link and direction at most, and what was lost on the way (a
 * connection, a bound, a missing pad) is found by comparing digests: at each new connection, and each minute by a hash.
 */
export class Flood {
  readonly intake: Intake
  readonly #outlets = new Map<KmeId, Outlet>()
  readonly #answers = new Budgets<KmeId>(DIGEST_BURST, DIGEST_PER_S, 1_024)
  readonly #lastCheckMs = new Map<KmeId, number>()
  readonly #rechecks = new Set<KmeId>()
  #certificatesMs = 0
  #timer: Cancel | undefined

  constructor (
    private readonly self: KmeId, private readonly ports: RoutingPorts, readonly database: Database, readonly credentials: Credentials,
    private readonly on: FloodEvents, private readonly pace: Pace = defaultPace,
  ) {
    this.intake = new Intake(self, ports, database, credentials, {
      accepted: (held, before) => { this.spread(held, this.on.changed(held, before)) },
      seen: (neighbour, name, older) => { this.#seen(neighbour, name, older) },
      reflected: (record) => { this.on.reflected(record) },
    })
  }

  start (): void { this.#sweepLater() }

  stop (): void {
    this.#timer?.()
    for (const outlet of this.#outlets.values()) outlet.close()
  }

  counters (): readonly (OutletCounters & { readonly neighbour: KmeId, readonly waiting: number })[] {
    return [...this.#outlets].map(([neighbour, o]) => ({ neighbour, waiting: o.waiting, ...o.counters }))
  }

  /** A channel to a neighbour is ready: both sides tell what they have. */
  connected (neighbour: KmeId): void {
    this.#outlet(neighbour).open()
    this.#lastCheckMs.set(neighbour, this.ports.clock.monoMs())
    this.#outlet(neighbour).push(packDigests(this.#summary(), false))
  }

  disconnected (neighbour: KmeId): void { this.#outlets.get(neighbour)?.close() }
  writable (neighbour: KmeId): void { this.#outlets.get(neighbour)?.writable() }

  /** @throws Malformed: the neighbour does not speak the protocol. `packet` must not be used again. */
  receive (neighbour: KmeId, packet: Uint8Array): void {
    const message = readPacket(packet)
    if (message.type === 'update') this.intake.take(neighbour, message.records)
    else if (message.type === 'digest') this.#onDigest(neighbour, message)
    else this.#onCheck(neighbour, message.hash)
  }

  /** Sends a record that is in the database to all neighbours but the one that brought it. */
  spread (held: Held, urgent: boolean): void {
    for (const [neighbour, outlet] of this.#outlets) if (neighbour !== held.from) outlet.add(held.name, urgent)
    if (held.from !== undefined) this.#outlets.get(held.from)?.remove(held.name)
  }

  /** Trust anchors or revocation lists changed: every certificate is judged again, a few per second. */
  recheck (): void {
    this.credentials.forgive()
    for (const origin of this.credentials.origins()) if (origin !== this.self) this.#rechecks.add(origin)
  }

  // --- comparing ----------------------------------------------------------------------------------------------------

  #summary (): OriginSummary[] {
    return this.database.origins().map((origin) => ({ origin, records: [...this.database.of(origin)].map((held) => summaryOf(held.record)) }))
  }

  #onDigest (neighbour: KmeId, digest: Extract<Packet, { type: 'digest' }>): void {
    const { from, to, wantsAnswer, origins } = digest
    if (!this.#answers.take(neighbour, 1, this.ports.clock.monoMs())) return
    const theirs = new Map(origins.map((o) => [o.origin, o.records]))
    const outlet = this.#outlet(neighbour)
    for (const origin of this.database.origins()) {
      if (byOctets(origin, from) < 0 || (to !== '' && byOctets(origin, to) >= 0)) continue
      const known = new Map((theirs.get(origin) ?? []).map((s) => [`${s.kind} ${s.part}`, s]))
      for (const held of this.database.of(origin)) {
        if (lacks(known.get(`${kindCode(held.record.kind)} ${held.record.part}`), held)) outlet.add(held.name, true)
      }
    }
    if (wantsAnswer && from === '') outlet.push(packDigests(this.#summary(), false))
  }

  #onCheck (neighbour: KmeId, hash: Uint8Array): void {
    if (sameBytes(hash, this.database.digest()) || this.intake.waiting > 0 || this.#outlet(neighbour).waiting > 0) return
    if (this.#answers.take(neighbour, 1, this.ports.clock.monoMs())) this.#outlet(neighbour).push(packDigests(this.#summary(), true))
  }

  #seen (neighbour: KmeId, name: string, older: boolean): void {
    const outlet = this.#outlets.get(neighbour)
    if (older) outlet?.add(name, false)
    else outlet?.remove(name)
  }

  // --- time -----------------------------------------------------------------------------------------------------------

  #sweepLater (): void {
    this.#timer = this.ports.clock.after(SWEEP_MS, () => { this.#sweep(); this.#sweepLater() })
  }

  #sweep (): void {
    const now = this.ports.clock.monoMs()
    const dead = this.database.expire(now)
    if (dead.length > 0) this.on.gone(dead, 'expired')
    if (now - this.#certificatesMs >= CERTIFICATES_MS) {
      this.#certificatesMs = now
      for (const origin of this.credentials.due()) if (origin !== this.self) this.#rechecks.add(origin)
    }
    let count = 0
    for (const origin of this.#rechecks) {
      if (count++ >= RECHECKS_PER_SWEEP) break
      this.#rechecks.delete(origin)
      this.#recheckOne(origin)
    }
    for (const [neighbour, outlet] of this.#outlets) {
      if (!outlet.isConnected || now - (this.#lastCheckMs.get(neighbour) ?? 0) < CHECK_MS) continue
      this.#lastCheckMs.set(neighbour, now - this.ports.random.integer(CHECK_MS / 10))
      if (outlet.waiting === 0) outlet.push([packCheck(this.database.digest())])
    }
  }

  #recheckOne (origin: KmeId): void {
    if (this.credentials.recheck(origin) === '') return
    const held = [...this.database.of(origin)]
    this.database.forget(origin)
    if (held.length > 0) this.on.gone(held, 'certificate')
  }

  #outlet (neighbour: KmeId): Outlet {
    let outlet = this.#outlets.get(neighbour)
    if (outlet === undefined) this.#outlets.set(neighbour, outlet = new Outlet(neighbour, this.ports, this.database, this.pace))
    return outlet
  }
}

/** Whether the neighbour would take what is held: it has nothing of the name, something older, or a twin. */
const lacks = (theirs: Summary | undefined, held: Held): boolean => {
  if (theirs === undefined) return true
  const { incarnation, sequence, check } = summaryOf(held.record)
  if (theirs.incarnation !== incarnation) return theirs.incarnation < incarnation
  if (theirs.sequence !== sequence) return theirs.sequence < sequence
  return theirs.check !== check
}
