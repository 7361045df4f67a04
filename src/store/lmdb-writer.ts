/**
 * The writer thread of the store: the only place that writes and syncs files of the data path, so that the event loop
 * never waits for a disk. Small groups of batches go to the journal and reach the data file up to 200 ms later; large
 * ones (sealed records) go there at once. Everything that is waiting is taken as one group: one sync for all callers.
 */
import { statfsSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { systemClock } from '../kernel/system-clock.js'
import { Journal } from './journal.js'
import { applyBatch, appliedSeq, OP_PAD, openLmdb, storeFailure, usedBytes, type Lmdb } from './lmdb-batch.js'
import { WORD_BYTES } from './lmdb-chunks.js'
import { ANSWERS, DOORBELL, JOURNAL_FILE, type BatchMessage, type FromWriter, type ToWriter, type WriterData } from './lmdb-link.js'

const JOURNALED_BYTES_MAX = 128 << 10
/** A flush that comes meanwhile waits for the whole transaction of the data file, so that this is kept small. */
const UNAPPLIED_BYTES_MAX = 256 << 10
const APPLY_AFTER_MS = 200

class Writer {
  private readonly db: Lmdb
  private readonly journal: Journal
  private readonly chunks = new Map<number, Uint8Array>()
  private entry: number
  private unapplied: BatchMessage[] = []
  private unappliedBytes = 0
  private unappliedSinceMs = 0
  private scratch = Buffer.alloc(2 << 20)

  constructor (private readonly data: WriterData) {
    this.db = openLmdb(data.folder, data.mapBytes)
    this.journal = Journal.open(join(data.folder, JOURNAL_FILE))
    this.entry = appliedSeq(this.db)
  }

  /** Until 'stop' or the first failure. */
  run (): void {
    const { control, port } = this.data
    for (let stopping = false; !stopping;) {
      const seen = Atomics.load(control, DOORBELL)
      const group: BatchMessage[] = []
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        const message = next.message as ToWriter
        if (message === 'stop') stopping = true
        else if ('drop' in message) this.chunks.delete(message.drop)
        else group.push(message)
      }
      if (group.length > 0) this.commit(group)
      const leftMs = this.unapplied.length === 0 ? Infinity : this.unappliedSinceMs + APPLY_AFTER_MS - systemClock.monoMs()
      if (leftMs <= 0) this.apply([])
      else if (group.length === 0 && !stopping) Atomics.wait(control, DOORBELL, seen, leftMs)
    }
    if (this.unapplied.length > 0) this.apply([])
    this.journal.close()
    this.answer('stopped')
  }

  answer (message: FromWriter): void {
    this.data.port.postMessage(message)
    Atomics.add(this.data.control, ANSWERS, 1)
    Atomics.notify(this.data.control, ANSWERS)
  }

  private commit (group: readonly BatchMessage[]): void {
    let bytes = 0
    for (const batch of group) {
      if (batch.memory !== undefined) this.chunks.set(batch.chunk, new Uint8Array(batch.memory))
      bytes += batch.to - batch.from + WORD_BYTES
    }
    if (bytes > JOURNALED_BYTES_MAX || this.unappliedBytes + bytes > UNAPPLIED_BYTES_MAX || !this.journal.fits(bytes)) return this.apply(group)
    this.journal.append(this.entry + 1, this.copyOf(group))
    this.entry++
    if (this.unapplied.length === 0) this.unappliedSinceMs = systemClock.monoMs()
    this.unapplied.push(...group)
    this.unappliedBytes += bytes
    this.answer({ durable: (group.at(-1) as BatchMessage).seq })
  }

  /** Everything unapplied and `group` in one transaction of the data file; the journal is empty afterwards. */
  private apply (group: readonly BatchMessage[]): void {
    const batches = [...this.unapplied, ...group]
    applyBatch(this.db, this.partsOf(batches), group.length > 0 ? ++this.entry : this.entry)
    this.unapplied = []
    this.unappliedBytes = 0
    this.journal.reset()
    const { bavail, bsize } = statfsSync(this.data.folder)
    this.answer({ applied: (batches.at(-1) as BatchMessage).seq, usedBytes: usedBytes(this.db), freeBytes: bavail * bsize })
  }

  /** Batch by batch, in the same memory: small enough to stay in the processor's cache, and not as large as the largest group ever. */
  private * partsOf (batches: readonly BatchMessage[]): Generator<Buffer> {
    for (const batch of batches) yield this.copyOf([batch])
  }

  /**
   * The operations of all batches in one piece of private memory, reused by the next call: LMDB takes addresses of
   * values, which must not lie in shared memory.
   */
  private copyOf (batches: readonly BatchMessage[]): Buffer {
    const bytes = batches.reduce((sum, batch) => sum + batch.to - batch.from + WORD_BYTES, 0)
    if (this.scratch.length < bytes) this.scratch = Buffer.alloc(bytes)
    let at = 0
    for (const batch of batches) {
      for (let pads = (batch.from - at) & WORD_BYTES - 1; pads > 0; pads--) this.scratch[at++] = OP_PAD
      this.scratch.set((this.chunks.get(batch.chunk) as Uint8Array).subarray(batch.from, batch.to), at)
      at += batch.to - batch.from
    }
    return this.scratch.subarray(0, at)
  }
}

const main = (data: WriterData): void => {
  let writer: Writer | undefined
  try {
    writer = new Writer(data)
    writer.run()
  } catch (cause) {
    const { code, message } = storeFailure(cause, `writing to the store in ${data.folder}`)
    data.port.postMessage({ failed: code, message } satisfies FromWriter)
    Atomics.add(data.control, ANSWERS, 1)
    Atomics.notify(data.control, ANSWERS)
  }
}

if (!isMainThread) main(workerData as WriterData)
