import type { KmeId } from '../kernel/ids.js'
import type { Body, RelayFailure } from '../peer/messages.js'
import { Fairness } from '../pool/fairness.js'
import { sumOf } from '../pool/pad-places.js'
import type { RelayAccess } from '../pool/relay-access.js'
import type { RelayCounters } from './counters.js'
import { changePads } from './pads.js'
import type { RelayPorts } from './ports.js'
import { Promises } from './promises.js'

/** Below so many jobs' worth of spare bits with the next node, pools that took more than their share wait. */
const PLENTY_JOBS = 4
const PASSED_KEPT = 4_096

const flowOf = (path: readonly KmeId[]): string => `${path[0]!}>${path.at(-1)!}`
interface JobName { readonly job: Uint8Array, readonly share: number }
const nameOf = ({ job, share }: JobName): string => `${Buffer.from(job).toString('hex')}/${share}`

/**
 * The way through this node: the sender's pads come off and ours with the next node go on, in one step in the vault. Both are
 * on disk as spent before. Nothing of a job stays here.
 */
export class RelayHop {
  private readonly fairness: Fairness
  /** Jobs that wait for a lease, per next neighbour. */
  private readonly waiting = new Map<KmeId, number>()

  private readonly promises: Promises
  private readonly passing = new Set<() => void>()
  /** Jobs that went on from here lately: a failure of theirs is told back. */
  private readonly passed = new Set<string>()

  constructor (private readonly p: RelayPorts, private readonly counters: RelayCounters) {
    this.fairness = new Fairness(p.clock)
    this.promises = new Promises(p.clock, p.limits.jobMs)
  }

  /** Whether a job may come; if so, what it needs is set aside. */
  ask (body: Body<'relayAsk'>): RelayFailure | undefined {
    const next = body.path[body.hop + 1]!
    const lane = this.p.neighbour(next)
    if (lane?.access.isReady !== true) return 'unroutable'
    const cause = this.stockFor(lane.access, next, body.path, body.bytes)
    return cause ?? (this.promises.make(nameOf(body), body.path[body.hop - 1]!, next, body.bytes) ? undefined : 'busy')
  }

  /** The store closes: nothing of what is under way goes on. */
  stop (): void {
    for (const stop of [...this.passing]) stop()
    this.promises.stop()
  }

  /** Back from further on: it will not come. */
  forget (body: JobName): boolean { return this.promises.end(nameOf(body)) !== undefined || this.passed.delete(nameOf(body)) }

  /** Whether a job was asked for through here and has not come yet. */
  promised (body: JobName): boolean { return this.promises.has(nameOf(body)) }

  /** The sender's pads are on disk as spent. @param refuse says back why not; the bits are burned where they were spent. */
  pass (from: RelayAccess, body: Body<'relay'>, refuse: (cause: RelayFailure) => void): void {
    const { p } = this
    const next = body.path[body.hop + 1]!
    const lane = p.neighbour(next)
    const bytes = sumOf(body.pads), waiting = this.waiting.get(next) ?? 0
    const promise = this.promises.end(nameOf(body))
    const wasPromised = promise !== undefined && promise.next === next && promise.bytes >= bytes // Else nobody told it to come so, or it comes too late.
    if (!wasPromised || lane?.access.isReady !== true || waiting >= p.limits.passingMax) {
      from.letGo(body.pads)
      refuse(!wasPromised ? 'stock' : waiting >= p.limits.passingMax ? 'busy' : 'unroutable')
      return
    }
    this.waiting.set(next, waiting + 1)
    const stop = (): void => { over() }
    this.passing.add(stop)
    let isOver = false
    const over = (): boolean => {
      if (isOver) return false
      isOver = true
      cancel()
      this.passing.delete(stop)
      this.waiting.set(next, this.waiting.get(next)! - 1)
      return true
    }
    const cancel = p.clock.after(p.limits.passMs, () => { if (over()) { from.letGo(body.pads); refuse('stock') } })
    const attempt = (): void => {
      if (isOver) return
      if (!lane.access.isReady) { if (over()) { from.letGo(body.pads); refuse('unroutable') } return }
      if (lane.access.leasedBytes < bytes) { lane.access.lease(bytes, attempt); return }
      if (over()) this.change(from, lane.access, body, bytes, refuse)
    }
    attempt()
  }

  private stockFor (lane: RelayAccess, next: KmeId, path: readonly KmeId[], bytes: number): RelayFailure | undefined {
    const spare = lane.freeBytes - this.p.limits.reserveBytes - this.promises.of(next)
    if (spare < bytes) return 'stock'
    return spare < PLENTY_JOBS * bytes && !this.fairness.mayTakeLast(flowOf(path)) ? 'stock' : undefined
  }

  private change (from: RelayAccess, next: RelayAccess, body: Body<'relay'>, bytes: number, refuse: (cause: RelayFailure) => void): void {
    const data = body.hop === 1 ? new Uint8Array(bytes) : body.data
    const pads = changePads(this.p, from, body.pads, next, data)
    from.letGo(body.pads)
    if (pads === undefined) { refuse('damaged'); return }
    this.fairness.used(flowOf(body.path), bytes)
    const sent = this.p.neighbour(body.path[body.hop + 1]!)?.send('relay', { ...body, hop: body.hop + 1, pads, data }) === true
    if (!sent) { refuse('busy'); return }
    this.passed.add(nameOf(body))
    if (this.passed.size > PASSED_KEPT) for (const oldest of this.passed) { this.passed.delete(oldest); break }
    this.counters.passedJobs++
    this.counters.passedBytes += bytes
  }
}
