import { latencyHistogram, type DoublingHistogram, type MetricSink, type Sample } from '../kernel/metrics.js'
import { outcomes, type Outcome } from './status.js'

/** The three methods of ETSI GS QKD 014, and whatever else is asked of us. */
export const methods = ['status', 'enc_keys', 'dec_keys', 'other'] as const
export type Method = (typeof methods)[number]

/** Connections that were closed before a request, by cause. */
export const connectionRefusals = ['too-many', 'too-fast'] as const
export type ConnectionRefusal = (typeof connectionRefusals)[number]

const slots: ReadonlyMap<Outcome, number> = new Map(outcomes.map((name, i) => [name, i]))

/** What the REST side counted since its start. Counting is one addition; `announce` shows it to a scrape. */
export class HttpCounters {
  readonly #requests = new Float64Array(methods.length * outcomes.length)
  readonly #latency: readonly DoublingHistogram[] = methods.map(() => latencyHistogram())
  readonly #refusals = new Float64Array(connectionRefusals.length)
  /** Open TLS connections, and requests that wait for the key service or for a slow reader. */
  connections = 0
  pending = 0
  /** Connections accepted since the start. */
  accepted = 0
  /** Security events that were not written because there were too many. */
  eventsHeldBack = 0

  /** @param method  Index into `methods`. */
  request (method: number, outcome: Outcome, latencyMs: number): void {
    const slot = method * outcomes.length + (slots.get(outcome) ?? 0)
    this.#requests[slot] = (this.#requests[slot] ?? 0) + 1
    this.#latency[method]?.observe(latencyMs / 1_000)
  }

  /** As `request` of outcome '200', the first of all: what nearly every request is. */
  good (method: number, latencyMs: number): void {
    const slot = method * outcomes.length
    this.#requests[slot] = (this.#requests[slot] ?? 0) + 1
    this.#latency[method]?.observe(latencyMs / 1_000)
  }

  refused (cause: ConnectionRefusal): void {
    const slot = connectionRefusals.indexOf(cause)
    this.#refusals[slot] = (this.#refusals[slot] ?? 0) + 1
  }

  requests (method: Method, outcome: Outcome): number {
    return this.#requests[methods.indexOf(method) * outcomes.length + outcomes.indexOf(outcome)] ?? 0
  }

  refusals (cause: ConnectionRefusal): number { return this.#refusals[connectionRefusals.indexOf(cause)] ?? 0 }

  /** Registers everything with the metrics of the process. Call once. */
  announce (sink: MetricSink): void {
    sink.register('qkme_http_requests_total', 'Requests by method and HTTP status; aborted: the answer did not reach the client whole.', 'counter',
      () => this.#requestSamples())
    sink.histogram('qkme_http_request_duration_seconds', 'From the request to the last byte of its answer handed to the socket.',
      () => methods.flatMap((method, i) => this.#latency[i]?.sample({ method }) ?? []))
    sink.register('qkme_http_connections', 'Open TLS connections of SAEs.', 'gauge', () => [{ value: this.connections }])
    sink.register('qkme_http_connections_total', 'TLS connections accepted.', 'counter', () => [{ value: this.accepted }])
    sink.register('qkme_http_connections_refused_total', 'Connections closed before TLS, by cause.', 'counter',
      () => connectionRefusals.map((cause) => ({ labels: { cause }, value: this.refusals(cause) })))
    sink.register('qkme_http_requests_pending', 'Requests that wait for key or for a slow reader.', 'gauge', () => [{ value: this.pending }])
    sink.register('qkme_http_events_held_back_total', 'Security events not written because there were too many.', 'counter',
      () => [{ value: this.eventsHeldBack }])
  }

  #requestSamples (): Sample[] {
    return methods.flatMap((method) => outcomes.map((status) => ({ labels: { method, status }, value: this.requests(method, status) })))
  }
}
