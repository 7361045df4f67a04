/**
 * The journal: small batches become durable here with one sequential write and one fdatasync, and reach the data file
 * later, many at a time. A commit of LMDB writes each touched page of its trees and syncs twice; measured, a batch of
 * 32 claims costs a fifth of that here.
 *
 * One file of fixed size, written ahead with zeros so that fdatasync has no metadata to write. Entries lie one after
 * the other from offset 0; when all of them are in the data file the next is written at offset 0 again.
 *   magic u32 | length u32 | number f64 | CRC-32 u32 over number, length and body | body       little endian
 * A reader takes entries while their magic, checksum and consecutive numbers hold; the rest is older or torn.
 */
import { closeSync, existsSync, fdatasyncSync, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { KmeError } from '../kernel/errors.js'

const MAGIC = 0x4a4d4b51 // "QKMJ"
const HEADER_BYTES = 20
export const JOURNAL_BYTES = 4 << 20

export interface JournalEntry { readonly seq: number, readonly ops: Buffer }

const checksum = (seq: number, ops: Uint8Array): number => {
  const head = Buffer.alloc(12)
  head.writeDoubleLE(seq)
  head.writeUInt32LE(ops.length, 8)
  return crc32(ops, crc32(head))
}

/** Entries that the data file does not contain yet, in order. @throws KmeError `STORE_CORRUPT` if one is missing before the first. */
export const readJournal = (path: string, appliedSeq: number): JournalEntry[] => {
  if (!existsSync(path)) return []
  const file = readFileSync(path)
  const entries: JournalEntry[] = []
  let expected: number | undefined
  for (let at = 0; at + HEADER_BYTES <= file.length;) {
    if (file.readUInt32LE(at) !== MAGIC) break
    const length = file.readUInt32LE(at + 4), seq = file.readDoubleLE(at + 8)
    const ops = file.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)
    if (ops.length !== length || file.readUInt32LE(at + 16) !== checksum(seq, ops)) break
    if (expected !== undefined && seq !== expected) break
    expected = seq + 1
    if (seq > appliedSeq) entries.push({ seq, ops })
    at += HEADER_BYTES + length
  }
  const first = entries[0]
  if (first !== undefined && first.seq !== appliedSeq + 1) {
    throw new KmeError('STORE_CORRUPT', `${path} begins at ${first.seq}, but the data file ends at ${appliedSeq}: the two files do not belong together. Copy or restore the whole folder, never one file of it`)
  }
  return entries
}

/** The writing side. Only the store's writer thread has one. */
export class Journal {
  private at = 0
  private scratch = Buffer.alloc(1 << 16)

  private constructor (private readonly fd: number) {}

  /** Opens the file, creating it filled with zeros and synced with its folder. */
  static open (path: string): Journal {
    const fd = openSync(path, existsSync(path) ? 'r+' : 'w+', 0o600)
    try {
      const size = fstatSync(fd).size
      if (size < JOURNAL_BYTES) {
        writeSync(fd, Buffer.alloc(JOURNAL_BYTES - size), 0, JOURNAL_BYTES - size, size)
        fsyncSync(fd)
        const folder = openSync(dirname(path), 'r')
        try { fsyncSync(folder) } finally { closeSync(folder) }
      }
      return new Journal(fd)
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  /** Room for an entry of `bytes` before everything in the journal must be in the data file. */
  fits (bytes: number): boolean { return this.at + HEADER_BYTES + bytes <= JOURNAL_BYTES }

  /** Appends entry `seq` (one above the last) and makes it durable; `ops` may lie in shared memory. @throws the disk's error */
  append (seq: number, ops: Uint8Array): void {
    const length = HEADER_BYTES + ops.length
    if (this.scratch.length < length) this.scratch = Buffer.alloc(2 * length)
    const entry = this.scratch.subarray(0, length)
    entry.set(ops, HEADER_BYTES)
    entry.writeUInt32LE(MAGIC, 0)
    entry.writeUInt32LE(ops.length, 4)
    entry.writeDoubleLE(seq, 8)
    entry.writeUInt32LE(checksum(seq, entry.subarray(HEADER_BYTES)), 16)
    for (let done = 0; done < length;) done += writeSync(this.fd, entry, done, length - done, this.at + done)
    fdatasyncSync(this.fd)
    this.at += length
  }

  /** Everything written so far is in the data file: begin again at the front. */
  reset (): void { this.at = 0 }

  close (): void { closeSync(this.fd) }
}
