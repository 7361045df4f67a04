/** Grants frames at a rate. Time comes from the caller; what was not taken within a second is lost (no endless burst). */
export class Pacer {
  private credit = 0
  private lastMs: number

  constructor (private rateBps: number, private readonly frameBits: number, nowMs: number) { this.lastMs = nowMs }

  setRate (rateBps: number, nowMs: number): void {
    this.take(nowMs, 0)
    this.rateBps = rateBps
  }

  /** Forgets the time that passed (the link was cut). */
  skip (nowMs: number): void { this.lastMs = nowMs }

  /** Whole frames granted up to now, at most `framesMax`. */
  take (nowMs: number, framesMax: number): number {
    if (this.rateBps === Infinity) return framesMax
    const perMs = this.rateBps / 1_000 / this.frameBits
    this.credit = Math.min(this.credit + (nowMs - this.lastMs) * perMs, Math.max(1, perMs * 1_000))
    this.lastMs = nowMs
    const frames = Math.min(Math.floor(this.credit), framesMax)
    this.credit -= frames
    return frames
  }
}
