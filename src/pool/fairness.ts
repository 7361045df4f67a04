import type { SaeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import { Rate } from './rate.js'

const WINDOW_MS = 10_000
const SAES_MAX = 4_096
/** How old a count over all SAEs may be: thousands of them may ask within it. */
const COUNT_MS = 100
/** Rates are right to a hundredth (src/pool/rate.ts): whoever is that near to the equal share has no more than it. */
const SLACK = 1.03

/**
 * The last fifth of a lane is kept for SAEs that use less than their equal share (design 11): when stock is short, one
 * greedy SAE cannot starve the others.
 */
export class Fairness {
  private readonly uses = new Map<SaeId, Rate>()
  private readonly total: Rate
  private activeCount = 0
  private countedMs = -Infinity
  private sweptMs = -Infinity
  constructor (private readonly clock: Clock) { this.total = new Rate(clock, WINDOW_MS) }

  used (sae: SaeId, bytes: number): void {
    let rate = this.uses.get(sae)
    if (rate === undefined) {
      if (this.uses.size >= SAES_MAX) this.forgetIdle()
      this.uses.set(sae, rate = new Rate(this.clock, WINDOW_MS))
    }
    rate.add(bytes)
    this.total.add(bytes)
  }

  /** Whether `sae` may take from the last fifth. */
  mayTakeLast (sae: SaeId): boolean {
    const mine = this.uses.get(sae)?.perSecond() ?? 0
    return mine * Math.max(1, this.active()) <= this.total.perSecond() * SLACK
  }

  private active (): number {
    const now = this.clock.monoMs()
    if (now - this.countedMs < COUNT_MS) return this.activeCount
    this.countedMs = now
    this.activeCount = 0
    for (const rate of this.uses.values()) if (rate.perSecond() > 1) this.activeCount++
    return this.activeCount
  }

  private forgetIdle (): void {
    const now = this.clock.monoMs()
    if (now - this.sweptMs >= COUNT_MS) {
      this.sweptMs = now
      for (const [sae, rate] of this.uses) if (rate.perSecond() < 1) this.uses.delete(sae)
    }
    if (this.uses.size >= SAES_MAX) for (const oldest of this.uses.keys()) { this.uses.delete(oldest); break }
  }
}
