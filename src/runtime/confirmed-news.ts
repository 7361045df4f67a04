import type { Cancel, Clock } from '../kernel/time.js'

/** So many in a row are told one by one: more than a link under probation counts. */
const SINGLY = 16
const INTERVAL_MS = 250

/**
 * A fast link confirms hundreds of blocks a second, and each word to its machine costs as much as hashing a block. So of a long row
 * of confirmed blocks the machine hears four times a second: often enough for a link that is silent, and the last one is
 * always told, at the latest before anything else is (`settle`).
 */
export class ConfirmedNews {
  private inRow = 0
  private toldMs = -Infinity
  private cancel: Cancel | undefined

  constructor (private readonly clock: Clock, private readonly tell: () => void) {}

  confirmed (): void {
    if (this.cancel !== undefined) return // It will be told.
    const now = this.clock.monoMs()
    if (++this.inRow <= SINGLY || now - this.toldMs >= INTERVAL_MS) this.say(now)
    else this.cancel = this.clock.after(INTERVAL_MS, () => { this.cancel = undefined; this.say(this.clock.monoMs()) })
  }

  /** Something else is told now: what is held back goes before it, and the row begins anew. */
  settle (): void {
    this.inRow = 0
    if (this.cancel === undefined) return
    this.cancel()
    this.cancel = undefined
    this.say(this.clock.monoMs())
  }

  private say (nowMs: number): void {
    this.toldMs = nowMs
    this.tell()
  }
}
