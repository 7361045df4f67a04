/**
 * The two threads behind the event loop, as it sees them: their start with the first write, what it says to them and hears, and their end.
 *
 * Nobody ends a thread from outside while it may be within LMDB: within a transaction it would keep LMDB's lock, and within the start of the library
 * the library ends the whole process. So each ends by itself: the writer when it is told to stop, or fails; the applier when the
 * writer tells it to. Who ends without a word is noticed here, and `ENDED` lets the other one wait for it no longer.
 */
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads'
import { KmeError } from '../kernel/errors.js'
import { systemClock } from '../kernel/system-clock.js'
import { storeFailure } from './batch-format.js'
import { ANSWERS, CONTROL_NUMBERS, DOORBELL, ENDED, ORDERS, ring, say, type ApplierData, type FromWriter, type ToWriter, type WriterData } from './lmdb-link.js'

export interface ThreadsOptions {
  readonly folder: string
  readonly mapBytes: number
  /** The last batch in the data file. */
  readonly applied: number
  /** So long without an answer means that the disk takes nothing. */
  readonly patienceMs: number
}

export interface ThreadsEvents {
  answer (message: Exclude<FromWriter, 'stopped'>): void
  /** A thread ended without a word of its own. */
  lost (error: KmeError): void
}

const WRITER = 'lmdb-writer', APPLIER = 'lmdb-applier'

export class LmdbThreads {
  private readonly control = new Int32Array(new SharedArrayBuffer(4 * CONTROL_NUMBERS))
  private readonly port: MessagePort
  private readonly far: MessagePort
  /** Both are done with the files. */
  private readonly over: Promise<void>
  private onOver: () => void = () => {}
  private isOver = false
  private begun = false
  private running = 0

  constructor (private readonly options: ThreadsOptions, private readonly on: ThreadsEvents) {
    const { port1, port2 } = new MessageChannel()
    this.over = new Promise((resolve) => { this.onOver = () => { this.isOver = true; resolve() } })
    this.port = port1
    this.far = port2
    this.port.on('message', (message: FromWriter) => { this.onMessage(message) })
    this.port.unref()
  }

  /** The first message starts them: a store that is only read needs none. */
  post (message: ToWriter): void {
    if (!this.begun) this.begin()
    say(this.port, this.control, DOORBELL, message)
  }

  /** Whether the process lives on for what they have to say. */
  keepAlive (isWanted: boolean): void {
    if (isWanted) this.port.ref()
    else this.port.unref()
  }

  /** Blocks the event loop until `isEnough`, which changes with what they answer. @throws KmeError `STORE_UNAVAILABLE` if the disk takes nothing. */
  waitUntil (isEnough: () => boolean): void {
    for (let waitedMs = 0; !isEnough(); waitedMs += 100) {
      const seen = Atomics.load(this.control, ANSWERS)
      this.hear()
      if (isEnough()) return
      if (waitedMs > this.options.patienceMs) throw this.stuck()
      Atomics.wait(this.control, ANSWERS, seen, 100)
    }
  }

  /**
   * Lets them finish what they have, and end. Afterwards neither touches a file.
   * @throws KmeError `STORE_UNAVAILABLE` if the disk takes nothing: what it has not said to be durable may be lost, and the threads are left behind.
   */
  async end (): Promise<void> {
    if (this.begun) this.post('stop')
    else this.onOver()
    this.keepAlive(true)
    try {
      for (let before = NaN; !this.isOver;) {
        const answers = Atomics.load(this.control, ANSWERS)
        if (answers === before) throw this.stuck()
        before = answers
        await this.overOrLater()
      }
    } finally {
      this.port.close()
    }
  }

  private overOrLater (): Promise<void> {
    return new Promise((resolve) => {
      const cancel = systemClock.after(this.options.patienceMs, resolve)
      void this.over.then(() => { cancel(); resolve() })
    })
  }

  private begin (): void {
    this.begun = true
    const { folder, mapBytes, applied } = this.options, { control, far } = this, orders = new MessageChannel()
    try {
      this.start(APPLIER, { folder, mapBytes, port: orders.port2, control } satisfies ApplierData, [orders.port2])
      this.start(WRITER, { folder, applied, port: far, applier: orders.port1, control } satisfies WriterData, [far, orders.port1])
    } catch (cause) {
      this.tellEnd()
      if (this.running === 0) this.onOver()
      this.on.lost(storeFailure(cause, `cannot start the threads of the store in ${folder}`))
    }
  }

  private start (name: string, workerData: WriterData | ApplierData, transferList: MessagePort[]): void {
    const worker = new Worker(new URL(`./${name}.js`, import.meta.url), { workerData, transferList, execArgv: [] })
    this.running++
    worker.on('error', (cause) => { this.on.lost(new KmeError('STORE_UNAVAILABLE', `a thread of the store (${name}) ended: ${cause.message}. Start again`, { cause })) })
    worker.once('exit', () => { this.onExit(name) })
    worker.unref()
  }

  private onExit (name: string): void {
    this.hear() // What it said comes first.
    this.running--
    this.tellEnd()
    // Of the applier's end the writer tells: it knows why.
    if (name === WRITER && !this.isOver) this.on.lost(new KmeError('STORE_UNAVAILABLE', `a thread of the store (${name}) ended without a word. Start again`))
    if (this.running === 0) this.onOver()
  }

  private tellEnd (): void {
    Atomics.store(this.control, ENDED, 1)
    ring(this.control, DOORBELL)
    ring(this.control, ORDERS)
  }

  /** What has come and the event loop has not delivered yet. */
  private hear (): void {
    for (let next = receiveMessageOnPort(this.port); next !== undefined; next = receiveMessageOnPort(this.port)) this.onMessage(next.message as FromWriter)
  }

  private onMessage (message: FromWriter): void {
    if (message === 'stopped') this.onOver()
    else this.on.answer(message)
  }

  private stuck (): KmeError {
    return new KmeError('STORE_UNAVAILABLE', `the disk has taken nothing for ${this.options.patienceMs / 1000} s: check it, then start again`)
  }
}
