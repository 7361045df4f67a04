import type { KmeId } from '../kernel/ids.js'
import { kindCode, RECORD_BYTES_MAX, type RecordKind } from './announcement.js'
import { byOctets, ByteReader, ByteWriter, Malformed } from './bytes.js'

/** A record on its way: its bytes, how old it is, how many KMEs have passed it on. Both of these are unsigned. */
export interface Carried { readonly bytes: Uint8Array, readonly ageMs: number, readonly hops: number }

/** What a KME has of one origin: kind code, part, order, and the first 4 bytes of the hash as a number. */
export interface Summary { readonly kind: number, readonly part: number, readonly incarnation: number, readonly sequence: number, readonly check: number }
export interface OriginSummary { readonly origin: KmeId, readonly records: readonly Summary[] }

/** What goes between two neighbours in a message `linkState` (docs/relay-protocol.md, Packets). */
export type Packet =
  /** Records that the sender thinks the receiver lacks. */
  | { readonly type: 'update', readonly records: readonly Carried[] }
  /** All that the sender has of the origins from `from` on, up to but without `to` ('' is without end). The receiver sends what is missing there. */
  | { readonly type: 'digest', readonly from: KmeId | '', readonly to: KmeId | '', readonly wantsAnswer: boolean, readonly origins: readonly OriginSummary[] }
  /** XOR of the hashes of all that the sender has: when it is not ours, one of us lacks something. */
  | { readonly type: 'check', readonly hash: Uint8Array }

const UPDATE = 1, DIGEST = 2, CHECK = 3
const VERSION = 1
/** A message's greatest size: one record of the greatest size always fits. */
export const PACKET_BYTES_MAX = 32_768
const CARRIED_BYTES = 7
const HASH_BYTES = 16
export const FLOOD_HOPS_MAX = 255
const AGE_MS_MAX = 0xffff_ffff

/** @returns as many of the records, from the first on, as fit into one packet, and how many that were. */
export const packUpdate = (records: readonly Carried[]): { readonly packet: Uint8Array, readonly count: number } => {
  const out = new ByteWriter(4_096).u8(VERSION).u8(UPDATE)
  let count = 0
  for (const { bytes, ageMs, hops } of records) {
    if (out.length + CARRIED_BYTES + bytes.length > PACKET_BYTES_MAX) break
    out.u32(Math.min(AGE_MS_MAX, Math.ceil(ageMs))).u8(Math.min(FLOOD_HOPS_MAX, hops)).u16(bytes.length).raw(bytes)
    count++
  }
  return { packet: out.bytes(), count }
}

/** @param origins In order of ID. @returns packets that together cover every origin there can be. */
export const packDigests = (origins: readonly OriginSummary[], wantsAnswer: boolean): Uint8Array[] => {
  const packets: Uint8Array[] = []
  let part = new ByteWriter(4_096), from: KmeId | '' = ''
  const close = (to: KmeId | ''): void => {
    packets.push(new ByteWriter(part.length + 256).u8(VERSION).u8(DIGEST).u8(wantsAnswer ? 1 : 0).raw(edge(from)).raw(edge(to)).raw(part.bytes()).bytes())
    from = to
    part = new ByteWriter(4_096)
  }
  for (const { origin, records } of origins) {
    const one = new ByteWriter(64 + 17 * records.length).id(origin).u16(records.length)
    for (const r of records) one.u8(r.kind).u16(r.part).u48(r.incarnation).u32(r.sequence).u32(r.check)
    if (part.length > 0 && part.length + one.length > PACKET_BYTES_MAX - 256) close(origin)
    part.raw(one.bytes())
  }
  close('')
  return packets
}

const edge = (id: KmeId | ''): Uint8Array => id === '' ? new ByteWriter(1).u8(0).bytes() : new ByteWriter(65).id(id).bytes()

export const packCheck = (hash: Uint8Array): Uint8Array => new ByteWriter(18).u8(VERSION).u8(CHECK).raw(hash).bytes()

/** @throws Malformed. Bytes in the answer are views of `packet`. */
export const readPacket = (packet: Uint8Array): Packet => {
  const r = new ByteReader(packet)
  if (r.u8() !== VERSION) throw new Malformed('a link-state packet of an unknown version')
  const type = r.u8()
  if (type === UPDATE) return readUpdate(r)
  if (type === DIGEST) return readDigest(r)
  if (type !== CHECK) throw new Malformed('a link-state packet of an unknown type')
  const hash = r.raw(HASH_BYTES)
  r.end()
  return { type: 'check', hash }
}

const readUpdate = (r: ByteReader): Packet => {
  const records: Carried[] = []
  while (r.left > 0) {
    const ageMs = r.u32(), hops = r.u8(), length = r.u16()
    if (length > RECORD_BYTES_MAX) throw new Malformed(`a record of ${length} octets`)
    records.push({ ageMs, hops, bytes: r.raw(length) })
  }
  return { type: 'update', records }
}

const readDigest = (r: ByteReader): Packet => {
  const flags = r.u8()
  if (flags > 1) throw new Malformed('a digest with unknown flags')
  const from = readEdge(r), to = readEdge(r)
  const origins: OriginSummary[] = []
  while (r.left > 0) {
    const origin = r.id(), count = r.u16(), before = origins.at(-1)?.origin
    if ((before !== undefined && byOctets(before, origin) >= 0) || byOctets(origin, from) < 0 || (to !== '' && byOctets(origin, to) >= 0)) throw new Malformed('a digest out of order')
    const records: Summary[] = []
    for (let i = 0; i < count; i++) records.push({ kind: r.u8(), part: r.u16(), incarnation: r.u48(), sequence: r.u32(), check: r.u32() })
    origins.push({ origin, records })
  }
  return { type: 'digest', from, to, wantsAnswer: flags === 1, origins }
}

const readEdge = (r: ByteReader): KmeId | '' => {
  const length = r.u8()
  if (length === 0) return ''
  const text = Buffer.from(r.raw(length)).toString('latin1')
  if (length > 64) throw new Malformed('an edge of a digest that is no ID')
  return text
}

/** One line of a digest. */
export const summaryOf = (record: { readonly kind: RecordKind, readonly part: number, readonly incarnation: number, readonly sequence: number, readonly hash: Uint8Array }): Summary => ({
  kind: kindCode(record.kind), part: record.part, incarnation: record.incarnation, sequence: record.sequence,
  check: new DataView(record.hash.buffer, record.hash.byteOffset).getUint32(0),
})
