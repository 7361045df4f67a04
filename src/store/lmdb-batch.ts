/**
 * A batch of writes in transit between the threads of the store and in its journal: one operation after the other,
 *   op u8 (1 put, 2 remove) | key bytes u16 | value bytes u32 | key | value       little endian
 *   op u8 (3) alone: a byte without meaning, before an operation whose value is to lie at a multiple of 8
 * A batch always holds whole transactions.
 */
import { open, type RootDatabase } from 'lmdb'
import { mkdirSync } from 'node:fs'
import { KmeError } from '../kernel/errors.js'

export type Lmdb = RootDatabase<Buffer, Buffer>

export const OP_PUT = 1
export const OP_REMOVE = 2
export const OP_PAD = 3
export const OP_HEADER_BYTES = 7
export const VALUE_BYTES_MAX = 1 << 20
export const PAGE_BYTES = 4096

/** Where the store keeps the number of the last batch that the data file contains. No encoded key begins with 01. */
const APPLIED_KEY = Buffer.from([1])

/**
 * Opens the data file. `noMemInit` stays off (it would leave memory in the file), and each commit is fully synced
 * before it returns, so `overlappingSync` is off too: this runs in its own thread.
 * @throws KmeError `STORE_UNAVAILABLE`, `STORE_CORRUPT`
 */
export const openLmdb = (folder: string, mapBytes: number): Lmdb => {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return open<Buffer, Buffer>({
      path: folder, noSubdir: false, keyEncoding: 'binary', encoding: 'binary', mapSize: mapBytes, pageSize: PAGE_BYTES, maxDbs: 1, maxReaders: 16,
      overlappingSync: false, safeRestore: true, noMemInit: false, cache: false, compression: false,
    } as Parameters<typeof open>[0]) as Lmdb
  } catch (cause) {
    throw storeFailure(cause, `cannot open the data file in ${folder}`)
  }
}

/**
 * Applies operations in one durable transaction and notes the number of the last journal entry among them. Each part is done with
 * when the next is asked for, because a write of a synchronous transaction copies key and value before it returns: all may lie in the same memory.
 */
export const applyBatch = (db: Lmdb, parts: Iterable<Buffer>, seq: number): void => {
  db.transactionSync(() => {
    for (const ops of parts) applyOps(db, ops)
    const applied = Buffer.alloc(8)
    applied.writeDoubleLE(seq)
    db.putSync(APPLIED_KEY, applied)
  })
}

const applyOps = (db: Lmdb, ops: Buffer): void => {
  for (let at = 0; at < ops.length;) {
    if (ops[at] === OP_PAD) { at++; continue }
    const keyAt = at + OP_HEADER_BYTES, valueAt = keyAt + ops.readUInt16LE(at + 1)
    const end = valueAt + ops.readUInt32LE(at + 3)
    const key = ops.subarray(keyAt, valueAt)
    if (ops[at] === OP_PUT) db.putSync(key, ops.subarray(valueAt, end))
    else db.removeSync(key)
    at = end
  }
}

/** Number of the last batch in the data file; 0 in a new one. */
export const appliedSeq = (db: Lmdb): number => db.get(APPLIED_KEY)?.readDoubleLE(0) ?? 0

interface TreeStats { readonly treeBranchPageCount?: number, readonly treeLeafPageCount?: number, readonly overflowPages?: number }

/** Pages that hold something, in bytes. The file does not shrink, but LMDB uses its free pages again. */
export const usedBytes = (db: Lmdb): number => {
  const stats = db.getStats() as TreeStats & { readonly free?: TreeStats }
  const pages = (tree: TreeStats = {}): number => (tree.treeBranchPageCount ?? 0) + (tree.treeLeafPageCount ?? 0) + (tree.overflowPages ?? 0)
  return (2 + pages(stats) + pages(stats.free)) * PAGE_BYTES
}

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
