import type { KmeId } from '../kernel/ids.js'
import type { Body, RelayFailure } from '../peer/messages.js'
import { Fairness } from '../pool/fairness.js'
import type { RelayAccess } from '../pool/relay-access.js'
import type { RelayCounters } from './counters.js'
import { changePads, sumOf } from './pads.js'
import type { RelayPorts } from './ports.js'

/** Below so many jobs' worth of spare bits with the next node, pools that took more than their share wait. */
const PLENTY_JOBS = 4

/**
 * The way through this node: the sender's pads come off and ours with the next node go on, in one step in the vault. Both are
 * on disk as spent before. Nothing of a job stays here.
 */
export class RelayHop {
  private readonly fairness: Fairness
  /** Jobs that wait for a lease, per next neighbour. */
  private readonly waiting = new Map<KmeId, number>()

  constructor (private readonly p: RelayPorts, private readonly counters: RelayCounters) { this.fairness = new Fairness(p.clock) }

  /** @param refuse says back why not; the bits are burned where they were spent. */
  pass (from: RelayAccess, body: Body<'relay'>, refuse: (cause: RelayFailure) => void): void {
    const { p } = this
    const next = body.path[body.hop + 1]!
    const lane = p.neighbour(next)
    if (lane?.access.isReady !== true) { refuse('unroutable'); return }
    const bytes = sumOf(body.pads)
    const busy = this.stockFor(lane.access, body, bytes)
    if (busy !== undefined) { refuse(busy); return }
    const waiting = this.waiting.get(next) ?? 0
    if (waiting >= p.limits.passingMax) { refuse('busy'); return }
    this.waiting.set(next, waiting + 1)
    let isOver = false
    const over = (): boolean => {
      if (isOver) return false
      isOver = true
      cancel()
      this.waiting.set(next, this.waiting.get(next)! - 1)
      return true
    }
    const cancel = p.clock.after(p.limits.passMs, () => { if (over()) { from.letGo(body.pads); refuse('stock') } })
    from.store(body.pads, () => {
      const attempt = (): void => {
        if (isOver) return
        if (!lane.access.isReady) { if (over()) { from.letGo(body.pads); refuse('unroutable') } return }
        if (lane.access.leasedBytes < bytes) { lane.access.lease(bytes, attempt); return }
        if (over()) this.change(from, lane.access, body, bytes, refuse)
      }
      attempt()
    })
  }

  private stockFor (lane: RelayAccess, body: Body<'relay'>, bytes: number): RelayFailure | undefined {
    const spare = lane.freeBytes - this.p.limits.reserveBytes
    if (spare < bytes) return 'stock'
    const flow = `${body.path[0]!}>${body.path.at(-1)!}`
    return spare < PLENTY_JOBS * bytes && !this.fairness.mayTakeLast(flow) ? 'stock' : undefined
  }

  private change (from: RelayAccess, next: RelayAccess, body: Body<'relay'>, bytes: number, refuse: (cause: RelayFailure) => void): void {
    const data = body.hop === 1 ? new Uint8Array(bytes) : body.data
    const pads = changePads(this.p, from, body.pads, next, data)
    from.letGo(body.pads)
    if (pads === undefined) { refuse('damaged'); return }
    this.fairness.used(`${body.path[0]!}>${body.path.at(-1)!}`, bytes)
    const sent = this.p.neighbour(body.path[body.hop + 1]!)?.send('relay', { ...body, hop: body.hop + 1, pads, data }) === true
    if (!sent) { refuse('busy'); return }
    this.counters.passedJobs++
    this.counters.passedBytes += bytes
  }
}
