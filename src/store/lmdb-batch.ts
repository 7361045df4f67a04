/** The data file: LMDB. What needs the form of a batch only, such as the writer's thread, loads batch-format.ts and none of this. */
import { open, type RootDatabase } from 'lmdb'
import { mkdirSync } from 'node:fs'
import { OP_HEADER_BYTES, OP_PAD, OP_PUT, storeFailure } from './batch-format.js'

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
