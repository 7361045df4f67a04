/**
 * A batch of writes in transit between the threads of the store and in its journal: one operation after the other,
 *   op u8 (1 put, 2 remove) | key bytes u16 | value bytes u32 | key | value       little endian
 *   op u8 (3) alone: a byte without meaning, before an operation whose value is to lie at a multiple of 8
 * A batch always holds whole transactions.
 */
import { KmeError } from '../kernel/errors.js'

export const OP_PUT = 1
export const OP_REMOVE = 2
export const OP_PAD = 3
export const OP_HEADER_BYTES = 7
export const VALUE_BYTES_MAX = 1 << 20

/** What the disk or LMDB said, as one of the store's codes with a way out. */
export const storeFailure = (cause: unknown, what: string): KmeError => {
  if (cause instanceof KmeError) return cause
  const text = cause instanceof Error ? cause.message : String(cause)
  const code = (cause as { code?: unknown } | null)?.code
  if (code === 'ENOSPC' || code === 'EDQUOT' || /No space left|MDB_MAP_FULL|quota/i.test(text)) {
    return new KmeError('STORE_FULL', `${what}: ${text}. Free space on its disk or raise store.mapSizeBytes, then start again`, { cause })
  }
  if (/MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|VERSION_MISMATCH|PANIC)|not an LMDB file/i.test(text)) {
    return new KmeError('STORE_CORRUPT', `${what}: ${text}. Move the folder away and restore a backup (qkme restore); the key stock in it is lost`, { cause })
  }
  return new KmeError('STORE_UNAVAILABLE', `${what}: ${text}. Check the disk and the folder's owner and mode, then start again`, { cause })
}
