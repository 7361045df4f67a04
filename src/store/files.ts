/** Small durable file operations. */
import { closeSync, fdatasyncSync, fstatSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { randomFillSync } from 'node:crypto'
import { dirname } from 'node:path'

/** Makes a created, renamed or removed name durable: syncs the folder that holds `path`. */
export const syncFolder = (path: string): void => {
  const fd = openSync(dirname(path), 'r')
  try { fsyncSync(fd) } finally { closeSync(fd) }
}

/** Writes all of `bytes` at `at`. */
export const writeAll = (fd: number, bytes: Uint8Array, at: number): void => {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, at + done)
}

/** Overwrites a stretch in place, with random bytes and then zeros, each on the disk before it goes on. */
export const overwrite = (fd: number, at: number, length: number): void => {
  const bytes = Buffer.alloc(length)
  randomFillSync(bytes)
  writeAll(fd, bytes, at)
  fdatasyncSync(fd)
  writeAll(fd, bytes.fill(0), at)
  fdatasyncSync(fd)
}

/** Overwrites a whole file in place, in pieces of 1 MiB. */
export const overwriteFile = (path: string): void => {
  const fd = openSync(path, 'r+')
  try {
    const { size } = fstatSync(fd)
    for (let at = 0; at < size; at += 1 << 20) overwrite(fd, at, Math.min(1 << 20, size - at))
  } finally {
    closeSync(fd)
  }
}
