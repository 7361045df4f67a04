/** One record of the audit trail: 64 bytes, little endian, numbers only. */
import { KmeError } from '../kernel/errors.js'
import { viewOf } from './numbers.js'

export const AUDIT_RECORD_BYTES = 64

export const auditKinds = ['enc', 'dec', 'aborted', 'refused', 'admin', 'security'] as const
export type AuditKind = typeof auditKinds[number]

/**
 *   0 sequence f64 | 8 wall time ms f64 | 16 kind u8 | 17 0 | 18 association u16 | 20 caller u32 | 24 other u32
 *   28 block, low half u32 | 32 place u32 | 36 size bytes u32 | 40 number u32 | 44 block, high half u32 | 48 0 …
 * `caller` and `other` are numbers of names (table auditName), 0 for none.
 */
export interface AuditRecord {
  readonly sequence: number, readonly wallMs: number, readonly kind: AuditKind, readonly association: number
  readonly caller: number, readonly other: number
  /** First block and place (units of 8 bytes), size of one key in bytes, number of keys. */
  readonly block: number, readonly place: number, readonly sizeBytes: number, readonly number: number
}

/** A buffer of records that is written without allocating. */
export class AuditBuffer {
  readonly bytes: Uint8Array
  private readonly floats: Float64Array
  private readonly words: Uint32Array
  count = 0

  constructor (readonly capacity: number) {
    const memory = new ArrayBuffer(capacity * AUDIT_RECORD_BYTES)
    this.bytes = new Uint8Array(memory)
    this.floats = new Float64Array(memory)
    this.words = new Uint32Array(memory)
  }

  get full (): boolean { return this.count >= this.capacity }

  /** The machines we build for are little endian (native/record.h asserts it). */
  append (sequence: number, wallMs: number, kind: number, association: number, caller: number, other: number, block: number, place: number, sizeBytes: number, number: number): void {
    const f = this.count * 8, w = this.count * 16
    this.floats[f] = sequence
    this.floats[f + 1] = wallMs
    this.words[w + 4] = kind | association << 16
    this.words[w + 5] = caller
    this.words[w + 6] = other
    this.words[w + 7] = block
    this.words[w + 8] = place
    this.words[w + 9] = sizeBytes
    this.words[w + 10] = number
    this.words[w + 11] = block / 2 ** 32
    this.count++
  }

  written (): Uint8Array { return this.bytes.subarray(0, this.count * AUDIT_RECORD_BYTES) }
}

/** @throws KmeError `STORE_CORRUPT` */
export const readAuditRecord = (bytes: Uint8Array): AuditRecord => {
  const view = viewOf(bytes)
  const kind = auditKinds[view.getUint8(16)]
  if (kind === undefined || bytes.length !== AUDIT_RECORD_BYTES) throw new KmeError('STORE_CORRUPT', 'a record of the audit trail is damaged')
  return {
    sequence: view.getFloat64(0, true), wallMs: view.getFloat64(8, true), kind, association: view.getUint16(18, true),
    caller: view.getUint32(20, true), other: view.getUint32(24, true), block: view.getUint32(28, true) + view.getUint32(44, true) * 2 ** 32, place: view.getUint32(32, true),
    sizeBytes: view.getUint32(36, true), number: view.getUint32(40, true),
  }
}
