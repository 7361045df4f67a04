/**
 * Reading and writing the 64-byte header of a sealed record (native/record.h holds the layout and the sealing;
 * this file only names its fields for JavaScript). Little endian.
 */
export const RECORD_VERSION = 1
export const RECORD_OVERHEAD_BYTES = 64 + 12 + 16
export const RECORD_KIND = { device: 1, random: 2, relayed: 3, granted: 4 } as const

export interface RecordName { readonly link: number, readonly id: string, readonly offset: number }

const hex = (bytes: Uint8Array, from: number, to: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('hex')

/** For each record that is opened or removed: a view of its own would cost more than what is read. @throws RangeError beyond the record's end. */
const number32 = (record: Uint8Array, at: number): number => {
  if (at + 4 > record.length) throw new RangeError('a record is shorter than its header')
  return (record[at]! | record[at + 1]! << 8 | record[at + 2]! << 16 | record[at + 3]! << 24) >>> 0
}

/** Number of the key slot that holds the record's wrapped seal key. */
export const recordSlot = (record: Uint8Array): number => number32(record, 32)
/** Number of the process start that sealed it. */
export const recordStart = (record: Uint8Array): number => number32(record, 36)
/** Payload bytes. */
export const recordPayload = (record: Uint8Array): number => number32(record, 28)
/** The frame's name: link, device block id as 32 hex digits, offset in units of 32 bytes. */
export const recordName = (record: Uint8Array): RecordName => {
  return { link: number32(record, 4), id: hex(record, 8, 24), offset: number32(record, 24) }
}

export const recordLinkAt = (records: Buffer, at: number): number => records.readUInt32LE(at + 4)
export const recordOffsetAt = (records: Buffer, at: number): number => records.readUInt32LE(at + 24)

/**
 * The same of a record that begins at `at`: many records in one piece of memory need no view each. `before`: the name of another
 * one, at `beforeAt`, which is of the same device block nearly always: then its ID serves again.
 */
export const recordNameAt = (records: Buffer, at: number, before?: RecordName, beforeAt = at): RecordName => {
  const id = before !== undefined && isSameBlock(records, at, beforeAt) ? before.id : records.toString('hex', at + 8, at + 24)
  return { link: recordLinkAt(records, at), id, offset: recordOffsetAt(records, at) }
}

const isSameBlock = (records: Buffer, a: number, b: number): boolean => {
  for (let i = 8; i < 24; i += 4) if (records.readInt32LE(a + i) !== records.readInt32LE(b + i)) return false
  return true
}

/** The same header for another piece of the same block. */
export const moveInHeader = (header: Uint8Array, offset: number, payloadBytes: number): void => {
  header[24] = offset
  header[25] = offset >>> 8
  header[26] = offset >>> 16
  header[27] = offset >>> 24
  header[28] = payloadBytes
  header[29] = payloadBytes >>> 8
  header[30] = payloadBytes >>> 16
  header[31] = payloadBytes >>> 24
}

/** A header for bytes that no device delivered: local pools (`random`) and the relay. */
export const makeRecordHeader = (kind: number, name: RecordName, payloadBytes: number, slot: number, start: number): Uint8Array => {
  const header = new Uint8Array(64)
  const v = new DataView(header.buffer)
  header[0] = RECORD_VERSION
  header[1] = kind
  v.setUint32(4, name.link, true)
  header.set(Buffer.from(name.id, 'hex'), 8)
  v.setUint32(24, name.offset, true)
  v.setUint32(28, payloadBytes, true)
  v.setUint32(32, slot, true)
  v.setUint32(36, start, true)
  v.setUint32(56, 0xffff_ffff, true)
  return header
}
