import { Registry, type Metric } from 'prom-client'
import { invariant } from '../kernel/errors.js'
import type { HistogramSample, Labels, MetricSink, MetricType, Sample } from '../kernel/metrics.js'

/** A metric gives at most this many series: a label that grows with the world must not grow the scrape. */
const SERIES_MAX = 20_000

interface PromValue { metricName?: string, labels: Record<string, string | number>, value: number }

const nameForm = /^qkme_[a-z0-9_]+$/

/**
 * A metric whose values are read from their owner at each scrape. prom-client's own classes keep values of their own,
 * which somebody would have to write on the hot path; its registry needs no more than a name and `get`.
 */
class ReadMetric {
  constructor (
    readonly name: string, readonly help: string, readonly type: MetricType,
    private readonly read: () => PromValue[], private readonly failed: () => void,
  ) {}

  get = async (): Promise<{ name: string, help: string, type: MetricType, values: PromValue[], aggregator: string }> => {
    let values: PromValue[] = []
    try {
      values = this.read()
    } catch {
      this.failed() // One broken reader must not hide all other numbers; its failure is a number itself.
    }
    return { name: this.name, help: this.help, type: this.type, values, aggregator: 'sum' }
  }

  reset (): void { /* Nothing is kept here: the owner's numbers stay. */ }
}

/** The numbers of this process in the text format of Prometheus, filled when somebody asks. */
export class MetricRegistry implements MetricSink {
  readonly #registry = new Registry()
  #failures = 0
  #cut = 0

  constructor () {
    this.register('qkme_scrape_errors_total', 'Readers of metrics that failed.', 'counter', () => [{ value: this.#failures }])
    this.register('qkme_scrape_cut_series_total', 'Series left out because a metric had too many.', 'counter', () => [{ value: this.#cut }])
  }

  register (name: string, help: string, type: 'counter' | 'gauge', collect: () => Iterable<Sample>): void {
    invariant(type !== 'counter' || name.endsWith('_total'), `counter ${name} must end in _total`)
    this.#add(name, help, type, () => this.#bounded(collect()).map(({ labels, value }) => ({ labels: { ...labels }, value })))
  }

  histogram (name: string, help: string, collect: () => Iterable<HistogramSample>): void {
    this.#add(name, help, 'histogram', () => this.#bounded(collect()).flatMap((sample) => buckets(name, sample)))
  }

  /** The text of `GET /metrics` and its content type. */
  async text (): Promise<{ readonly contentType: string, readonly body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() }
  }

  #add (name: string, help: string, type: MetricType, read: () => PromValue[]): void {
    invariant(nameForm.test(name), `metric name ${name}`)
    invariant(this.#registry.getSingleMetric(name) === undefined, `metric ${name} is registered once`)
    const metric = new ReadMetric(name, help, type, read, () => { this.#failures += 1 })
    this.#registry.registerMetric(metric as unknown as Metric)
  }

  #bounded<T> (samples: Iterable<T>): T[] {
    const kept: T[] = []
    for (const sample of samples) if (kept.length < SERIES_MAX) kept.push(sample); else this.#cut += 1
    return kept
  }
}

const buckets = (name: string, { labels = {}, bounds, counts, sum }: HistogramSample): PromValue[] => {
  const values: PromValue[] = []
  let total = 0
  const bucket = (le: number | string, of: Labels): void => {
    values.push({ metricName: `${name}_bucket`, labels: { ...of, le }, value: total })
  }
  bounds.forEach((bound, i) => {
    total += counts[i] ?? 0
    bucket(bound, labels)
  })
  total += counts[bounds.length] ?? 0
  bucket('+Inf', labels)
  values.push({ metricName: `${name}_sum`, labels: { ...labels }, value: sum }, { metricName: `${name}_count`, labels: { ...labels }, value: total })
  return values
}
