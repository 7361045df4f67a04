import type { KmeId } from '../kernel/ids.js'
import type { Cancel, Clock } from '../kernel/time.js'

/** A share of a job of others, and its way. */
export interface Asked { readonly job: Uint8Array, readonly share: number, readonly path: readonly KmeId[] }
interface Promised { readonly from: KmeId, readonly next: KmeId, bytes: number, isAnswered: boolean, readonly asked: Asked | undefined, readonly cancel: Cancel }

/** Key of our lanes that is set aside for jobs under way, by the node that it leads to: those of others which were told that they may come, and ours. */
export class Promises {
  private readonly byJob = new Map<string, Promised>()
  private readonly sums = new Map<KmeId, number>()
  private readonly counts = new Map<KmeId, number>()

  /** @param perNeighbourMax Jobs that may be promised to one neighbour at once. */
  constructor (private readonly clock: Clock, private readonly keepMs: number, private readonly perNeighbourMax: number) {}

  /** Bytes of our lane with `next` that are promised. */
  of (next: KmeId): number { return this.sums.get(next) ?? 0 }

  /** Those that jobs of others come from or go on to. */
  get neighbours (): ReadonlySet<KmeId> { return new Set([...this.byJob.values()].flatMap(({ from, next, asked }) => asked === undefined ? [] : [from, next])) }

  /** The neighbour to which that job was promised. */
  madeTo (job: string): KmeId | '' | undefined { return this.byJob.get(job)?.from }

  /** Jobs of others that are to come from that neighbour, or to go on to it. */
  over (neighbour: KmeId): Asked[] { return [...this.byJob.values()].flatMap(({ from, next, asked }) => asked !== undefined && (from === neighbour || next === neighbour) ? [asked] : []) }

  /**
   * @param from The neighbour that asks; '' for our own jobs, which their source bounds. @param asked Kept; of a job of others.
   * @returns false if there is one of that name already, or too many for that neighbour.
   */
  make (job: string, from: KmeId | '', next: KmeId, bytes: number, asked?: Asked): boolean {
    const count = this.counts.get(from) ?? 0
    if (this.byJob.has(job) || (from !== '' && count >= this.perNeighbourMax)) return false
    this.byJob.set(job, { from, next, bytes, isAnswered: false, asked, cancel: this.clock.after(this.keepMs, () => { this.end(job) }) })
    this.counts.set(from, count + 1)
    this.sums.set(next, this.of(next) + bytes)
    return true
  }

  /** The further nodes have answered: it will be no greater than they say. @returns what it may be; 0 if nothing was promised, or they have answered already. */
  shrink (job: string, bytes: number): number {
    const promise = this.byJob.get(job)
    if (promise === undefined || promise.isAnswered) return 0
    promise.isAnswered = true
    const less = Math.min(promise.bytes, bytes)
    this.sums.set(promise.next, this.of(promise.next) - promise.bytes + less)
    promise.bytes = less
    return less
  }

  /** It will not come. False if nothing was promised. */
  end (job: string): boolean {
    const taken = this.take(job)
    taken?.release()
    return taken !== undefined
  }

  /** Its bits are here: it is promised nothing any more, but what it may take stays set aside until `release`. */
  take (job: string): { readonly next: KmeId, readonly bytes: number, release (): void } | undefined {
    const promise = this.byJob.get(job)
    if (promise === undefined) return undefined
    promise.cancel()
    this.byJob.delete(job)
    const { from, next, bytes } = promise, count = this.counts.get(from)! - 1
    if (count > 0) this.counts.set(from, count)
    else this.counts.delete(from)
    let isHeld = true
    return {
      next, bytes,
      release: () => {
        if (isHeld) this.sums.set(next, this.of(next) - bytes)
        isHeld = false
      },
    }
  }

  stop (): void { for (const job of [...this.byJob.keys()]) this.end(job) }
}
