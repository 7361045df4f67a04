import type { Cancel, Clock } from '../../kernel/time.js'

const WAKE_MS = 10

/**
 * Spaces our own pieces through one neighbour, so that no node on the way finds us above our share of it. What waits
 * meanwhile travels together in larger pieces.
 */
export class Pace {
  readonly #burst: number
  readonly #waiting = new Set<() => void>()
  #tokens: number
  #atMs: number
  #cancel: Cancel | undefined

  /** @param perS Pieces in a second; a fifth of them may go at once. */
  constructor (private readonly clock: Clock, private readonly perS: number) {
    this.#tokens = this.#burst = Math.max(1, perS / 5)
    this.#atMs = clock.monoMs()
  }

  /** Whether a piece may go now. If not, `wake` is called when it may be asked again. */
  take (wake: () => void): boolean {
    const nowMs = this.clock.monoMs()
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.perS / 1_000)
    this.#atMs = nowMs
    if (this.#tokens >= 1) {
      this.#tokens--
      return true
    }
    this.#waiting.add(wake)
    this.#cancel ??= this.clock.after(WAKE_MS, this.#wakeAll)
    return false
  }

  stop (): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#waiting.clear()
  }

  readonly #wakeAll = (): void => {
    this.#cancel = undefined
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}
