import type { KmeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import { Fairness } from '../pool/fairness.js'
import type { RelayPorts } from './ports.js'
import { Promises } from './promises.js'
import { PART_BYTES_MAX } from './share.js'

/** Below so many jobs' worth of spare bits with the next node, whoever took more than its share waits. */
const PLENTY_JOBS = 4
/**
 * What is kept for those who took less is theirs to take for so long. A job takes bits of several lanes or none, so that flows which are
 * kept waiting for each other, each on another lane, would all wait until their use is forgotten: minutes. Longer than it takes from a
 * node's word that a job may come until the job comes.
 */
const KEPT_MS = 2_000
/** A share that is smaller is mostly confirmation; less is offered only to a job that asks for less. */
const OFFER_BYTES_MIN = 1_024

export const flowOf = (path: readonly KmeId[]): string => `${path[0]!}>${path.at(-1)!}`
/** A share on its way. The way is part of the name: who knows a job's ID and is not on its way can say nothing about it. */
export interface ShareName { readonly job: Uint8Array, readonly share: number, readonly path: readonly KmeId[] }
export const nameOf = ({ job, share, path }: ShareName): string => `${Buffer.from(job).toString('hex')}/${share} ${path.join('>')}`

/**
 * Use of one lane, first by the neighbour that asks and then, within it, by flow: a neighbour gets no more by calling its flows by many
 * names, and its flows cannot starve each other.
 */
class LaneFairness {
  private readonly neighbours: Fairness
  private readonly flows = new Map<KmeId, Fairness>()
  /** When somebody was first refused in favour of others, of whom none has taken anything since. */
  private refusedMs: number | undefined
  constructor (private readonly clock: Clock) { this.neighbours = new Fairness(clock) }

  used (from: KmeId, flow: string, bytes: number): void {
    this.refusedMs = undefined
    this.note(from, flow, bytes)
  }

  /** It asks, and there is nothing: its share is kept for it as if it had taken something. */
  wants (from: KmeId, flow: string): void { this.note(from, flow, 0) }

  private note (from: KmeId, flow: string, bytes: number): void {
    this.neighbours.used(from, bytes)
    let flows = this.flows.get(from)
    if (flows === undefined) this.flows.set(from, flows = new Fairness(this.clock))
    flows.used(flow, bytes)
  }

  mayTakeLast (from: KmeId, flow: string): boolean {
    if (this.neighbours.mayTakeLast(from) && (this.flows.get(from)?.mayTakeLast(flow) ?? true)) return true
    const now = this.clock.monoMs()
    this.refusedMs ??= now
    return now - this.refusedMs >= KEPT_MS
  }
}

/**
 * What the relay may take of our lanes with neighbours, for others and for our own pools alike: never what SAEs of the two ends are
 * kept, never twice what is set aside for a job, and fairly when it is short.
 */
export class Allotment {
  readonly promises: Promises
  /** By the node that a lane leads to: neighbours of this KME, so there are few. */
  private readonly fairness = new Map<KmeId, LaneFairness>()

  constructor (private readonly p: RelayPorts) { this.promises = new Promises(p.clock, p.limits.jobMs, p.limits.promisesMax) }

  /** @param from Who asks: a neighbour, or this KME. @returns how much of `bytes` it may have of our lane with `next`; 0: nothing now. */
  offer (from: KmeId, next: KmeId, path: readonly KmeId[], bytes: number): number {
    const access = this.p.neighbour(next)?.access
    if (access?.isReady !== true) return 0
    const spare = access.freeBytes - access.keptBytes(this.p.limits.reserveBytes) - this.promises.of(next)
    const most = Math.min(bytes, Math.max(PART_BYTES_MAX, spare * this.p.limits.sparePart))
    const offered = Math.min(most, spare, access.reachBytes(most)) & ~7
    if (offered < Math.min(most, OFFER_BYTES_MIN)) { this.with(next).wants(from, flowOf(path)); return 0 }
    return spare < PLENTY_JOBS * most && this.fairness.get(next)?.mayTakeLast(from, flowOf(path)) === false ? 0 : offered
  }

  used (from: KmeId, next: KmeId, path: readonly KmeId[], bytes: number): void { this.with(next).used(from, flowOf(path), bytes) }

  private with (next: KmeId): LaneFairness {
    let lane = this.fairness.get(next)
    if (lane === undefined) this.fairness.set(next, lane = new LaneFairness(this.p.clock))
    return lane
  }

  stop (): void { this.promises.stop() }
}
