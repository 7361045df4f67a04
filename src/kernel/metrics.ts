/**
 * Numbers that a scrape reads. The path of a good answer only adds to typed arrays (design 5); the metrics library
 * is called when somebody asks (src/admin/metrics.ts).
 */
export type MetricType = 'counter' | 'gauge' | 'histogram'

export type Labels = Readonly<Record<string, string>>

/** One value of a counter or gauge. */
export interface Sample { readonly labels?: Labels, readonly value: number }

/** One histogram. `counts[i]` is how many were <= `bounds[i]` and above the bound before; the last count is the rest. */
export interface HistogramSample {
  readonly labels?: Labels
  readonly bounds: readonly number[]
  readonly counts: ArrayLike<number>
  readonly sum: number
}

/** Where a part of qkme announces what can be read from it. */
export interface MetricSink {
  /**
   * Names are `qkme_<part>_<what>_<unit>`, counters end in `_total`. `collect` is called at each scrape and must not wait.
   * @throws Error `invariant violated` if the name is taken or malformed.
   */
  register (name: string, help: string, type: 'counter' | 'gauge', collect: () => Iterable<Sample>): void
  histogram (name: string, help: string, collect: () => Iterable<HistogramSample>): void
}

/** A fixed set of counters in one typed array. `add` is an addition: no allocation, no lookup by name. */
export class Counters<N extends string> {
  readonly values: Float64Array
  readonly #index: ReadonlyMap<N, number>

  constructor (readonly names: readonly N[]) {
    this.values = new Float64Array(names.length)
    this.#index = new Map(names.map((name, i) => [name, i]))
  }

  /** The slot of a name: look it up once, outside the hot path, and add to `values[slot]`. */
  slot (name: N): number { return this.#index.get(name) ?? -1 }

  add (name: N, by = 1): void {
    const slot = this.#index.get(name)
    if (slot !== undefined) this.values[slot] = (this.values[slot] ?? 0) + by
  }

  get (name: N): number { return this.values[this.slot(name)] ?? 0 }

  /** One sample per name, under the label `label`. */
  samples (label: string): Sample[] {
    return this.names.map((name, i) => ({ labels: { [label]: name }, value: this.values[i] ?? 0 }))
  }
}

/** A histogram of doubling buckets in one typed array. `observe` is a division and two additions. */
export class DoublingHistogram {
  readonly counts: Float64Array
  readonly bounds: readonly number[]
  sum = 0

  /** Buckets end at first, 2 first, 4 first …, `buckets` of them; one more takes the rest. */
  constructor (readonly first: number, buckets: number) {
    this.bounds = Array.from({ length: buckets }, (_, i) => first * 2 ** i)
    this.counts = new Float64Array(buckets + 1)
  }

  observe (value: number): void {
    // The quotient can be a rounding error off at an exact bound, so the bound itself decides.
    let i = value <= this.first ? 0 : 32 - Math.clz32(Math.min(Math.ceil(value / this.first), 2 ** 32) - 1)
    if (i > 0 && value <= (this.bounds[i - 1] ?? Infinity)) i -= 1
    const slot = i < this.counts.length ? i : this.counts.length - 1
    this.counts[slot] = (this.counts[slot] ?? 0) + 1
    this.sum += value
  }

  sample (labels?: Labels): HistogramSample {
    return { ...(labels === undefined ? {} : { labels }), bounds: this.bounds, counts: this.counts, sum: this.sum }
  }
}

/** For latencies in seconds: 50 microseconds to 1.6 s, doubling. */
export const latencyHistogram = (): DoublingHistogram => new DoublingHistogram(0.00005, 16)
