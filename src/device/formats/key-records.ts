/** Growing files of records: key ID (16 bytes) and key (32 bytes), one after the other, without header. Pure. */
export const KEY_RECORD_BYTES = 48
export const KEY_ID_BYTES = 16

/** Whole records in `bytes` bytes; a torn end does not count. */
export const wholeRecords = (bytes: number): number => Math.floor(bytes / KEY_RECORD_BYTES)

export interface KeyRecord { readonly id: Uint8Array, readonly key: Uint8Array }

/** Record `index` of a stretch that begins at a record: views, not copies. Undefined if it was erased (all zero). */
export const keyRecord = (bytes: Uint8Array, index: number): KeyRecord | undefined => {
  const at = index * KEY_RECORD_BYTES
  const id = bytes.subarray(at, at + KEY_ID_BYTES), key = bytes.subarray(at + KEY_ID_BYTES, at + KEY_RECORD_BYTES)
  return id.every((b) => b === 0) && key.every((b) => b === 0) ? undefined : { id, key }
}
