/**
 * The writer thread of the store: makes durable what the event loop writes, so that the loop never waits for a disk. Everything that
 * is waiting is taken as one group: one write for all callers. Small groups go to the journal and are durable with that; the applier
 * moves them to the data file meanwhile, up to 200 ms later. Large ones (sealed records) go to the data file at once, and what comes after
 * them waits, because groups become durable in their order.
 */
import { join } from 'node:path'
import { isMainThread, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { KmeError } from '../kernel/errors.js'
import { systemClock } from '../kernel/system-clock.js'
import { Journal } from './journal.js'
import { storeFailure } from './batch-format.js'
import { WORD_BYTES } from './lmdb-chunks.js'
import { ANSWERS, DOORBELL, ENDED, JOURNAL_FILE, ORDERS, say, SLEEP_MS_MAX, type BatchMessage, type FromApplier, type FromWriter, type ToWriter, type WriterData } from './lmdb-link.js'
import { ChunkMemory } from './lmdb-memory.js'

const JOURNALED_BYTES_MAX = 128 << 10
/** So much goes to the data file together, or more if the applier is busy: as much as a half of the journal holds. */
const UNAPPLIED_BYTES_MAX = 512 << 10
const APPLY_AFTER_MS = 200

class Writer {
  private readonly journal: Journal
  private readonly memory = new ChunkMemory(2 * JOURNALED_BYTES_MAX)
  /** The applier has these orders, at most one, and has not said that it is done. */
  private busy = false
  private entry: number
  private unapplied: BatchMessage[] = []
  private unappliedBytes = 0
  private unappliedSinceMs = 0

  constructor (private readonly data: WriterData) {
    this.journal = Journal.open(join(data.folder, JOURNAL_FILE))
    this.entry = data.applied
  }

  /** Until 'stop' or the first failure. */
  run (): void {
    try { this.work() } finally { this.journal.close() }
  }

  private work (): void {
    const { control, port } = this.data
    for (let stopping = false; !stopping;) {
      const seen = Atomics.load(control, DOORBELL)
      this.hear()
      const group: BatchMessage[] = []
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        const message = next.message as ToWriter
        if (message === 'stop') stopping = true
        else if ('drop' in message) this.drop(message.drop)
        else group.push(message)
      }
      if (group.length > 0) this.commit(group)
      const leftMs = this.busy || this.unapplied.length === 0 ? Infinity : this.unappliedSinceMs + APPLY_AFTER_MS - systemClock.monoMs()
      if (leftMs <= 0) this.apply([])
      else if (group.length === 0 && !stopping) Atomics.wait(control, DOORBELL, seen, Math.min(leftMs, SLEEP_MS_MAX))
    }
    this.waitForApplier()
    if (this.unapplied.length > 0) this.apply([])
    this.waitForApplier()
  }

  private answer (message: FromWriter): void { say(this.data.port, this.data.control, ANSWERS, message) }

  private commit (group: readonly BatchMessage[]): void {
    let bytes = 0
    for (const batch of group) {
      this.memory.know(batch)
      bytes += batch.to - batch.from + WORD_BYTES
    }
    if (bytes > JOURNALED_BYTES_MAX) { this.applyAtOnce(group); return }
    if (!this.journal.fits(bytes)) this.waitForApplier()
    if (!this.busy && this.unapplied.length > 0 && (this.unappliedBytes + bytes > UNAPPLIED_BYTES_MAX || !this.journal.fits(bytes))) this.apply([])
    this.journal.append(this.entry + 1, this.memory.copyOf(group))
    this.entry++
    if (this.unapplied.length === 0) this.unappliedSinceMs = systemClock.monoMs()
    this.unapplied.push(...group)
    this.unappliedBytes += bytes
    this.answer({ durable: (group.at(-1) as BatchMessage).seq })
  }

  private applyAtOnce (group: readonly BatchMessage[]): void {
    this.waitForApplier()
    this.entry++
    this.apply(group)
    this.waitForApplier()
  }

  /** Everything unapplied and `group` go to the data file in one transaction, while the journal goes on in its other half. */
  private apply (group: readonly BatchMessage[]): void {
    say(this.data.applier, this.data.control, ORDERS, { apply: [...this.unapplied, ...group], entry: this.entry })
    this.busy = true
    this.unapplied = []
    this.unappliedBytes = 0
    this.journal.turn()
  }

  private drop (chunk: number): void {
    this.memory.drop(chunk)
    say(this.data.applier, this.data.control, ORDERS, { drop: chunk })
  }

  /** @throws KmeError what the applier failed with, or that it has ended. */
  private hear (): void {
    const hasEnded = Atomics.load(this.data.control, ENDED) !== 0
    for (let next = receiveMessageOnPort(this.data.applier); next !== undefined; next = receiveMessageOnPort(this.data.applier)) {
      const message = next.message as FromApplier
      if (message === 'stopped') break
      this.busy = false
      if ('failed' in message) throw new KmeError(message.failed, message.message)
      this.answer(message)
    }
    if (hasEnded) throw new KmeError('STORE_UNAVAILABLE', `the thread that writes the data file in ${this.data.folder} ended without a word. Start again`)
  }

  private waitForApplier (): void {
    const { control } = this.data
    for (;;) {
      const seen = Atomics.load(control, DOORBELL)
      this.hear()
      if (!this.busy) return
      Atomics.wait(control, DOORBELL, seen, SLEEP_MS_MAX)
    }
  }
}

/** The applier does what it was told before, and closes the data file. */
const endApplier = ({ applier, control }: WriterData): void => {
  say(applier, control, ORDERS, 'stop')
  for (let isOver = false; ;) {
    const seen = Atomics.load(control, DOORBELL), hasEnded = Atomics.load(control, ENDED) !== 0
    for (let next = receiveMessageOnPort(applier); next !== undefined; next = receiveMessageOnPort(applier)) isOver ||= next.message === 'stopped'
    if (isOver || hasEnded) return
    Atomics.wait(control, DOORBELL, seen, SLEEP_MS_MAX)
  }
}

const main = (data: WriterData): void => {
  try {
    new Writer(data).run()
  } catch (cause) {
    const { code, message } = storeFailure(cause, `writing to the store in ${data.folder}`)
    say(data.port, data.control, ANSWERS, { failed: code, message })
  }
  endApplier(data)
  say(data.port, data.control, ANSWERS, 'stopped')
}

if (!isMainThread) main(workerData as WriterData)
