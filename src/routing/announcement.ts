import { createHash } from 'node:crypto'
import type { KmeId, SaeId } from '../kernel/ids.js'
import { byOctets, ByteReader, ByteWriter, Malformed } from './bytes.js'
import type { Capabilities, LinkState, Signer } from './ports.js'

/**
 * What a KME tells the whole network about itself, in records that are signed with the key of its certificate and passed on
 * byte for byte (docs/relay-protocol.md, Announcements). There is one form of bytes for each content.
 *
 * `certificate`: its DER, once per incarnation and renewal; the others name it by fingerprint. `links`: its neighbours.
 * `saes`: one of `parts` buckets of the SAEs it serves; which bucket an SAE is in depends on its ID alone.
 */
export type RecordKind = 'certificate' | 'links' | 'saes'

/** Codes on the wire, and the order of sending: a record can only be verified after the certificate. */
const kindCodes: Readonly<Record<RecordKind, number>> = { certificate: 1, links: 2, saes: 3 }
const kindOfCode = new Map(Object.entries(kindCodes).map(([kind, code]) => [code, kind as RecordKind]))
export const kindCode = (kind: RecordKind): number => kindCodes[kind]

/** Stock and rate as powers of two: class c is at least 2^(c-1), class 0 is nothing. Coarse, so that they seldom change. */
export interface AnnouncedLink { readonly neighbour: KmeId, readonly state: LinkState, readonly stockClass: number, readonly rateClass: number }

export type RecordBody =
  | { readonly kind: 'certificate', readonly der: Uint8Array }
  | { readonly kind: 'links', readonly capabilities: Capabilities, readonly links: readonly AnnouncedLink[] }
  | { readonly kind: 'saes', readonly saes: readonly SaeId[] }

export interface RecordHead {
  readonly origin: KmeId
  /** Order of records of one name: incarnation, then sequence. Both only rise. */
  readonly incarnation: number
  readonly sequence: number
  readonly kind: RecordKind
  readonly part: number
  readonly parts: number
  /** How long it holds after it was made. */
  readonly lifetimeS: number
  /** SHA-256 of the DER of the certificate whose key signed it. */
  readonly fingerprint: Uint8Array
}

/** A record with its exact bytes. `hash` is SHA-256 of all of them. */
export interface Announcement extends RecordHead {
  readonly body: RecordBody
  readonly bytes: Uint8Array
  readonly signed: Uint8Array
  readonly signature: Uint8Array
  readonly hash: Uint8Array
}

export const RECORD_BYTES_MAX = 24_576
export const LINKS_MAX = 256
export const SAE_PARTS_MAX = 256
const CERTIFICATE_BYTES_MAX = 8_192
const SIGNATURE_BYTES_MAX = 1_024
const VERSION = 1
const CLASS_MAX = 63
export const LIFETIME_S_MIN = 10
export const LIFETIME_S_MAX = 604_800
const states: readonly LinkState[] = ['down', 'degraded', 'up']

/** Names a record within the database: same name, one record. */
export const recordName = (origin: KmeId, kind: RecordKind, part: number): string => `${origin} ${kindCodes[kind]} ${part}`

/** Whether `a` is newer than `b`, for two records of one name. */
export const isNewer = (a: Pick<RecordHead, 'incarnation' | 'sequence'>, b: Pick<RecordHead, 'incarnation' | 'sequence'>): boolean =>
  a.incarnation !== b.incarnation ? a.incarnation > b.incarnation : a.sequence > b.sequence

export const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())

/** Makes and signs a record. Links and SAEs may come in any order. */
export const makeAnnouncement = (head: Omit<RecordHead, 'kind' | 'fingerprint'>, body: RecordBody, signer: Signer): Announcement => {
  const content = writeBody(body)
  const signed = new ByteWriter(128 + content.length).u8(VERSION).u8(kindCodes[body.kind]).id(head.origin).u48(head.incarnation).u32(head.sequence)
    .u16(head.part).u16(head.parts).u32(head.lifetimeS).raw(sha256(signer.certificate)).u16(content.length).raw(content).bytes()
  const signature = signer.sign(signed)
  return readAnnouncement(new ByteWriter(signed.length + 2 + signature.length).raw(signed).u16(signature.length).raw(signature).bytes())
}

const writeBody = (body: RecordBody): Uint8Array => {
  if (body.kind === 'certificate') return body.der
  const out = new ByteWriter(1_024)
  if (body.kind === 'links') {
    out.u8((body.capabilities.transit ? 1 : 0) | (body.capabilities.hybrid ? 2 : 0)).u16(body.links.length)
    for (const link of [...body.links].sort((a, b) => byOctets(a.neighbour, b.neighbour))) {
      out.id(link.neighbour).u8(states.indexOf(link.state)).u8(link.stockClass).u8(link.rateClass)
    }
  } else {
    out.u16(body.saes.length)
    for (const sae of [...body.saes].sort(byOctets)) out.id(sae)
  }
  return out.bytes()
}

/**
 * Reads a record; the signature is not looked at. `bytes` are kept.
 * @throws Malformed unless they are the one form of a record, within its bounds.
 */
export const readAnnouncement = (bytes: Uint8Array): Announcement => {
  if (bytes.length > RECORD_BYTES_MAX) throw new Malformed(`a record of ${bytes.length} octets; at most ${RECORD_BYTES_MAX} are allowed`)
  const r = new ByteReader(bytes)
  if (r.u8() !== VERSION) throw new Malformed('a record of an unknown version')
  const kind = kindOfCode.get(r.u8())
  if (kind === undefined) throw new Malformed('a record of an unknown kind')
  const head = { kind, origin: r.id(), incarnation: r.u48(), sequence: r.u32(), part: r.u16(), parts: r.u16(), lifetimeS: r.u32(), fingerprint: r.raw(32) }
  const partsMax = kind === 'saes' ? SAE_PARTS_MAX : 1
  if (head.parts < 1 || head.parts > partsMax || head.part >= head.parts) throw new Malformed(`a ${kind} record of ${head.origin} is part ${head.part} of ${head.parts}`)
  if (head.lifetimeS < LIFETIME_S_MIN || head.lifetimeS > LIFETIME_S_MAX) throw new Malformed(`a record of ${head.origin} with a life of ${head.lifetimeS} s`)
  const body = readBody(kind, r.raw(r.u16()), head.origin)
  const signed = bytes.subarray(0, r.at)
  const signatureBytes = r.u16()
  if (signatureBytes < 1 || signatureBytes > SIGNATURE_BYTES_MAX) throw new Malformed(`a signature of ${signatureBytes} octets`)
  const signature = r.raw(signatureBytes)
  r.end()
  if (body.kind === 'saes') checkBuckets(body.saes, head)
  return { ...head, body, bytes, signed, signature, hash: sha256(bytes) }
}

/**
 * Name and order of a record, if the bytes begin like one: enough to see that it is known already, which most are.
 * @throws Malformed.
 */
export const peekAnnouncement = (bytes: Uint8Array): { readonly name: string, readonly incarnation: number, readonly sequence: number } => {
  const r = new ByteReader(bytes)
  r.u8()
  const kind = r.u8(), origin = r.id(), incarnation = r.u48(), sequence = r.u32()
  return { name: `${origin} ${kind} ${r.u16()}`, incarnation, sequence }
}

const readBody = (kind: RecordKind, bytes: Uint8Array, origin: KmeId): RecordBody => {
  if (kind === 'certificate') {
    if (bytes.length < 1 || bytes.length > CERTIFICATE_BYTES_MAX) throw new Malformed(`a certificate of ${bytes.length} octets`)
    return { kind, der: bytes }
  }
  const r = new ByteReader(bytes)
  const body = kind === 'links' ? readLinks(r, origin) : { kind, saes: readSorted(r, r.u16(), (id) => id, (id) => id) }
  r.end()
  return body
}

const readLinks = (r: ByteReader, origin: KmeId): RecordBody => {
  const flags = r.u8(), count = r.u16()
  if (flags > 3) throw new Malformed(`unknown capabilities of ${origin}`)
  if (count > LINKS_MAX) throw new Malformed(`${origin} announces ${count} links; at most ${LINKS_MAX} are allowed`)
  const links = readSorted(r, count, (neighbour): AnnouncedLink => {
    const state = states[r.u8()], stockClass = r.u8(), rateClass = r.u8()
    if (state === undefined || stockClass > CLASS_MAX || rateClass > CLASS_MAX) throw new Malformed(`a link of ${origin} with an unknown state or class`)
    if (neighbour === origin) throw new Malformed(`${origin} announces a link to itself`)
    return { neighbour, state, stockClass, rateClass }
  }, (link) => link.neighbour)
  return { kind: 'links', capabilities: { transit: (flags & 1) !== 0, hybrid: (flags & 2) !== 0 }, links }
}

/** IDs strictly rising: no content has two forms, and none is named twice. */
const readSorted = <T>(r: ByteReader, count: number, item: (id: string) => T, idOf: (item: T) => string): T[] => {
  const items: T[] = []
  for (let i = 0; i < count; i++) {
    const id = r.id()
    if (i > 0 && byOctets(idOf(items[i - 1]!), id) >= 0) throw new Malformed('IDs of a record are out of order')
    items.push(item(id))
  }
  return items
}

const checkBuckets = (saes: readonly SaeId[], { origin, part, parts }: Pick<RecordHead, 'origin' | 'part' | 'parts'>): void => {
  for (const sae of saes) if (saePart(sae, parts) !== part) throw new Malformed(`${origin} announces ${sae} in the wrong part`)
}

/** The bucket of an SAE: FNV-1a (32 bits) of its ID, modulo the number of buckets. So one SAE more changes one record. */
export const saePart = (sae: SaeId, parts: number): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < sae.length; i++) hash = Math.imul(hash ^ sae.charCodeAt(i), 0x01000193) >>> 0
  return ((hash ^ (hash >>> 16)) >>> 0) % parts
}

const PART_BYTES_MAX = 16_384

/**
 * Deals SAEs into buckets of at most 16 KiB, as few as possible, a power of two.
 * @returns undefined if they are too many (more than about 60,000).
 */
export const dealSaes = (saes: Iterable<SaeId>): SaeId[][] | undefined => {
  const all = [...new Set(saes)]
  for (let parts = 1; parts <= SAE_PARTS_MAX; parts *= 2) {
    const buckets: SaeId[][] = Array.from({ length: parts }, () => [])
    const sizes = new Array<number>(parts).fill(0)
    for (const sae of all) {
      const part = saePart(sae, parts)
      buckets[part]!.push(sae)
      sizes[part]! += sae.length + 1
    }
    if (sizes.every((bytes) => bytes <= PART_BYTES_MAX)) return buckets
  }
  return undefined
}

/** The class of an amount: 0 for less than one, else 1 + floor(log2). */
export const classOf = (amount: number): number => amount < 1 ? 0 : Math.min(CLASS_MAX, 1 + Math.floor(Math.log2(amount)))
/** The least amount of a class. */
export const amountOf = (klass: number): number => klass === 0 ? 0 : 2 ** (klass - 1)
