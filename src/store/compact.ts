/**
 * A data file without its free pages. LMDB uses the pages of removed rows again and never gives them back to the disk.
 *  1. a copy without free pages in a folder of its own, synced;
 *  2. the stamp of the copy goes into it: from here it is a store of its own place, as the original is;
 *  3. the copy takes the original's name, in one step; the original is gone.
 * Cut before step 3, the store is as it was, and its next opening removes the copy (`removeUnfinishedCopy`): an old state whose stamp is its
 * own must not lie about. The journal stays: everything in it is in the data file before, and its numbers go on.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import { checkDataFile } from './data-file.js'
import { syncFolder } from './files.js'
import { encodeKey, keyBytes } from './key-codec.js'
import type { Kv } from './kv.js'
import { storeFailure } from './batch-format.js'
import { openLmdb, PAGE_BYTES } from './lmdb-batch.js'
import { openLmdbKv } from './lmdb.js'
import { lockStore } from './lock.js'
import { META } from './meta.js'
import { decodeStamp, encodeStamp, stampDifference, takeStamp } from './stamp.js'

const DATA_FOLDER = 'db', COPY_FOLDER = 'db.compact', DATA_FILE = 'data.mdb'

export interface Compaction {
  readonly folder: string
  readonly random: Random
  readonly mapBytes: number
  /** Free space that must be left beside the copy. */
  readonly reserveBytes: number
  /** Default /etc/machine-id. */
  readonly machineIdPath?: string
  /** For tests: called before each step, and may throw in its place. */
  readonly before?: (step: 'copy' | 'stamp' | 'rename') => void
}

/**
 * Compacts the store of a KME that is not running. No master key is needed: nothing is opened.
 *
 * @returns bytes of the data file before and after.
 * @throws KmeError `STORE_UNAVAILABLE`, `STORE_LOCKED`, `STORE_CORRUPT`, `STORE_FULL`; `STORE_COPIED` if the store is a copy: its next start must void it first.
 */
export const compactStore = async (o: Compaction): Promise<{ readonly beforeBytes: number, readonly afterBytes: number }> => {
  const data = join(o.folder, DATA_FOLDER, DATA_FILE), copy = join(o.folder, COPY_FOLDER, DATA_FILE), machineId = o.machineIdPath ?? '/etc/machine-id'
  if (!existsSync(data)) throw new KmeError('STORE_UNAVAILABLE', `there is no store in ${o.folder}. Check store.folder`)
  const lock = await lockStore(o.folder, o.random)
  try {
    removeUnfinishedCopy(o.folder)
    await settle(o, data, machineId)
    const beforeBytes = statSync(data).size
    o.before?.('copy')
    const rows = await copyTo(o)
    o.before?.('stamp')
    await putStamp(o, copy, machineId, rows)
    o.before?.('rename')
    renameSync(copy, data)
    syncFolder(data)
    removeUnfinishedCopy(o.folder)
    return { beforeBytes, afterBytes: statSync(data).size }
  } finally {
    await lock.release()
  }
}

/** Removes what a compaction that was cut has left. The store must be locked. */
export const removeUnfinishedCopy = (folder: string): void => { rmSync(join(folder, COPY_FOLDER), { recursive: true, force: true }) }

/** Everything of the journal goes into the data file, which must be the original and leave room for a copy. */
const settle = async ({ folder, mapBytes, reserveBytes }: Compaction, data: string, machineId: string): Promise<void> => {
  const kv = await openLmdbKv({ folder: join(folder, DATA_FOLDER), mapBytes, reserveBytes: 0 })
  try {
    refuseCopy(kv, folder, data, machineId)
    const { bavail, bsize } = statfsSync(folder), { usedBytes } = kv.stats()
    if (bavail * bsize < usedBytes + reserveBytes) throw new KmeError('STORE_FULL', `the disk of ${folder} has ${bavail * bsize} bytes free, and the copy needs up to ${usedBytes} beside the reserve of ${reserveBytes}. Free space, or lower store.reserveBytes for this command`)
  } finally {
    await kv.close()
  }
}

const refuseCopy = (kv: Kv, folder: string, data: string, machineId: string): void => {
  const stamp = kv.get(META.stamp)
  if (stamp === undefined) throw new KmeError('STORE_UNAVAILABLE', `the store in ${folder} was never finished. Start the KME once`)
  if (stampDifference(decodeStamp(stamp), takeStamp(data, machineId)).length > 0) throw new KmeError('STORE_COPIED', `${folder} is a copy of another store. Start the KME with store.copies: void first, which voids its stock at both ends`)
}

/** @returns how many rows were copied. */
const copyTo = async ({ folder, mapBytes }: Compaction): Promise<number> => {
  const db = openLmdb(join(folder, DATA_FOLDER), mapBytes), to = join(folder, COPY_FOLDER)
  try {
    mkdirSync(to, { mode: 0o700 })
    await db.backup(to, true)
    return rowsOf(db)
  } catch (cause) {
    throw storeFailure(cause, `cannot copy the data file of ${folder}`)
  } finally {
    await db.close()
  }
}

const putStamp = async ({ folder, mapBytes }: Compaction, copy: string, machineId: string, rows: number): Promise<void> => {
  checkDataFile(copy, PAGE_BYTES)
  const db = openLmdb(join(folder, COPY_FOLDER), mapBytes)
  try {
    if (rowsOf(db) !== rows) throw new KmeError('STORE_CORRUPT', `the copy of ${folder} has ${rowsOf(db)} rows instead of ${rows}: the store was left as it was. Look at the disk, and run qkme store check`)
    db.putSync(keyBytes(encodeKey(META.stamp)), Buffer.from(encodeStamp(takeStamp(copy, machineId))))
  } finally {
    await db.close()
  }
  const file = openSync(copy, 'r')
  try { fsyncSync(file) } finally { closeSync(file) }
  syncFolder(copy)
}

const rowsOf = (db: ReturnType<typeof openLmdb>): number => (db.getStats() as { readonly entryCount: number }).entryCount
