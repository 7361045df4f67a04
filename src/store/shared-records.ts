/**
 * Rows that sealed records share. What a device brings together is stored together: a value of 64 KiB is one piece of work for the
 * store where sixteen of 4 KiB are sixteen, when it is written and when it goes. Since schema 3; a record that has a row of its own
 * is found by its frame's name.
 *   table `records`, key [link, number]   up to SHARED_RECORDS_MAX records of one length, each at a multiple of RECORD_PITCH_BYTES; the last one ends the value
 *   table `removed`, the same key         u16 little endian: bit i is set if record i is gone. Absent: none is. Both rows go with the last record
 * A record that is gone lies in its row until the others are gone, as it lies in free pages otherwise: what erases it is its key slot.
 */
import type { KvKey, KvReader } from './kv.js'
import { prefixRange } from './kv.js'

export const RECORDS_TABLE = 'records'
export const REMOVED_TABLE = 'removed'
export const SHARED_RECORDS_MAX = 16
/** As the addon lays records down. */
export const RECORD_PITCH_BYTES = 4096
/** Longer than half a page: LMDB gives such a value pages of its own, so that the pitch costs no room. Of shorter ones it puts several into a page. */
export const SHARED_RECORD_BYTES_MIN = RECORD_PITCH_BYTES / 2 + 1

export interface SharedShape { readonly count: number, readonly recordBytes: number }

/** What a value of the table `records` holds, by its length alone; undefined if it cannot be one. */
export const sharedShape = (valueBytes: number): SharedShape | undefined => {
  const count = Math.ceil(valueBytes / RECORD_PITCH_BYTES), recordBytes = valueBytes - (count - 1) * RECORD_PITCH_BYTES
  return count < 1 || count > SHARED_RECORDS_MAX || recordBytes < SHARED_RECORD_BYTES_MIN ? undefined : { count, recordBytes }
}

export const recordsKey = (link: number, row: number): KvKey => [RECORDS_TABLE, link, row]
export const removedKey = (link: number, row: number): KvKey => [REMOVED_TABLE, link, row]

/** Bit i: record i of the row is gone. */
export const removedMask = (kv: KvReader, link: number, row: number): number => {
  const bytes = kv.get(removedKey(link, row))
  return bytes === undefined ? 0 : bytes[0]! | bytes[1]! << 8
}

export interface SharedRecord { readonly link: number, readonly row: number, readonly index: number, readonly record: Uint8Array }

/** Every record in shared rows of a link, or of all links, that is not gone, in the order in which they came. Its bytes are valid until the next. */
export function * sharedRecords (kv: KvReader, link?: number): Generator<SharedRecord> {
  const value = new Uint8Array(SHARED_RECORDS_MAX * RECORD_PITCH_BYTES)
  for (const key of kv.keys(prefixRange(link === undefined ? [RECORDS_TABLE] : [RECORDS_TABLE, link]))) {
    const [, of, row] = key as [string, number, number]
    const length = kv.copyTo(key, value), shape = sharedShape(length)
    if (length < 0) continue // Removed by the caller meanwhile.
    if (shape === undefined) { yield { link: of, row, index: 0, record: value.subarray(0, 0) }; continue }
    const gone = removedMask(kv, of, row)
    for (let index = 0; index < shape.count; index++) {
      const at = index * RECORD_PITCH_BYTES
      if ((gone >>> index & 1) === 0) yield { link: of, row, index, record: value.subarray(at, at + shape.recordBytes) }
    }
  }
}
