import type { SaeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import { Rate } from './rate.js'

const WINDOW_MS = 10_000
const SAES_MAX = 4_096
/** How old a count over all SAEs may be: thousands of them may ask within it. */
const COUNT_MS = 100
/** Rates are right to a hundredth (src/pool/rate.ts): whoever is that near to the equal share has no more than it. */
const SLACK = 1.03

/** `isCounted`: it has taken within the last WINDOW_MS, so that a share is kept for it. */
interface Use { readonly rate: Rate, lastMs: number, isCounted: boolean }

/**
 * The last fifth of a lane is kept for SAEs that use less than their equal share (design 11): when stock is short, one
 * greedy SAE cannot starve the others. A share is kept for those that took something lately: all rates decay alike, so that without
 * that the shares of those who have stopped would stand as they are for minutes.
 */
export class Fairness {
  private readonly uses = new Map<SaeId, Use>()
  /** Of those that count. */
  private readonly total: Rate
  private activeCount = 0
  private countedMs = -Infinity
  private sweptMs = -Infinity
  constructor (private readonly clock: Clock) { this.total = new Rate(clock, WINDOW_MS) }

  /** @param nowMs Monotonic, for callers who have asked the clock just before. */
  used (sae: SaeId, bytes: number, nowMs = this.clock.monoMs()): void {
    let use = this.uses.get(sae)
    if (use === undefined) {
      if (this.uses.size >= SAES_MAX) this.forgetIdle()
      this.uses.set(sae, use = { rate: new Rate(this.clock, WINDOW_MS), lastMs: 0, isCounted: false })
    }
    if (!use.isCounted) {
      use.isCounted = true
      this.activeCount++
      this.raise(use.rate.perSecond()) // It does not lose its past by pausing.
    }
    use.lastMs = nowMs
    use.rate.add(bytes, nowMs)
    this.total.add(bytes, nowMs)
  }

  /** Whether `sae` may take from the last fifth. */
  mayTakeLast (sae: SaeId): boolean {
    this.count()
    const use = this.uses.get(sae)
    if (use === undefined) return true
    const mine = use.rate.perSecond()
    const [count, total] = use.isCounted ? [this.activeCount, this.total.perSecond()] : [this.activeCount + 1, this.total.perSecond() + mine]
    return mine * count <= total * SLACK
  }

  private count (): void {
    const now = this.clock.monoMs()
    if (now - this.countedMs < COUNT_MS) return
    this.countedMs = now
    let count = 0, sum = 0
    for (const use of this.uses.values()) {
      use.isCounted = now - use.lastMs < WINDOW_MS
      if (!use.isCounted) continue
      count++
      sum += use.rate.perSecond()
    }
    this.activeCount = count
    this.raise(sum - this.total.perSecond())
  }

  private raise (perSecond: number): void { this.total.add(perSecond * WINDOW_MS / 1_000) }

  private forgetIdle (): void {
    const now = this.clock.monoMs()
    if (now - this.sweptMs >= COUNT_MS) {
      this.sweptMs = now
      for (const [sae, { rate }] of this.uses) if (rate.perSecond() < 1) this.uses.delete(sae)
    }
    if (this.uses.size >= SAES_MAX) for (const oldest of this.uses.keys()) { this.uses.delete(oldest); break }
  }
}
