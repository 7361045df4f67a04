import type { Clock } from '../../kernel/time.js'

/**
 * Counts what each source sends in a second. Beyond its share a source is refused until the second is over. There are at most
 * `sourcesMax` accounts; whoever comes later shares one.
 */
export class Budget {
  readonly #used = new Map<string, number>()
  #sinceMs = -Infinity

  constructor (private readonly clock: Clock, private readonly perS: number, private readonly sourcesMax: number) {}

  /** 'first' is the first refusal of this second: worth a word to the source. */
  take (source: string): 'taken' | 'first' | 'refused' {
    const nowMs = this.clock.monoMs()
    if (nowMs - this.#sinceMs >= 1_000) {
      this.#sinceMs = nowMs
      this.#used.clear()
    }
    const name = this.#used.has(source) || this.#used.size < this.sourcesMax ? source : ''
    const used = (this.#used.get(name) ?? 0) + 1
    this.#used.set(name, used)
    return used <= this.perS ? 'taken' : used === this.perS + 1 ? 'first' : 'refused'
  }
}
