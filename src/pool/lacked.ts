import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { LACKING_MAX } from './flights.js'
import { getRow, lackedKey, putRow } from './rows.js'

interface Row { readonly numbers: readonly number[] }

/**
 * The side that does not propose: numbers that it answered with 'missing' and that may come again. Any other number up to the highest
 * it has seen is dead, for no late message revives a block that was burned. None of these was ever stored here, so they stay over
 * new connections and over a stop in good order; what a crash forgets is refused.
 */
export class Lacked {
  private readonly numbers = new Set<number>()
  /** The row is written: it holds until one of its numbers is stored. */
  private isKept = false

  /** Takes the row of the last stop and strikes it out: whatever this start commits is on disk after that. */
  constructor (private readonly core: PoolCore) {
    const row = getRow<Row>(core.deps.kv, lackedKey(core.pool))
    if (row === undefined) return
    for (const number of row.numbers.slice(-LACKING_MAX)) this.numbers.add(number)
    core.deps.kv.transact((tx) => { tx.remove(lackedKey(core.pool)) })
  }

  has (number: number): boolean { return this.numbers.has(number) }

  /** At the bound the one is forgotten that was not asked for the longest. */
  add (number: number): void {
    this.numbers.delete(number)
    this.numbers.add(number)
    for (const oldest of this.numbers) {
      if (this.numbers.size <= LACKING_MAX) return
      this.numbers.delete(oldest)
    }
  }

  /** Its frames have come; called inside the commit that stores the block. */
  stored (tx: KvWriter, number: number): void {
    this.numbers.delete(number)
    if (this.isKept) tx.remove(lackedKey(this.core.pool))
    this.isKept = false
  }

  /** The block went by another way. */
  forget (number: number): void { this.numbers.delete(number) }

  /** The pool's stock is void, and this with it. */
  clear (): void { this.numbers.clear() }

  /** A stop in good order. Durable with the next flush. */
  keep (): void {
    if (this.numbers.size === 0) return
    this.isKept = true
    this.core.commit((tx) => { putRow(tx, lackedKey(this.core.pool), { numbers: [...this.numbers] } satisfies Row) })
  }
}
