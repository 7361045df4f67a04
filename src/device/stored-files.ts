/**
 * How a key file of a device goes when all of it is stored. Its folder belongs to two: the device may put another file under the
 * name at any moment, and that one must neither be overwritten nor lost. So the name is taken away in one step, and only then it
 * is looked at what had it.
 */
import { constants } from 'node:fs'
import { link, lstat, open, readdir, rename, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './feed-loop.js'

/** Renamed so until it is known to be what was stored; after a crash it gets its name back, and is read again. */
const TAKEN = '.qkme-taken'
/** What is stored is renamed so before it is overwritten: a crash in the middle must not make zeros look like key. */
const DONE = '.qkme-done'
const CHUNK_BYTES = 65_536

/** The file that was read: open still, so that no other can have its inode number. */
export interface StoredFile { readonly name: string, readonly file: FileHandle, readonly sizeBytes: number, readonly changedMs: number }

/**
 * Overwrites the file with zeros and removes it, durably. The handle stays open, and the caller's.
 * @returns false: the name has another file now, or this one was changed since it was read, or it is gone. What is there stays.
 * @throws errors of the system.
 */
export const removeStored = async (folder: string, { name, file, sizeBytes, changedMs }: StoredFile): Promise<boolean> => {
  const path = join(folder, name), mine = await file.stat()
  try {
    await rename(path, path + TAKEN)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
  const now = await lstat(path + TAKEN)
  if (now.ino !== mine.ino || now.dev !== mine.dev || now.size !== sizeBytes || now.mtimeMs !== changedMs) {
    await giveBack(folder, name)
    return false
  }
  await rename(path + TAKEN, path + DONE)
  await overwrite(folder, name + DONE)
  return true
}

/** What a former start left in the middle: what was stored goes, what was only taken away gets its name back. */
export const sweepStored = async (folder: string, suffix: string): Promise<void> => {
  for (const name of await readdir(folder)) {
    if (name.endsWith(suffix + DONE)) await overwrite(folder, name)
    if (name.endsWith(suffix + TAKEN)) await giveBack(folder, name.slice(0, -TAKEN.length))
  }
}

/** Never over a file that came meanwhile: then the device has replaced the taken one itself. */
const giveBack = async (folder: string, name: string): Promise<void> => {
  const path = join(folder, name), taken = path + TAKEN
  try {
    await link(taken, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') { await rename(taken, path); return } // A file system without links.
    const [old, fresh] = [await lstat(taken), await lstat(path).catch(() => undefined)] // It may go again, at any moment.
    if (old.ino !== fresh?.ino || old.dev !== fresh.dev) { await overwrite(folder, name + TAKEN); return }
  }
  await unlink(taken)
}

const overwrite = async (folder: string, name: string): Promise<void> => {
  const path = join(folder, name)
  const names = await open(folder, constants.O_RDONLY)
  try { await names.sync() } finally { await names.close() }
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW)
  try {
    const { size } = await file.stat()
    const zeros = new Uint8Array(Math.min(size, CHUNK_BYTES))
    for (let at = 0; at < size; at += zeros.length) await file.write(zeros, 0, Math.min(zeros.length, size - at), at)
    await file.datasync()
  } finally { await file.close() }
  await unlink(path)
}
