import type { Clock } from '../kernel/time.js'

const START = 4
/** One refusal tells of one shortage: those of jobs that were under way together count as one. */
const SHORTAGE_MS = 250
/** After it, before something is begun again: as long as it takes the others to hand a few blocks on. */
const REST_MS = 50

/**
 * How many jobs of one pool, counted in parts of 62 KiB, are under way: as many as the ways bear. It doubles with each round of jobs that went well; from the first
 * shortage on it grows by one a round, and each shortage halves it.
 */
export class JobWindow {
  private size = START
  private hasSeenShortage = false
  private shortageMs = -Infinity
  private restUntilMs = -Infinity

  constructor (private readonly clock: Clock, private readonly max: number) { this.size = Math.min(START, max) }

  get parts (): number { return Math.floor(this.size) }
  get isResting (): boolean { return this.clock.monoMs() < this.restUntilMs }

  /** A job of so many parts is done. */
  went (parts: number): void { this.size = Math.min(this.max, this.size + (this.hasSeenShortage ? parts / this.size : parts)) }

  /** A job was given up. */
  fell (): void {
    const now = this.clock.monoMs()
    if (now - this.shortageMs < SHORTAGE_MS) return
    this.shortageMs = now
    this.hasSeenShortage = true
    this.restUntilMs = now + (this.size < 2 ? SHORTAGE_MS : REST_MS)
    this.size = Math.max(1, this.size / 2)
  }
}
