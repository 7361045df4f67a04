const FREE_EVERY = 16

/** Whether a lane's stock has fallen to the last fifth of what it had at its fullest (design 11). */
export class LastFifth {
  private fullest = 0
  private isShort = false
  private left = 0

  constructor (private readonly freeBytes: () => number) {}

  /** Whether taking `bytes` reaches into it. The lane is counted once in 16 requests, because counting is not free. */
  reachedBy (bytes: number): boolean {
    if (--this.left > 0) return this.isShort
    this.left = FREE_EVERY
    const free = this.freeBytes()
    this.fullest = Math.max(free, this.fullest * 0.999)
    return this.isShort = free - bytes < this.fullest / 5
  }
}
