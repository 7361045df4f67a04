import type { KmeId } from '../kernel/ids.js'
import type { Body, RelayFailure } from '../peer/messages.js'
import { sumOf } from '../pool/pad-places.js'
import type { RelayAccess } from '../pool/relay-access.js'
import { nameOf, type Allotment, type ShareName } from './allotment.js'
import type { RelayCounters } from './counters.js'
import { changePads } from './pads.js'
import type { Asked } from './promises.js'
import type { RelayPorts } from './ports.js'
import { partsOfBytes } from './share.js'

const PASSED_KEPT = 4_096

/** Bits of a job that wait here for a lease. */
interface Passing { readonly next: KmeId, readonly stop: () => void, readonly turnBack: () => void }

/**
 * The way through this node: the sender's pads come off and ours with the next node go on, in one step in the vault. Both are
 * on disk as spent before. Nothing of a job stays here.
 */
export class RelayHop {
  /** Parts of jobs that wait for a lease, per next neighbour. */
  private readonly waiting = new Map<KmeId, number>()
  private readonly passing = new Set<Passing>()
  /** Jobs that went on from here lately: a failure of theirs is told back. */
  private readonly passed = new Set<string>()

  constructor (private readonly p: RelayPorts, private readonly allotment: Allotment, private readonly counters: RelayCounters) {}

  /** Whether a job may come; if so, what it needs is set aside. @returns how many of its bytes may, or why none. */
  ask (body: Body<'relayAsk'>): number | RelayFailure {
    const from = body.path[body.hop - 1]!, next = body.path[body.hop + 1]!
    if (this.p.neighbour(next)?.access.isReady !== true) return 'unroutable'
    const bytes = this.allotment.offer(from, next, body.path, body.bytes)
    if (bytes === 0) return 'stock'
    const { job, share, path } = body
    return this.allotment.promises.make(nameOf(body), from, next, bytes, { job: Uint8Array.from(job), share, path }) ? bytes : 'busy'
  }

  /** The store closes: nothing of what is under way goes on. */
  stop (): void { for (const { stop } of [...this.passing]) stop() }

  /**
   * Nothing comes from that neighbour any more, nor goes to it, of what was asked for until now: what is set aside for it is free again, and bits
   * that wait to go there are refused. What is here already and goes elsewhere goes on. @returns what nobody needs to wait for, each once.
   */
  severed (neighbour: KmeId): Asked[] {
    for (const { next, turnBack } of [...this.passing]) if (next === neighbour) turnBack()
    const { promises } = this.allotment
    return promises.over(neighbour).filter((asked) => promises.end(nameOf(asked)))
  }

  /** It will not come, or what came failed further on. False if it did not come this way. */
  forget (body: ShareName): boolean { return this.allotment.promises.end(nameOf(body)) || this.passed.delete(nameOf(body)) }

  /** It will not come, says the neighbour that asked: what was set aside is free again. False if nothing was, or not for that neighbour. */
  cancel (body: ShareName, by: KmeId): boolean {
    const { promises } = this.allotment, name = nameOf(body)
    return promises.madeTo(name) === by && promises.end(name)
  }

  /** What a job that was asked for through here and has not come yet may have, now that further nodes said what they can give; 0 if there is none. */
  promised (body: ShareName, bytes: number): number { return this.allotment.promises.shrink(nameOf(body), bytes) }

  /** The sender's pads are on disk as spent. @param refuse says back why not; the bits are burned where they were spent. */
  pass (from: RelayAccess, body: Body<'relay'>, refuse: (cause: RelayFailure) => void): void {
    const { p } = this
    const next = body.path[body.hop + 1]!
    const lane = p.neighbour(next)
    const bytes = sumOf(body.pads), parts = partsOfBytes(bytes), waiting = this.waiting.get(next) ?? 0
    const promise = this.allotment.promises.take(nameOf(body))
    const wasPromised = promise !== undefined && promise.next === next && promise.bytes >= bytes // Else nobody told it to come so, or it comes too late.
    if (!wasPromised || lane?.access.isReady !== true || waiting + parts > p.limits.passingMax) {
      promise?.release()
      from.letGo(body.pads)
      refuse(!wasPromised ? 'stock' : waiting + parts > p.limits.passingMax ? 'busy' : 'unroutable')
      return
    }
    this.waiting.set(next, waiting + parts)
    const turnBack = (cause: RelayFailure): void => { if (over()) { from.letGo(body.pads); refuse(cause) } }
    const waits: Passing = { next, stop: () => { over() }, turnBack: () => { turnBack('unroutable') } }
    this.passing.add(waits)
    let isOver = false
    const over = (): boolean => {
      if (isOver) return false
      isOver = true
      cancel()
      promise.release()
      this.passing.delete(waits)
      this.waiting.set(next, this.waiting.get(next)! - parts)
      return true
    }
    const cancel = p.clock.after(p.limits.passMs, () => { turnBack('stock') })
    const attempt = (): void => {
      if (isOver) return
      if (!lane.access.isReady) { turnBack('unroutable'); return }
      if (lane.access.leasedBytes < bytes) { lane.access.lease(bytes, attempt); return }
      if (over()) this.change(from, lane.access, body, bytes, refuse)
    }
    attempt()
  }

  private change (from: RelayAccess, next: RelayAccess, body: Body<'relay'>, bytes: number, refuse: (cause: RelayFailure) => void): void {
    const data = body.hop === 1 ? new Uint8Array(bytes) : body.data
    const pads = changePads(this.p, from, body.pads, next, data)
    from.letGo(body.pads)
    if (pads === undefined) { refuse('damaged'); return }
    this.allotment.used(body.path[body.hop - 1]!, body.path[body.hop + 1]!, body.path, bytes)
    const sent = this.p.neighbour(body.path[body.hop + 1]!)?.send('relay', { ...body, hop: body.hop + 1, pads, data }) === true
    if (!sent) { refuse('busy'); return }
    this.passed.add(nameOf(body))
    if (this.passed.size > PASSED_KEPT) for (const oldest of this.passed) { this.passed.delete(oldest); break }
    this.counters.passedJobs++
    this.counters.passedBytes += bytes
  }
}
