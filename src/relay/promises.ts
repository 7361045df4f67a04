import type { KmeId } from '../kernel/ids.js'
import type { Cancel, Clock } from '../kernel/time.js'

const PER_NEIGHBOUR_MAX = 64

interface Promise { readonly from: KmeId,  readonly next: KmeId, readonly bytes: number, readonly cancel: Cancel }

/** Key with the next node that is set aside for jobs of others which were told that they may come. */
export class Promises {
  private readonly byJob = new Map<string, Promise>()
  private readonly sums = new Map<KmeId, number>()
  private readonly counts = new Map<KmeId, number>()
  constructor (private readonly clock: Clock, private readonly keepMs: number) {}

  /** Bytes of our lane with `next` that are promised. */
  of (next: KmeId): number { return this.sums.get(next) ?? 0 }

  has (job: string): boolean { return this.byJob.has(job) }

  /** False if there is one of that name already, or too many for the neighbour that asks. */
  make (job: string, from: KmeId, next: KmeId, bytes: number): boolean {
    const count = this.counts.get(from) ?? 0
    if (this.byJob.has(job) || count >= PER_NEIGHBOUR_MAX) return false
    this.byJob.set(job, { from, next, bytes, cancel: this.clock.after(this.keepMs, () => { this.end(job) }) })
    this.counts.set(from, count + 1)
    this.sums.set(next, this.of(next) + bytes)
    return true
  }

  /** Its bits are here, or it will not come. @returns what was promised. */
  end (job: string): Pick<Promise, 'from' | 'next' | 'bytes'> | undefined {
    const promise = this.byJob.get(job)
    if (promise === undefined) return undefined
    promise.cancel()
    this.byJob.delete(job)
    this.counts.set(promise.from, this.counts.get(promise.from)! - 1)
    this.sums.set(promise.next, this.of(promise.next) - promise.bytes)
    return promise
  }

  stop (): void { for (const job of [...this.byJob.keys()]) this.end(job) }
}
