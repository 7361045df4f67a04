import type { Clock } from '../kernel/time.js'

/** It decays in steps of this part of its time constant: an error of less than a hundredth, and few exponentials. */
const STEPS = 128

/** Exponentially weighted rate of an amount per second, with time constant `tauMs`. Costs no timer. */
export class Rate {
  private value = 0
  private lastMs: number
  private noted = 0
  constructor (private readonly clock: Clock, private readonly tauMs = 2_000) { this.lastMs = clock.monoMs() }

  /** @param nowMs The clock's time, for callers who have asked it already. */
  add (amount: number, nowMs = this.clock.monoMs()): void {
    this.decay(nowMs)
    this.value += amount * 1_000 / this.tauMs
  }

  /** As `add`, without a look at the clock: the amount counts from the next question on, which must come soon. */
  note (amount: number): void { this.noted += amount }

  /** Amount per second. */
  perSecond (): number {
    this.decay(this.clock.monoMs())
    if (this.noted > 0) {
      this.value += this.noted * 1_000 / this.tauMs
      this.noted = 0
    }
    return this.value
  }

  private decay (nowMs: number): void {
    if (nowMs - this.lastMs < this.tauMs / STEPS) return
    this.value *= Math.exp(-(nowMs - this.lastMs) / this.tauMs)
    this.lastMs = nowMs
  }
}
