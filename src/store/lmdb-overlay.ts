/** What transactions wrote and the data file does not hold yet. */
import type { Layer } from './lmdb-range.js'

interface Pending { readonly value: Uint8Array | undefined, readonly seq: number }

const BUCKETS = 64

/** Keys begin with a type octet and the table's name: a bucket holds a few tables. */
const bucketOf = (key: string): number => key.charCodeAt(1) * 5 + key.charCodeAt(2) * 3 + key.charCodeAt(3) & BUCKETS - 1

/**
 * Values by encoded key, undefined for a key that is removed. In buckets by table, so that to walk a range of one table, which
 * happens for each block, costs nothing for the rows of the others.
 */
export class Overlay {
  private readonly buckets = Array.from({ length: BUCKETS }, () => new Map<string, Pending>())

  get (key: string): Pending | undefined { return this.bucket(key).get(key) }

  set (key: string, value: Uint8Array | undefined, seq: number): void { this.bucket(key).set(key, { value, seq }) }

  /** Forgets the key unless a batch after `seq` wrote it, too. */
  forget (key: string, seq: number): void {
    const bucket = this.bucket(key), pending = bucket.get(key)
    if (pending !== undefined && pending.seq <= seq) bucket.delete(key)
  }

  /** Everything that may lie in [start, end), and more. */
  * layer (start: string, end: string): Layer & Generator<readonly [string, Uint8Array | undefined]> {
    const one = start.length > 3 && start.slice(0, 4) === end.slice(0, 4)
    for (const bucket of one ? [this.bucket(start)] : this.buckets) for (const [key, { value }] of bucket) yield [key, value]
  }

  private bucket (key: string): Map<string, Pending> { return this.buckets[bucketOf(key)]! }
}
