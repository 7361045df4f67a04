/** What transactions wrote and the data file does not hold yet. */
import type { Written } from './lmdb-chunks.js'
import type { Layer } from './lmdb-range.js'

const BUCKETS = 64

/** Keys begin with a type octet and the table's name: a bucket holds a few tables. */
const bucketOf = (key: string): number => key.charCodeAt(1) * 5 + key.charCodeAt(2) * 3 + key.charCodeAt(3) & BUCKETS - 1

/**
 * Writes by encoded key, removals among them. In buckets by table, so that to walk a range of one table, which
 * happens for each block, costs nothing for the rows of the others.
 */
export class Overlay {
  private readonly buckets = Array.from({ length: BUCKETS }, () => new Map<string, Written>())

  get (key: string): Written | undefined { return this.bucket(key).get(key) }

  set (key: string, written: Written): void { this.bucket(key).set(key, written) }

  /** Forgets the key unless it was written again since. */
  forget (key: string, written: Written): void {
    const bucket = this.bucket(key)
    if (bucket.get(key) === written) bucket.delete(key)
  }

  /** Everything that may lie in [start, end), and more. */
  * layer (start: string, end: string): Layer & Generator<readonly [string, Written]> {
    const one = start.length > 3 && start.slice(0, 4) === end.slice(0, 4)
    for (const bucket of one ? [this.bucket(start)] : this.buckets) yield * bucket
  }

  private bucket (key: string): Map<string, Written> { return this.buckets[bucketOf(key)]! }
}
