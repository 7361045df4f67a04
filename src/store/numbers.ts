/** Integers as bytes in rows. */
import { KmeError } from '../kernel/errors.js'

export const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

/** @throws KmeError `STORE_CORRUPT` if it has not four bytes. */
export const readU32 = (bytes: Uint8Array): number => {
  if (bytes.length !== 4) throw new KmeError('STORE_CORRUPT', 'a row that should hold a number of 4 bytes does not')
  return viewOf(bytes).getUint32(0, true)
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
