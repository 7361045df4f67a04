/** The writer that `transact` lends to its function. */
import { invariant } from '../kernel/errors.js'
import { decodeKey, encodeKey } from './key-codec.js'
import type { AtEnd, KvEntry, KvKey, KvRange, KvWriter } from './kv.js'
import { CHUNK_BYTES, opBytes, type Chunk, type ChunkPool, type Written } from './lmdb-chunks.js'
import type { Layer } from './lmdb-range.js'

/** What a transaction reads through: the store as it was when the transaction began. */
export interface TxBase {
  read (encoded: string): Uint8Array | undefined
  readTo (encoded: string, out: Uint8Array): number
  has (key: KvKey): boolean
  walk (range: KvRange, writes: Layer, values: boolean): Iterable<readonly [string, Uint8Array]>
  retire (chunk: Chunk): void
}

/** A transaction that begins with so large a value is likely to go on so: rows of sealed records. It begins in a chunk that holds all of them, rather than be moved half written. */
const LARGE_BYTES = 48 << 10
const LARGE_ROOM_BYTES = CHUNK_BYTES - (64 << 10)

/** One transaction's writes, laid down in the chunk as they come and taken back if it fails. */
export class TxWriter implements KvWriter {
  readonly writes = new Map<string, Written>()
  live = true
  removes = false
  from: number
  private moved = false
  private readonly last = new Set<AtEnd>()

  constructor (private readonly base: TxBase, public chunk: Chunk, private readonly pool: ChunkPool) { this.from = chunk.used }

  get (key: KvKey): Uint8Array | undefined {
    const encoded = this.encode(key), written = this.writes.get(encoded)
    return written === undefined ? this.base.read(encoded) : written.read()
  }

  copyTo (key: KvKey, out: Uint8Array): number {
    const encoded = this.encode(key), written = this.writes.get(encoded)
    return written === undefined ? this.base.readTo(encoded, out) : written.copyTo(out)
  }

  has (key: KvKey): boolean {
    const written = this.writes.get(this.encode(key))
    return written === undefined ? this.base.has(key) : !written.isRemoved
  }

  * range (range: KvRange): Generator<KvEntry> {
    for (const [key, value] of this.walk(range, true)) yield { key: decodeKey(key), value }
  }

  * keys (range: KvRange): Generator<KvKey> {
    for (const [key] of this.walk(range, false)) yield decodeKey(key)
  }

  put (key: KvKey, value: Uint8Array): void { this.write(this.encode(key), value) }

  remove (key: KvKey): void {
    this.removes = true
    this.write(this.encode(key), undefined)
  }

  atEnd (fn: AtEnd): void {
    invariant(this.live, 'a transaction is used within its function only')
    this.last.add(fn)
  }

  /** Runs what `atEnd` was given, also what that gives. @returns what is to run after the commit. */
  finish (): (() => void)[] {
    const after: (() => void)[] = []
    for (const fn of this.last) {
      const then = fn(this)
      if (then !== undefined) after.push(then)
    }
    return after
  }

  /** Takes everything back. */
  undo (): void {
    if (this.moved) this.base.retire(this.chunk)
    else this.chunk.used = this.from
  }

  private walk (range: KvRange, values: boolean): Iterable<readonly [string, Uint8Array]> {
    invariant(this.live, 'a transaction is used within its function only')
    return this.base.walk(range, this.writes, values)
  }

  private encode (key: KvKey): string {
    invariant(this.live, 'a transaction is used within its function only')
    return encodeKey(key)
  }

  private write (key: string, value: Uint8Array | undefined): void {
    const bytes = opBytes(key, value)
    if (bytes > this.chunk.left() || (bytes >= LARGE_BYTES && this.chunk.left() < LARGE_ROOM_BYTES && this.chunk.used === this.from && this.from > 0)) this.move(bytes)
    this.writes.set(key, this.chunk.write(key, value))
  }

  /** Goes on in a larger chunk with what it has written so far. */
  private move (bytes: number): void {
    const length = this.chunk.used - this.from
    const next = this.pool.take(length + bytes > CHUNK_BYTES ? 2 * (length + bytes) : 0)
    next.bytes.set(this.chunk.bytes.subarray(this.from, this.chunk.used))
    for (const [key, written] of this.writes) this.writes.set(key, written.movedTo(next, this.from))
    next.used = length
    this.undo()
    this.chunk = next
    this.from = 0
    this.moved = true
  }
}

