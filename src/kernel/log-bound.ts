import type { Cancel, Clock } from './time.js'

/** One kind of line that repeats: how often it was held back in this interval, and its last fields. */
interface Spell<T> { held: number, last: T | undefined, readonly cancel: Cancel }

/** Lines of more kinds than this at a time share one kind, so that the bound itself is bounded. */
const KINDS_MAX = 1_000
const OTHERS = '(other repeated lines)'

/**
 * Bounds repeated lines: the first of its kind passes at once; those that follow within `intervalMs` are held back,
 * and when the interval ends one line tells how many there were, with the fields of the last. A kind that stays
 * quiet for an interval passes at once again. Holds at most 1,000 kinds; beyond that, new kinds count as one.
 */
export class RepeatBound<T> {
  readonly #spells = new Map<string, Spell<T>>()

  /** @param release Writes the line that stands for `held` lines; called from a timer, must not throw. */
  constructor (
    private readonly clock: Clock, private readonly intervalMs: number,
    private readonly release: (kind: string, held: number, last: T) => void,
  ) {}

  /** @returns true if the caller is to write this line now, false if it is counted instead. */
  admit (kind: string, fields: T): boolean {
    const name = this.#spells.has(kind) || this.#spells.size < KINDS_MAX ? kind : OTHERS
    const spell = this.#spells.get(name)
    if (spell === undefined) {
      this.#begin(name)
      return true
    }
    spell.held += 1
    spell.last = fields
    return false
  }

  /** Kinds that are within their interval now. */
  get kinds (): number { return this.#spells.size }

  /** Writes what is held back, at once: before the process ends. */
  flush (): void {
    for (const [kind, spell] of this.#spells) {
      spell.cancel()
      this.#tell(kind, spell)
    }
    this.#spells.clear()
  }

  #begin (kind: string): void {
    this.#spells.set(kind, { held: 0, last: undefined, cancel: this.clock.after(this.intervalMs, () => { this.#end(kind) }) })
  }

  #end (kind: string): void {
    const spell = this.#spells.get(kind)
    this.#spells.delete(kind)
    if (spell === undefined || spell.held === 0) return
    this.#tell(kind, spell)
    this.#begin(kind) // Still repeating: the next ones are counted too.
  }

  #tell (kind: string, spell: Spell<T>): void {
    if (spell.held > 0 && spell.last !== undefined) this.release(kind, spell.held, spell.last)
  }
}
