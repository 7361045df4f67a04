import type { KmeId } from '../kernel/ids.js'
import type { Cancel, Clock } from '../kernel/time.js'

interface Promise { readonly next: KmeId, readonly bytes: number, readonly cancel: Cancel }

/** Key with the next node that is set aside for jobs of others which were told that they may come. */
export class Promises {
  private readonly byJob = new Map<string, Promise>()
  private readonly sums = new Map<KmeId, number>()
  constructor (private readonly clock: Clock, private readonly keepMs: number) {}

  /** Bytes of our lane with `next` that are promised. */
  of (next: KmeId): number { return this.sums.get(next) ?? 0 }
  has (job: string): boolean { return this.byJob.has(job) }

  make (job: string, next: KmeId, bytes: number): void {
    if (this.byJob.has(job)) return
    this.byJob.set(job, { next, bytes, cancel: this.clock.after(this.keepMs, () => { this.end(job) }) })
    this.sums.set(next, this.of(next) + bytes)
  }

  /** It came, or will not come. @returns whether it was promised. */
  end (job: string): boolean {
    const promise = this.byJob.get(job)
    if (promise === undefined) return false
    promise.cancel()
    this.byJob.delete(job)
    this.sums.set(promise.next, this.of(promise.next) - promise.bytes)
    return true
  }
}
