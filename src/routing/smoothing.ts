import type { AnnouncedLink } from './announcement.js'
import { classOf } from './announcement.js'
import type { KmeId } from '../kernel/ids.js'
import type { LinkState, NeighbourReport } from './ports.js'

/** A class changes only when the amount is this far (as a factor of 2) beyond the edge of the class it is in. */
const SLACK = 0.5

/**
 * The class of an amount, slow to leave the one before: an amount that swings around an edge changes nothing. Nothing at all
 * is told at once.
 */
export const steadyClass = (amount: number, before: number): number => {
  const now = classOf(amount)
  if (now === before || now === 0 || before === 0) return now
  const exact = 1 + Math.log2(amount)
  return exact >= before - SLACK && exact < before + 1 + SLACK ? before : now
}

export interface DampingTimes {
  /** A link that was down must be well for this long before it counts; doubled for each time it went down lately. */
  readonly holdMs: number
  readonly holdMaxMs: number
  /** A link that stays as it is for this long is forgiven. */
  readonly forgiveMs: number
}
export const defaultDamping: DampingTimes = { holdMs: 2_000, holdMaxMs: 60_000, forgiveMs: 300_000 }

const rank: Readonly<Record<LinkState, number>> = { down: 0, degraded: 1, up: 2 }

/**
 * One of our links as the network is to see it. What gets worse is told at once. What gets better is told when it has been
 * so for a while, the longer the more often the link failed lately: so a link that flaps moves no routes, and one that was
 * broken and idle comes back by itself, without traffic that would have to try it.
 */
export class SmoothLink {
  #shown: LinkState = 'down'
  #stockClass = 0
  #rateClass = 0
  #raw: LinkState = 'down'
  #betterSinceMs = 0
  #falls = 0
  #lastFallMs = -Infinity
  #wasUp = false

  constructor (readonly neighbour: KmeId, private readonly times: DampingTimes) {}

  get view (): AnnouncedLink { return { neighbour: this.neighbour, state: this.#shown, stockClass: this.#stockClass, rateClass: this.#rateClass } }

  /** @returns what became different: 'state' is urgent, 'amount' is not. */
  report ({ stockBytes, bytesPerS, state }: NeighbourReport, nowMs: number): 'state' | 'amount' | '' {
    const stock = steadyClass(stockBytes, this.#stockClass), rate = steadyClass(bytesPerS, this.#rateClass)
    const moved = stock !== this.#stockClass || rate !== this.#rateClass
    this.#stockClass = stock
    this.#rateClass = rate
    return this.#see(state, nowMs) ? 'state' : moved ? 'amount' : ''
  }

  /** Time passes. @returns whether the state shown changed. */
  tick (nowMs: number): boolean { return this.#see(this.#raw, nowMs) }

  #see (state: LinkState, nowMs: number): boolean {
    if (rank[state] > rank[this.#shown]) {
      // From the moment it became better than what is shown; how much better may still change.
      if (rank[this.#raw] <= rank[this.#shown]) this.#betterSinceMs = nowMs
      this.#raw = state
      if (this.#wasUp && nowMs - this.#betterSinceMs < this.#holdMs()) return false
      this.#shown = state
      this.#wasUp = true
      return true
    }
    this.#raw = state
    if (state === this.#shown) return false
    this.#shown = state
    this.#falls = nowMs - this.#lastFallMs > this.times.forgiveMs ? 1 : this.#falls + 1
    this.#lastFallMs = nowMs
    return true
  }

  #holdMs (): number { return Math.min(this.times.holdMaxMs, this.times.holdMs * 2 ** Math.min(20, Math.max(0, this.#falls - 1))) }
}
