import type { Cancel, Clock } from '../src/kernel/time.js'

interface Timer { readonly atMs: number, readonly order: number, readonly fn: () => void, isCancelled: boolean }

const isBefore = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/**
 * Simulated time: it moves only when told to. Timers run in order of their time, then of their setting. Serves as
 * kernel Clock and as XState clock (`setTimeout`, `clearTimeout`).
 */
export class SimClock implements Clock {
  /** A heap: the first is due next. Cancelled ones stay until they come to the top. */
  private readonly heap: Timer[] = []
  private readonly byId = new Map<number, Timer>()
  private mono = 0
  private nextId = 1

  /** @param wallStartMs Wall time at the start. @param driftPpm How much faster than monotonic time the wall clock runs. */
  constructor (private readonly wallStartMs = 1_700_000_000_000, private readonly driftPpm = 0) {}

  /** Milliseconds since the start. */
  now (): number { return this.mono }
  monoMs (): number { return this.mono }
  wallMs (): number { return Math.round(this.wallStartMs + this.mono * (1 + this.driftPpm / 1e6)) }

  after (delayMs: number, fn: () => void): Cancel {
    const id = this.setTimeout(fn, delayMs)
    return () => { this.clearTimeout(id) }
  }

  setTimeout (fn: () => void, delayMs: number): number {
    const id = this.nextId++
    const timer = { atMs: this.mono + Math.max(0, delayMs), order: id, fn, isCancelled: false }
    this.byId.set(id, timer)
    this.push(timer)
    return id
  }

  clearTimeout (id: number): void {
    const timer = this.byId.get(id)
    if (timer === undefined) return
    timer.isCancelled = true
    this.byId.delete(id)
  }

  /** Timers that are set. */
  get pending (): number { return this.byId.size }

  /** When the next timer is due, or undefined. */
  nextMs (): number | undefined { return this.next()?.atMs }

  /** Moves time by `ms`, running every timer that becomes due, also those that timers set. */
  advance (ms: number): void {
    const untilMs = this.mono + ms
    while (this.step(untilMs));
    this.mono = untilMs
  }

  /** The process does not run for so long: what became due meanwhile runs afterwards, all at once. */
  stall (ms: number): void {
    this.mono += ms
    this.advance(0)
  }

  /** Like `advance`, but lets promises settle after each timer, and the event loop turn before and after. */
  async advanceAsync (ms: number): Promise<void> {
    const untilMs = this.mono + ms
    await settle()
    while (this.step(untilMs)) await settlePromises()
    this.mono = untilMs
    await settle()
  }

  private step (untilMs: number): boolean {
    const timer = this.next()
    if (timer === undefined || timer.atMs > untilMs) return false
    this.pop()
    this.byId.delete(timer.order)
    this.mono = Math.max(this.mono, timer.atMs)
    timer.fn()
    return true
  }

  private next (): Timer | undefined {
    while (this.heap[0]?.isCancelled === true) this.pop()
    return this.heap[0]
  }

  private push (timer: Timer): void {
    const { heap } = this
    let at = heap.length
    heap.push(timer)
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(timer, heap[above]!)) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = timer
  }

  private pop (): void {
    const { heap } = this
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++
      if (!isBefore(heap[below]!, last)) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = last
  }
}

/** Lets every promise that is ready run, and what they make ready; no more: neither sockets nor files are looked at, which costs five times as much. */
const settlePromises = (): Promise<void> => new Promise((resolve) => { process.nextTick(resolve) })

/** The same, and a turn of the event loop. */
export const settle = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })
