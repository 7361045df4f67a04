/** The data file: LMDB. What needs the form of a batch only, such as the writer's thread, loads batch-format.ts and none of this. */
import { open, type RootDatabase } from 'lmdb'
import { mkdirSync } from 'node:fs'
import { KmeError } from '../kernel/errors.js'
import { OP_HEADER_BYTES, OP_PAD, OP_PUT, OP_REMOVE, storeFailure, VALUE_BYTES_MAX } from './batch-format.js'

export type Lmdb = RootDatabase<Buffer, Buffer>
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

/** @throws KmeError `STORE_CORRUPT` at the first operation that is none: its transaction ends without effect. */
const applyOps = (db: Lmdb, ops: Buffer): void => {
  for (let at = 0; at < ops.length;) {
    const op = ops[at]
    if (op === OP_PAD) { at++; continue }
    const keyAt = at + OP_HEADER_BYTES
    if ((op !== OP_PUT && op !== OP_REMOVE) || keyAt > ops.length) throw malformed(at)
    const valueAt = keyAt + ops.readUInt16LE(at + 1), end = valueAt + ops.readUInt32LE(at + 3)
    if (end > ops.length || valueAt === keyAt || end - valueAt > VALUE_BYTES_MAX) throw malformed(at)
    const key = ops.subarray(keyAt, valueAt)
    if (op === OP_PUT) db.putSync(key, ops.subarray(valueAt, end))
    else db.removeSync(key)
    at = end
  }
}

const malformed = (at: number): KmeError =>
  new KmeError('STORE_CORRUPT', `byte ${at} of a batch begins no operation: the journal is damaged. Move the folder away and restore a backup (qkme restore); the key stock in it is lost`)

/** Number of the last batch in the data file; 0 in a new one. */
export const appliedSeq = (db: Lmdb): number => db.get(APPLIED_KEY)?.readDoubleLE(0) ?? 0

interface TreeStats { readonly treeBranchPageCount?: number, readonly treeLeafPageCount?: number, readonly overflowPages?: number }

/** Pages that hold something, in bytes. The file does not shrink, but LMDB uses its free pages again. */
export const usedBytes = (db: Lmdb): number => {
  const stats = db.getStats() as TreeStats & { readonly free?: TreeStats }
  const pages = (tree: TreeStats = {}): number => (tree.treeBranchPageCount ?? 0) + (tree.treeLeafPageCount ?? 0) + (tree.overflowPages ?? 0)
  return (2 + pages(stats) + pages(stats.free)) * PAGE_BYTES
}
