import { isEntityId, type KmeId } from '../kernel/ids.js'
import type { PadRef } from './ports.js'
import { BODY_BYTES_MAX } from './limits.js'
import { Refusal } from './refusal.js'

/**
 * One frame between KMEs, all integers little-endian (docs/peer-protocol.md shows it as a picture):
 *
 *   0 version u8 | 1 flags u8 | 2 type u16 | 4 body length u32 | 8 incarnation u64 | 16 number u64
 *   24 hash key: block, low 32 bits u32 | 28 offset u16 | 30 block, high 16 bits u16 | 32 pad: the same
 *   40 length of source u8 | 41 length of destination u8 | 42 source | destination | body | tag 16 (tagged frames only)
 */
export interface FrameHeader {
  readonly version: number
  /** Code of the message. */
  readonly type: number
  readonly tagged: boolean
  /** Set on frames of the side that accepted the connection. */
  readonly fromAcceptor: boolean
  readonly source: KmeId
  readonly destination: KmeId
  /** Of the sender. */
  readonly incarnation: number
  /** 1 for the first frame of a connection in one direction, then strictly one more. */
  readonly number: number
  /** Where the sender's hash key and this frame's pad lie; { 0, 0 } in frames without a tag. */
  readonly hashKey: PadRef
  readonly pad: PadRef
  readonly bodyBytes: number
}

/** A frame taken apart. Offsets are into the bytes that were read. */
export interface ParsedFrame { readonly header: FrameHeader, readonly bodyAt: number, readonly tagAt: number }

/** 2: blocks of the relay have up to four parts, and a plan says how many bytes come. */
export const FRAME_VERSION = 2
export const TAG_BYTES = 16
const FIXED_BYTES = 42
const ID_BYTES_MAX = 64
/** The largest frame: what sockets are told to accept. */
export const FRAME_BYTES_MAX = FIXED_BYTES + 2 * ID_BYTES_MAX + BODY_BYTES_MAX + TAG_BYTES

const FLAG_TAGGED = 1
const FLAG_FROM_ACCEPTOR = 2
/** What a frame without a tag has in place of the hash key's and the pad's place. */
export const noPad: PadRef = { block: 0, offset: 0 }
export const isNoPad = ({ block, offset }: PadRef): boolean => block === 0 && offset === 0

const encoder = new TextEncoder()
const decoder = new TextDecoder('latin1')

/** Bytes of a header with these addresses. */
export const headerBytes = (source: KmeId, destination: KmeId): number => FIXED_BYTES + source.length + destination.length

/** Bytes of the whole frame. */
export const frameBytes = (header: Pick<FrameHeader, 'source' | 'destination' | 'bodyBytes' | 'tagged'>): number =>
  headerBytes(header.source, header.destination) + header.bodyBytes + (header.tagged ? TAG_BYTES : 0)

/**
 * Writes a header at the start of `out`; the caller puts body and tag behind it. IDs have been checked where they were
 * configured, so they are ASCII.
 *
 * @returns where the body begins.
 */
export const writeHeader = (header: FrameHeader, out: Uint8Array): number => {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength)
  view.setUint8(0, header.version)
  view.setUint8(1, (header.tagged ? FLAG_TAGGED : 0) | (header.fromAcceptor ? FLAG_FROM_ACCEPTOR : 0))
  view.setUint16(2, header.type, true)
  view.setUint32(4, header.bodyBytes, true)
  view.setBigUint64(8, BigInt(header.incarnation), true)
  view.setBigUint64(16, BigInt(header.number), true)
  writePlace(view, 24, header.hashKey)
  writePlace(view, 32, header.pad)
  view.setUint8(40, header.source.length)
  view.setUint8(41, header.destination.length)
  encoder.encodeInto(header.source, out.subarray(FIXED_BYTES))
  encoder.encodeInto(header.destination, out.subarray(FIXED_BYTES + header.source.length))
  return headerBytes(header.source, header.destination)
}

/**
 * Takes a frame apart without looking into its body. Every length is checked against the bytes that are there, and there is
 * one way only to write a given frame.
 *
 * @param version The version that was negotiated for the connection.
 * @throws Refusal `version` (another than negotiated), `malformed` (all else).
 */
export const parseFrame = (bytes: Uint8Array, version: number): ParsedFrame => {
  if (bytes.length < FIXED_BYTES) throw new Refusal('malformed', `a frame of ${bytes.length} bytes is shorter than a header`)
  if (bytes.length > FRAME_BYTES_MAX) throw new Refusal('malformed', `a frame of ${bytes.length} bytes is longer than ${FRAME_BYTES_MAX}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint8(0) !== version) throw new Refusal('version', `frame of version ${view.getUint8(0)} on a connection of version ${version}`)
  const flags = view.getUint8(1)
  if ((flags & ~(FLAG_TAGGED | FLAG_FROM_ACCEPTOR)) !== 0) throw new Refusal('malformed', `unknown flags ${flags}`)
  const tagged = (flags & FLAG_TAGGED) !== 0
  const sourceBytes = view.getUint8(40), destinationBytes = view.getUint8(41)
  const destinationAt = FIXED_BYTES + sourceBytes, bodyAt = destinationAt + destinationBytes
  const bodyBytes = view.getUint32(4, true)
  if (bodyBytes > BODY_BYTES_MAX) throw new Refusal('malformed', `a body of ${bodyBytes} bytes is longer than ${BODY_BYTES_MAX}`)
  const tagAt = bodyAt + bodyBytes
  if (tagAt + (tagged ? TAG_BYTES : 0) !== bytes.length) throw new Refusal('malformed', `the header tells of ${tagAt + (tagged ? TAG_BYTES : 0)} bytes, the frame has ${bytes.length}`)
  const hashKey = readPlace(view, 24), pad = readPlace(view, 32)
  if (!tagged && !(isNoPad(hashKey) && isNoPad(pad))) throw new Refusal('malformed', 'a frame without a tag names a pad')
  const header = {
    version, tagged, fromAcceptor: (flags & FLAG_FROM_ACCEPTOR) !== 0, type: view.getUint16(2, true), bodyBytes, hashKey, pad,
    incarnation: safeU64(view, 8, 'incarnation'), number: safeU64(view, 16, 'number'),
    source: readId(bytes, FIXED_BYTES, destinationAt, 'source'), destination: readId(bytes, destinationAt, bodyAt, 'destination'),
  }
  return { header, bodyAt, tagAt }
}

/** A block has less than 2^16 bytes, and less than 2^48 come before it. */
const writePlace = (view: DataView, at: number, { block, offset }: PadRef): void => {
  view.setUint32(at, block, true) // Modulo 2^32.
  view.setUint16(at + 4, offset, true)
  view.setUint16(at + 6, block / 2 ** 32, true)
}

const readPlace = (view: DataView, at: number): PadRef =>
  ({ block: view.getUint32(at, true) + view.getUint16(at + 6, true) * 2 ** 32, offset: view.getUint16(at + 4, true) })

const safeU64 = (view: DataView, at: number, what: string): number => {
  const value = view.getBigUint64(at, true)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Refusal('malformed', `the ${what} is above 2^53 - 1`)
  return Number(value)
}

const readId = (bytes: Uint8Array, from: number, to: number, what: string): KmeId => {
  const id = decoder.decode(bytes.subarray(from, to))
  if (!isEntityId(id)) throw new Refusal('malformed', `the ${what} is not a KME ID`)
  return id
}
