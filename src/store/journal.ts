/**
 * The journal: small batches become durable here with one sequential write each, and reach the data file
 * later, many at a time. A commit of LMDB writes each touched page of its trees and syncs twice; measured, a batch of
 * 32 claims costs a fifth of that here.
 *
 * One file of fixed size, written ahead with zeros so that an entry has no metadata to write, in two halves: while the entries
 * of one are on their way to the data file, others are written into the other. Within a half they lie one after the other from its beginning.
 *   magic u32 | length u32 | number f64 | CRC-32 u32 over number, length and body | body       little endian
 * A body ends with as many fillers (OP_PAD) as bring the next entry to a multiple of 4096, so that entries go past the page
 * cache: a write that returns when the disk has it (O_DIRECT, O_DSYNC) costs the processor less than half of a buffered one and
 * fdatasync, which writes the inode as well. A reader takes entries while their magic, checksum and consecutive numbers hold, with
 * and without fillers; the rest is older or torn.
 */
import { closeSync, constants, existsSync, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { KmeError } from '../kernel/errors.js'
import { OP_PAD } from './batch-format.js'

/** Node has it, but its types do not tell. */
declare const WebAssembly: { readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } }

const MAGIC = 0x4a4d4b51 // "QKMJ"
const HEADER_BYTES = 20
export const JOURNAL_BYTES = 4 << 20
const HALF_BYTES = JOURNAL_BYTES / 2
/** Direct writes take whole blocks of the disk, from memory that begins with a block: no disk's are larger than a page. */
const BLOCK_BYTES = 4096
const WASM_PAGE_BYTES = 65_536
const SCRATCH_BYTES = 3 * WASM_PAGE_BYTES

export interface JournalEntry { readonly seq: number, readonly ops: Buffer }

const checksum = (seq: number, ops: Uint8Array): number => {
  const head = Buffer.alloc(12)
  head.writeDoubleLE(seq)
  head.writeUInt32LE(ops.length, 8)
  return crc32(ops, crc32(head))
}

/** Entries that the data file does not contain yet, in order. @throws KmeError `STORE_CORRUPT` if one is missing before another. */
export const readJournal = (path: string, appliedSeq: number): JournalEntry[] => {
  if (!existsSync(path)) return []
  const file = readFileSync(path), found = new Map<number, JournalEntry>()
  for (const from of [0, HALF_BYTES]) for (const entry of entriesFrom(file, from)) if (entry.seq > appliedSeq) found.set(entry.seq, entry)
  const entries = [...found.values()].sort((a, b) => a.seq - b.seq)
  const misplaced = entries.find(({ seq }, i) => seq !== appliedSeq + 1 + i)
  if (misplaced === undefined) return entries
  throw misplaced === entries[0]
    ? new KmeError('STORE_CORRUPT', `${path} begins at ${misplaced.seq}, but the data file ends at ${appliedSeq}: the two files do not belong together. Copy or restore the whole folder, never one file of it`)
    : new KmeError('STORE_CORRUPT', `${path} lacks the entry before ${misplaced.seq}: it is damaged. Move the folder away and restore a backup (qkme restore); the key stock in it is lost`)
}

/** The entries of a half, of whichever age. Before there were halves the first one went on behind its end. */
function * entriesFrom (file: Buffer, from: number): Generator<JournalEntry> {
  let expected: number | undefined
  for (let at = from; at + HEADER_BYTES <= file.length;) {
    if (file.readUInt32LE(at) !== MAGIC) return
    const length = file.readUInt32LE(at + 4), seq = file.readDoubleLE(at + 8)
    const ops = file.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)
    if (ops.length !== length || file.readUInt32LE(at + 16) !== checksum(seq, ops)) return
    if (expected !== undefined && seq !== expected) return
    expected = seq + 1
    yield { seq, ops }
    at += HEADER_BYTES + length
  }
}

const entryBytes = (opsBytes: number): number => Math.ceil((HEADER_BYTES + opsBytes) / BLOCK_BYTES) * BLOCK_BYTES

/** Zeros that begin at a page, which no other memory of JavaScript is sure to do. */
const pageAligned = (bytes: number): Buffer => Buffer.from(new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE_BYTES) }).buffer)

/** Creates the file filled with zeros and synced with its folder, if it is not there or too short. */
const createWhole = (path: string): void => {
  const fd = openSync(path, existsSync(path) ? 'r+' : 'w+', 0o600)
  try {
    const size = fstatSync(fd).size
    if (size >= JOURNAL_BYTES) return
    writeSync(fd, Buffer.alloc(JOURNAL_BYTES - size), 0, JOURNAL_BYTES - size, size)
    fsyncSync(fd)
    const folder = openSync(dirname(path), 'r')
    try { fsyncSync(folder) } finally { closeSync(folder) }
  } finally { closeSync(fd) }
}

/** A descriptor whose writes are durable when they return; `scratch` tries it out on the first block. */
const openDurable = (path: string, scratch: Buffer, flags: number = constants.O_DIRECT): number => {
  let fd = -1
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_DSYNC | flags)
    writeSync(fd, scratch, 0, BLOCK_BYTES, 0)
    return fd
  } catch (error) {
    if (fd >= 0) closeSync(fd)
    // A file system that has no direct writes, or not of this size: through the page cache, and as durable.
    if (flags !== 0 && (error as NodeJS.ErrnoException).code === 'EINVAL') return openDurable(path, scratch, 0)
    throw error
  }
}

/** The writing side. Only the store's writer thread has one. */
export class Journal {
  private half = 0
  private at = 0

  private constructor (private readonly fd: number, private scratch: Buffer) {}

  /** Opens the file, empty from now on: what it held must be in the data file. @throws the disk's error */
  static open (path: string): Journal {
    createWhole(path)
    const scratch = pageAligned(SCRATCH_BYTES)
    return new Journal(openDurable(path, scratch), scratch)
  }

  /** Room for an entry of `bytes` in this half. */
  fits (bytes: number): boolean { return this.at + entryBytes(bytes) <= this.half + HALF_BYTES }

  /** Appends entry `seq` (one above the last) and makes it durable; `ops` may lie in shared memory. @throws the disk's error */
  append (seq: number, ops: Uint8Array): void {
    const length = entryBytes(ops.length)
    if (this.scratch.length < length) this.scratch = pageAligned(2 * length)
    const entry = this.scratch.subarray(0, length)
    entry.set(ops, HEADER_BYTES)
    entry.fill(OP_PAD, HEADER_BYTES + ops.length)
    entry.writeUInt32LE(MAGIC, 0)
    entry.writeUInt32LE(length - HEADER_BYTES, 4)
    entry.writeDoubleLE(seq, 8)
    entry.writeUInt32LE(checksum(seq, entry.subarray(HEADER_BYTES)), 16)
    for (let done = 0; done < length;) done += writeSync(this.fd, entry, done, length - done, this.at + done)
    this.at += length
  }

  /** What is in this half goes to the data file now: further entries go to the other one, whose own must be there already. */
  turn (): void { this.at = this.half = HALF_BYTES - this.half }

  close (): void { closeSync(this.fd) }
}
