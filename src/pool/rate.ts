import type { Clock } from '../kernel/time.js'

/** It decays in steps of this part of its time constant: an error of less than a hundredth, and few exponentials. */
const STEPS = 128

/** Exponentially weighted rate of an amount per second, with time constant `tauMs`. Costs no timer. */
export class Rate {
  private value = 0
  private lastMs: number
  constructor (private readonly clock: Clock, private readonly tauMs = 2_000) { this.lastMs = clock.monoMs() }

  add (amount: number): void {
    this.decay()
    this.value += amount * 1_000 / this.tauMs
  }

  /** Amount per second. */
  perSecond (): number {
    this.decay()
    return this.value
  }

  private decay (): void {
    const now = this.clock.monoMs()
    if (now - this.lastMs < this.tauMs / STEPS) return
    this.value *= Math.exp(-(now - this.lastMs) / this.tauMs)
    this.lastMs = now
  }
}
