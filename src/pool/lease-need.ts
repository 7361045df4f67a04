import type { PoolLimits } from './ports.js'
import type { Rate } from './rate.js'

const LEASED_BYTES_FACTOR = 8

/** How much of a lane is to be leased ahead: `leaseMs` of use, and what somebody waits for. */
export class LeaseNeed {
  private asked = 0
  /** While more is left than this, no look is needed: nearly every request finds it so, and a look asks the clock. */
  private calmBytes = Infinity

  constructor (private readonly limits: PoolLimits, private readonly used: Rate) {}

  /** What somebody waits for: leased as soon as the horizon covers it. */
  get askedBytes (): number { return this.asked }

  /** Somebody waits for so much. */
  ask (bytes: number): void { this.asked = Math.max(this.asked, bytes) }

  /** Whether nothing is to be done with so much left. */
  isCalm (leftBytes: number): boolean { return this.asked === 0 && leftBytes > this.calmBytes }

  /** A look begins with so much left: nobody waits for that much any more. */
  look (leftBytes: number): void {
    this.calmBytes = Infinity
    if (leftBytes >= this.asked) this.asked = 0
  }

  /** How much is to be leased now beside what is left; 0 for nothing. */
  missing (leftBytes: number): number {
    const target = Math.max(this.leaseBytes(), this.asked)
    if (leftBytes < target / 2 || leftBytes < this.asked) return target * 1.5 - leftBytes
    this.calmBytes = Math.max(target / 2, leftBytes - this.limits.leaseMinBytes) // Use may grow meanwhile: it is looked at again soon.
    return 0
  }

  private leaseBytes (): number {
    const { leaseMs, leaseMinBytes, leaseMaxBytes } = this.limits
    const want = this.used.perSecond() * leaseMs / 1_000
    return Math.max(leaseMinBytes, Math.min(leaseMaxBytes * LEASED_BYTES_FACTOR, want)) + 7 & ~7
  }
}
