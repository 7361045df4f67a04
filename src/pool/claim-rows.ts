/**
 * Claims in the store. Those of a segment of a block are one row: keys that are fetched one after the other, which is what
 * slaves do, cost one row for all of a flush, and a block has 62 rows to erase instead of 2,000. An entry is
 *   place within the segment u8 | length u16 | association u16 | mask of the slaves that have it u32 | slaves that may have it u16
 * little endian, by rising place. Schema 1 kept a row per claim, without the first octet.
 */
import { KmeError } from '../kernel/errors.js'

/** Units of 8 bytes. */
export const SEGMENT_UNITS = 128
export const CLAIM_BYTES = 11
const OLD_BYTES = 10

export interface ClaimEntry { readonly place: number, readonly length: number, readonly association: number, readonly mask: number, readonly slaves: number }

/** Lays one entry down at `at`. */
export const packClaim = (row: Uint8Array, at: number, placeInSegment: number, length: number, association: number, mask: number, slaves: number): void => {
  row[at] = placeInSegment
  row[at + 1] = length
  row[at + 2] = length >>> 8
  row[at + 3] = association
  row[at + 4] = association >>> 8
  row[at + 5] = mask
  row[at + 6] = mask >>> 8
  row[at + 7] = mask >>> 16
  row[at + 8] = mask >>> 24
  row[at + 9] = slaves
  row[at + 10] = slaves >>> 8
}

/**
 * @param at  Last element of the row's key: a place (schema 1), or below 0 a segment, counted down from -1.
 * @throws KmeError `STORE_CORRUPT`
 */
export const parseClaims = (at: number, row: Uint8Array): ClaimEntry[] => {
  const isOld = at >= 0, bytes = isOld ? OLD_BYTES : CLAIM_BYTES
  if (row.length % bytes !== 0 || (isOld && row.length !== bytes)) throw new KmeError('STORE_CORRUPT', `a row of claims has ${row.length} bytes. Run qkme store check`)
  const view = new DataView(row.buffer, row.byteOffset, row.byteLength), entries: ClaimEntry[] = []
  for (let from = 0; from < row.length; from += bytes) {
    const body = isOld ? from : from + 1
    entries.push({
      place: isOld ? at : (-1 - at) * SEGMENT_UNITS + row[from]!, length: view.getUint16(body, true), association: view.getUint16(body + 2, true),
      mask: view.getUint32(body + 4, true), slaves: view.getUint16(body + 8, true),
    })
  }
  return entries
}
