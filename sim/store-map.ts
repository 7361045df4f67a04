/** A sorted map from encoded keys to values: what a simulated disk holds. */
export class SortedMap {
  private readonly values = new Map<string, Uint8Array>()
  private order: string[] = []

  get size (): number { return this.values.size }
  get (key: string): Uint8Array | undefined { return this.values.get(key) }
  has (key: string): boolean { return this.values.has(key) }

  set (key: string, value: Uint8Array): void {
    if (!this.values.has(key)) this.order.splice(this.indexOf(key), 0, key)
    this.values.set(key, value)
  }

  delete (key: string): void {
    if (this.values.delete(key)) this.order.splice(this.indexOf(key), 1)
  }

  /** Keys in [start, end), in order. */
  between (start: string, end: string): string[] {
    return start >= end ? [] : this.order.slice(this.indexOf(start), this.indexOf(end))
  }

  entries (): Iterable<[string, Uint8Array]> { return this.order.map((key) => [key, this.values.get(key) as Uint8Array]) }

  /** Shares the values, which nobody changes. */
  clone (): SortedMap {
    const copy = new SortedMap()
    for (const [key, value] of this.values) copy.values.set(key, value)
    copy.order = [...this.order]
    return copy
  }

  /** Index of the first key >= `key`. */
  private indexOf (key: string): number {
    let low = 0, high = this.order.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.order[middle] as string) < key) low = middle + 1
      else high = middle
    }
    return low
  }
}
