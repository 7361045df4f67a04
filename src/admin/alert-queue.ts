import type { Log } from '../kernel/log.js'
import { Counters, type MetricSink } from '../kernel/metrics.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { AlertView } from './port.js'

/** Brings one alert to where it belongs; rejects if it did not arrive. */
export type Deliver = (alert: AlertView) => Promise<void>

const QUEUE_MAX = 256
const RETRY_MIN_MS = 1_000
const RETRY_MAX_MS = 300_000

const outcomes = ['sent', 'retried', 'dropped'] as const

/**
 * Sends alerts one after the other, in order, and tries again with doubling distance until one arrives. Holds at most
 * 256; a full queue drops the oldest, because what is true now matters more.
 */
export class AlertQueue {
  readonly counts = new Counters<(typeof outcomes)[number]>(outcomes)
  readonly #queue: AlertView[] = []
  #isSending = false
  #attempt = 0
  #cancel: Cancel | undefined
  #isClosed = false

  constructor (private readonly name: string, private readonly deliver: Deliver, private readonly clock: Clock, private readonly log: Log) {}

  push (alert: AlertView): void {
    if (this.#isClosed) return
    // The first is on its way while sending: it stays.
    if (this.#queue.length >= QUEUE_MAX) { this.#queue.splice(this.#isSending ? 1 : 0, 1); this.counts.add('dropped') }
    this.#queue.push(alert)
    if (this.#cancel === undefined) this.#next()
  }

  get waiting (): number { return this.#queue.length }

  /** Gives up what is waiting. */
  close (): void {
    this.#isClosed = true
    this.#cancel?.()
    this.#queue.length = 0
  }

  registerMetrics (sink: MetricSink): void {
    sink.register(`qkme_alerts_${this.name}_total`, `Alerts by ${this.name}, by outcome.`, 'counter', () => this.counts.samples('outcome'))
  }

  #next (): void {
    const alert = this.#queue[0]
    if (alert === undefined || this.#isSending || this.#isClosed) return
    this.#isSending = true
    this.deliver(alert).then(() => { this.#sent() }, (error: unknown) => { this.#failed(error) })
  }

  #sent (): void {
    this.#isSending = false
    this.#attempt = 0
    this.counts.add('sent')
    this.#queue.shift()
    this.#next()
  }

  #failed (error: unknown): void {
    this.#isSending = false
    if (this.#isClosed) return
    this.counts.add('retried')
    const delayMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(20, this.#attempt++))
    this.log.warn('alert not delivered', { by: this.name, retryMs: delayMs, waiting: this.#queue.length, error })
    this.#cancel = this.clock.after(delayMs, () => {
      this.#cancel = undefined
      this.#next()
    })
  }
}
