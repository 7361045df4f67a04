/**
 * Kv over LMDB (lmdb-js 3.5.6), two threads behind the event loop (lmdb-writer.ts, lmdb-applier.ts). What a transaction writes is
 * visible at once through an overlay in memory; they make it durable and move it into the data file, and only
 * then the overlay forgets it. So neither a commit nor a flush ever blocks the event loop; only when 32 MiB are on
 * their way does `transact` wait for the disk.
 */
import { existsSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { invariant, KmeError } from '../kernel/errors.js'
import { checkDataFile } from './data-file.js'
import { decodeKey, encodeKey, keyBytes } from './key-codec.js'
import type { Kv, KvEntry, KvKey, KvRange, KvStats, KvWriter } from './kv.js'
import { readJournal } from './journal.js'
import { storeFailure } from './batch-format.js'
import { applyBatch, appliedSeq, openLmdb, PAGE_BYTES, usedBytes, type Lmdb } from './lmdb-batch.js'
import { ChunkPool, type Batch, type Chunk } from './lmdb-chunks.js'
import { Overlay } from './lmdb-overlay.js'
import { JOURNAL_FILE, type FromWriter } from './lmdb-link.js'
import { mergePage, type Layer } from './lmdb-range.js'
import { LmdbThreads } from './lmdb-threads.js'
import { TxWriter } from './lmdb-tx.js'

export interface LmdbOptions {
  readonly folder: string
  /** Upper bound of the data file: from 95 % of it only transactions that remove something pass. Address space until it is used. */
  readonly mapBytes: number
  /** Free space on the disk below which only transactions that remove something pass. */
  readonly reserveBytes: number
  /** So long without progress of the disk, and a call that waits for it gives up. Default 30 s; tests wait less. */
  readonly patienceMs?: number
}

const OUTSTANDING_BYTES_MAX = 32 << 20
const IN_FLIGHT_MAX = 2
const PATIENCE_MS = 30_000

/** Opens or creates the data file, replays the journal into it. @throws KmeError `STORE_UNAVAILABLE`, `STORE_CORRUPT`, `STORE_FULL` */
export const openLmdbKv = async (options: LmdbOptions): Promise<Kv> => {
  checkDataFile(join(options.folder, 'data.mdb'), PAGE_BYTES)
  const db = openLmdb(options.folder, options.mapBytes)
  let applied: number
  try {
    const journal = join(options.folder, JOURNAL_FILE)
    applied = appliedSeq(db)
    const entries = existsSync(journal) ? readJournal(journal, applied) : []
    applied = entries.at(-1)?.seq ?? applied
    if (entries.length > 0) applyBatch(db, entries.map((entry) => entry.ops), applied)
  } catch (cause) {
    await db.close()
    throw storeFailure(cause, `cannot replay the journal in ${options.folder}`)
  }
  return new LmdbKv(db, options, applied)
}

class LmdbKv implements Kv {
  private readonly overlay = new Overlay()
  private readonly pool = new ChunkPool()
  private readonly threads: LmdbThreads
  private open: Batch | undefined
  private chunk: Chunk
  private sent: Batch[] = []
  private nextSeq = 1
  private waitingBytes = 0
  private durableSeq = 0
  private failure: KmeError | undefined
  private closing: Promise<void> | undefined
  private turnScheduled = false
  private writing: TxWriter | undefined
  private usedBytes: number
  private freeBytes: number

  /** @param applied  Number of the last batch in the data file. */
  constructor (private readonly db: Lmdb, private readonly options: LmdbOptions, applied: number) {
    this.usedBytes = usedBytes(db)
    const { bavail, bsize } = statfsSync(options.folder)
    this.freeBytes = bavail * bsize
    this.chunk = this.pool.take(0)
    const { folder, mapBytes, patienceMs = PATIENCE_MS } = options
    this.threads = new LmdbThreads({ folder, mapBytes, applied, patienceMs }, { answer: (message) => { this.onAnswer(message) }, lost: (error) => { this.fail(error) } })
  }

  get (key: KvKey): Uint8Array | undefined { return this.read(encodeKey(key)) }
  copyTo (key: KvKey, out: Uint8Array): number { return this.readTo(encodeKey(key), out) }

  has (key: KvKey): boolean {
    const encoded = encodeKey(key)
    const pending = this.overlay.get(encoded)
    return pending === undefined ? this.db.doesExist(keyBytes(encoded)) : !pending.isRemoved
  }

  * range (range: KvRange): Generator<KvEntry> {
    for (const [key, value] of this.walk(range, [], true)) yield { key: decodeKey(key), value }
  }

  * keys (range: KvRange): Generator<KvKey> {
    for (const [key] of this.walk(range, [], false)) yield decodeKey(key)
  }

  transact<T> (fn: (tx: KvWriter) => T): T {
    invariant(this.writing === undefined, 'transactions do not nest')
    this.refuseIfDead()
    if (this.pool.outstandingBytes > OUTSTANDING_BYTES_MAX) this.waitForRoom()
    const writer = this.writing = new TxWriter(this, this.chunk, this.pool)
    let result: T, after: (() => void)[]
    try {
      result = fn(writer)
      after = writer.finish()
      if (writer.writes.size > 0) this.accept(writer)
      else writer.undo()
    } catch (error) {
      writer.undo()
      throw error
    } finally {
      writer.live = false
      this.writing = undefined
    }
    for (const then of after) then()
    return result
  }

  flushed (): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    const last = this.open ?? this.sent.at(-1)
    if (last === undefined || last.seq <= this.durableSeq) return Promise.resolve()
    return (last.durable ??= deferred()).promise
  }

  stats (): KvStats {
    return { usedBytes: this.usedBytes, limitBytes: this.options.mapBytes, freeBytes: this.freeBytes, pendingBytes: this.waitingBytes }
  }

  close (): Promise<void> { return this.closing ??= this.finish() }

  private async finish (): Promise<void> {
    this.send(true)
    try { await this.threads.end() } catch (error) {
      this.fail(error as KmeError) // The data file stays open: a thread may be within it.
      throw error
    }
    await this.db.close()
  }

  /** The value of an encoded key outside any transaction. */
  read (encoded: string): Uint8Array | undefined {
    const pending = this.overlay.get(encoded)
    if (pending !== undefined) return pending.read()
    const bytes = this.db.get(keyBytes(encoded))
    // A private copy already: only its type is too much.
    return bytes === undefined ? undefined : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** The same without memory of its own for each value, which counts for sealed records. */
  readTo (encoded: string, out: Uint8Array): number {
    const pending = this.overlay.get(encoded)
    if (pending !== undefined) return pending.copyTo(out)
    const bytes = this.db.getBinaryFast(keyBytes(encoded))
    if (bytes === undefined) return -1
    // The library's own memory, which may be longer than the value.
    const length = (this.db as unknown as { readonly lastSize: number }).lastSize
    out.set(new Uint8Array(bytes.buffer, bytes.byteOffset, Math.min(length, out.length)))
    return length
  }

  /** Encoded keys and values of a range, with `writes` (of a running transaction) above everything else. */
  * walk (range: KvRange, writes: Layer, values: boolean): Generator<readonly [string, Uint8Array]> {
    const reverse = range.reverse ?? false
    let start = encodeKey(range.start), end = encodeKey(range.end), left = range.limit ?? Infinity
    for (let pageSize = 16; left > 0; pageSize = 256) {
      const page = mergePage(this.db, [this.overlay.layer(start, end), writes], { start, end, reverse, values, limit: Math.min(pageSize, left) })
      yield * page.entries
      left -= page.entries.length
      if (page.next === undefined) return
      if (reverse) end = page.next
      else start = page.next
    }
  }

  private accept (writer: TxWriter): void {
    const bytes = writer.chunk.used - writer.from
    if (this.nearlyFull(bytes) && !writer.removes) {
      throw new KmeError('STORE_FULL', `the store in ${this.options.folder} has no room (${this.freeBytes} bytes free on the disk, ${this.usedBytes} of ${this.options.mapBytes} used). Free space or raise store.mapSizeBytes`)
    }
    if (writer.chunk !== this.chunk) {
      this.send(true)
      this.retire(this.chunk)
      this.chunk = writer.chunk
    }
    this.waitingBytes += bytes
    const batch = this.open ??= { chunk: this.chunk, from: writer.from, to: writer.from, seq: this.nextSeq++, writes: [] }
    if (batch.writes.length === 0) this.chunk.waiting++
    batch.writes.push(writer.writes)
    for (const [key, written] of writer.writes) this.overlay.set(key, written)
    if (!this.turnScheduled) {
      this.turnScheduled = true
      setImmediate(() => { this.turnScheduled = false; this.send(false) })
    }
  }

  /** Gives the open batch to the writer: at the end of each turn, or when an earlier one is durable. */
  private send (now: boolean): void {
    const batch = this.open
    if (batch === undefined || this.failure !== undefined) return
    const inFlight = this.sent.reduce((n, b) => b.seq > this.durableSeq ? n + 1 : n, 0)
    if (!now && inFlight >= IN_FLIGHT_MAX) return
    this.open = undefined
    this.sent.push(batch)
    this.threads.keepAlive(true)
    const { chunk } = batch
    batch.to = chunk.used
    this.threads.post({ chunk: chunk.id, ...(chunk.shared ? {} : { memory: chunk.memory }), from: batch.from, to: batch.to, seq: batch.seq })
    chunk.shared = true
  }

  private onAnswer (message: Exclude<FromWriter, 'stopped'>): void {
    if ('failed' in message) return this.fail(new KmeError(message.failed, message.message))
    if ('durable' in message) this.markDurable(message.durable)
    else {
      this.usedBytes = message.usedBytes
      this.freeBytes = message.freeBytes
      this.markDurable(message.applied)
      this.forget(message.applied)
    }
    if (!this.turnScheduled) this.send(false)
    if (this.durableSeq === this.nextSeq - 1 && this.closing === undefined) this.threads.keepAlive(false)
  }

  private markDurable (seq: number): void {
    const from = this.durableSeq
    this.durableSeq = Math.max(from, seq)
    for (const batch of this.sent) if (batch.seq > from && batch.seq <= seq) batch.durable?.resolve()
  }

  /** The data file has everything up to `seq`: readers begin to look there. */
  private forget (seq: number): void {
    (this.db as unknown as { resetReadTxn (): void }).resetReadTxn()
    let count = 0
    for (const batch of this.sent) {
      if (batch.seq > seq) break
      count++
      for (const writes of batch.writes) for (const [key, written] of writes) this.overlay.forget(key, written)
      batch.chunk.waiting--
      this.waitingBytes -= batch.to - batch.from
      if (batch.chunk !== this.chunk) this.retire(batch.chunk)
    }
    this.sent.splice(0, count)
    if (this.chunk.waiting === 0 && this.open === undefined && this.writing === undefined) this.chunk.used = 0
  }

  /** Gives a chunk back once nothing in it is waiting. */
  retire (chunk: Chunk): void {
    if (chunk.waiting === 0 && this.pool.give(chunk) && chunk.shared) this.threads.post({ drop: chunk.id })
  }

  /** The bound is ours: LMDB would enlarge its map. Rows that only replace others count as new until they are in the file. */
  private nearlyFull (bytes: number): boolean {
    return this.freeBytes < this.options.reserveBytes + bytes || this.usedBytes + this.waitingBytes + bytes > this.options.mapBytes * 0.95
  }

  private fail (error: KmeError): void {
    this.failure ??= error
    for (const batch of [...this.sent, ...(this.open === undefined ? [] : [this.open])]) batch.durable?.reject(this.failure)
    this.sent = []
    if (this.closing === undefined) this.threads.keepAlive(false)
  }

  private refuseIfDead (): void {
    if (this.failure !== undefined) throw this.failure
    if (this.closing !== undefined) throw new KmeError('STORE_UNAVAILABLE', 'the store is closed')
  }

  /** Too much is on its way: waits for the disk, like any program that writes faster than it. */
  private waitForRoom (): void {
    this.send(true)
    try { this.threads.waitUntil(() => this.failure !== undefined || this.pool.outstandingBytes <= OUTSTANDING_BYTES_MAX) } catch (error) {
      this.fail(error as KmeError) // Else each further call would hold the event loop as long.
    }
    this.refuseIfDead()
  }
}

const deferred = (): NonNullable<Batch['durable']> => {
  let resolve!: () => void, reject!: (error: unknown) => void
  const promise = new Promise<void>((yes, no) => { resolve = yes; reject = no })
  promise.catch(() => undefined) // Callers see the rejection; a flush that nobody awaits is not an unhandled one.
  return { promise, resolve, reject }
}
