import type { KmeId } from '../kernel/ids.js'
import { isNewer, recordName, type Announcement, type RecordHead, type RecordKind } from './announcement.js'
import { byOctets, sameBytes } from './bytes.js'

/** A record that is held. Times are monotonic. */
export interface Held {
  readonly name: string
  readonly record: Announcement
  /** When it was made, as far as we know: the age that came with it, counted back. */
  bornMs: number
  readonly firstMs: number
  /** How many KMEs it passed before us. */
  readonly hops: number
  /** Who brought it; undefined for our own. */
  readonly from: KmeId | undefined
}

export interface DatabaseBounds { readonly originsMax: number, readonly bytesMax: number }
export const databaseBounds: DatabaseBounds = { originsMax: 4_096, bytesMax: 67_108_864 }

/** How a record compares with what is held. `twin`: same number, other bytes. */
export type Standing = 'new' | 'newer' | 'same' | 'older' | 'twin' | 'dead'

const TOMBS_MAX = 65_536
const HASH_BYTES = 16

/**
 * The records of all KMEs, the newest of each name. A record lives `lifetimeS`, counted from its birth as those who brought it
 * tell it; but never longer than that after we first had it, whatever they tell. What died of age stays dead: its number is
 * remembered, so that a copy kept by somebody never revives it.
 */
export class Database {
  readonly #held = new Map<string, Held>()
  readonly #origins = new Map<KmeId, Set<Held>>()
  readonly #tombs = new Map<string, { incarnation: number, sequence: number }>()
  readonly #digest = new Uint8Array(HASH_BYTES)
  #bytes = 0
  /** Nothing dies before. */
  #soonestMs = Infinity

  constructor (private readonly bounds: DatabaseBounds = databaseBounds) {}

  get size (): number { return this.#held.size }
  get bytes (): number { return this.#bytes }
  get originCount (): number { return this.#origins.size }
  /** In order of ID. */
  origins (): KmeId[] { return [...this.#origins.keys()].sort(byOctets) }
  all (): Iterable<Held> { return this.#held.values() }
  of (origin: KmeId): Iterable<Held> { return this.#origins.get(origin) ?? [] }
  get (name: string): Held | undefined { return this.#held.get(name) }
  find (origin: KmeId, kind: RecordKind, part = 0): Held | undefined { return this.#held.get(recordName(origin, kind, part)) }
  /** Equal for equal contents: the XOR of the records' hashes. */
  digest (): Uint8Array { return this.#digest.slice() }

  standing (record: Announcement): Standing {
    const name = recordName(record.origin, record.kind, record.part)
    const held = this.#held.get(name)
    if (held === undefined) {
      const tomb = this.#tombs.get(name)
      return tomb !== undefined && !isNewer(record, tomb) ? 'dead' : 'new'
    }
    if (isNewer(record, held.record)) return 'newer'
    if (isNewer(held.record, record)) return 'older'
    return sameBytes(held.record.bytes, record.bytes) ? 'same' : 'twin'
  }

  /** '' or why there is no room for it. */
  room (record: Announcement): string {
    const held = this.find(record.origin, record.kind, record.part)
    if (this.#bytes + record.bytes.length - (held?.record.bytes.length ?? 0) > this.bounds.bytesMax) return `the announcements of the network fill ${this.bounds.bytesMax} bytes`
    if (!this.#origins.has(record.origin) && this.#origins.size >= this.bounds.originsMax) return `the network has ${this.bounds.originsMax} KMEs already`
    return ''
  }

  /** Puts a record in the place of the one it replaces. The caller has looked at its standing, its signature and the room. */
  put (record: Announcement, ageMs: number, nowMs: number, hops: number, from: KmeId | undefined): Held {
    const name = recordName(record.origin, record.kind, record.part)
    this.#drop(name)
    this.#tombs.delete(name)
    const held: Held = { name, record, bornMs: nowMs - ageMs, firstMs: nowMs, hops, from }
    this.#held.set(name, held)
    this.#soonestMs = Math.min(this.#soonestMs, deathOf(held))
    const ofOrigin = this.#origins.get(record.origin) ?? new Set()
    this.#origins.set(record.origin, ofOrigin.add(held))
    this.#bytes += record.bytes.length
    this.#mix(record)
    return held
  }

  /** Another copy of what is held says that it is younger: believed as far as our own clock allows. */
  rejuvenate (name: string, ageMs: number, nowMs: number): void {
    const held = this.#held.get(name)
    if (held !== undefined) held.bornMs = Math.min(held.firstMs, Math.max(held.bornMs, nowMs - ageMs))
  }

  /** Takes out what is too old. @returns it. */
  expire (nowMs: number): Held[] {
    if (nowMs < this.#soonestMs) return []
    const dead = [...this.#held.values()].filter((held) => nowMs >= deathOf(held))
    for (const held of dead) this.#bury(held)
    this.#soonestMs = Infinity
    for (const held of this.#held.values()) this.#soonestMs = Math.min(this.#soonestMs, deathOf(held))
    return dead
  }

  /** Forgets everything of a KME, without tombs: its certificate is no longer accepted, or it is told anew. @returns how many records. */
  forget (origin: KmeId): number {
    const all = [...this.of(origin)]
    for (const held of all) this.#drop(held.name)
    return all.length
  }

  /** The order after which `record` of this name would be new. */
  orderOf (name: string): Pick<RecordHead, 'incarnation' | 'sequence'> | undefined { return this.#held.get(name)?.record ?? this.#tombs.get(name) }

  #bury (held: Held): void {
    this.#drop(held.name)
    this.#tombs.set(held.name, { incarnation: held.record.incarnation, sequence: held.record.sequence })
    if (this.#tombs.size > TOMBS_MAX) this.#tombs.delete(this.#tombs.keys().next().value as string)
  }

  #drop (name: string): void {
    const held = this.#held.get(name)
    if (held === undefined) return
    this.#held.delete(name)
    const ofOrigin = this.#origins.get(held.record.origin)!
    ofOrigin.delete(held)
    if (ofOrigin.size === 0) this.#origins.delete(held.record.origin)
    this.#bytes -= held.record.bytes.length
    this.#mix(held.record)
  }

  #mix (record: Announcement): void {
    for (let i = 0; i < HASH_BYTES; i++) this.#digest[i]! ^= record.hash[i]!
  }
}

const deathOf = (held: Held): number => held.bornMs + held.record.lifetimeS * 1_000
