import type { Cancel, Clock } from '../src/kernel/time.js'

interface Timer { readonly atMs: number, readonly order: number, readonly fn: () => void }

/**
 * Simulated time: it moves only when told to. Timers run in order of their time, then of their setting. Serves as
 * kernel Clock and as XState clock (`setTimeout`, `clearTimeout`).
 */
export class SimClock implements Clock {
  private readonly timers = new Map<number, Timer>()
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
    this.timers.set(id, { atMs: this.mono + Math.max(0, delayMs), order: id, fn })
    return id
  }

  clearTimeout (id: number): void { this.timers.delete(id) }

  /** Timers that are set. */
  get pending (): number { return this.timers.size }

  /** When the next timer is due, or undefined. */
  nextMs (): number | undefined { return this.next()?.[1].atMs }

  /** Moves time by `ms`, running every timer that becomes due, also those that timers set. */
  advance (ms: number): void {
    const untilMs = this.mono + ms
    while (this.step(untilMs));
    this.mono = untilMs
  }

  /** Like `advance`, but lets promises settle after each timer. */
  async advanceAsync (ms: number): Promise<void> {
    const untilMs = this.mono + ms
    await settle()
    while (this.step(untilMs)) await settle()
    this.mono = untilMs
    await settle()
  }

  private step (untilMs: number): boolean {
    const next = this.next()
    if (next === undefined || next[1].atMs > untilMs) return false
    const [id, timer] = next
    this.timers.delete(id)
    this.mono = Math.max(this.mono, timer.atMs)
    timer.fn()
    return true
  }

  private next (): [number, Timer] | undefined {
    let first: [number, Timer] | undefined
    for (const entry of this.timers) {
      if (first === undefined || entry[1].atMs < first[1].atMs || (entry[1].atMs === first[1].atMs && entry[1].order < first[1].order)) first = entry
    }
    return first
  }
}

/** Lets every promise that is ready run, and what they make ready. */
export const settle = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })
