import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { claimsKey, tableOf } from './rows.js'

/**
 * Which blocks have rows of claims. Most have none when they are first asked for, and one or none when they go: to look for them is a walk of
 * the store each, which costs more than all else that an ended block costs.
 */
export class ClaimedBlocks {
  /** Of blocks that had none when the process started: the segments that were written since. */
  private readonly written = new Map<number, Set<number>>()
  /** They had rows before, perhaps of an earlier schema. */
  private readonly older = new Set<number>()

  constructor (private readonly core: PoolCore) {
    for (let from = 0; ;) {
      const number = this.firstFrom(from)
      if (number === undefined) return
      this.older.add(number)
      from = number + 1
    }
  }

  private firstFrom (number: number): number | undefined {
    const { deps, pool } = this.core
    for (const key of deps.kv.keys({ start: tableOf('claim', pool, number).start, end: tableOf('claim', pool).end, limit: 1 })) return key[2] as number
    return undefined
  }

  has (number: number): boolean { return this.written.has(number) || this.older.has(number) }

  put (number: number, segment: number): void {
    const segments = this.written.get(number)
    if (segments === undefined) this.written.set(number, new Set([segment]))
    else segments.add(segment)
  }

  /** Inside a commit. */
  remove (tx: KvWriter, number: number): void {
    const { deps, pool } = this.core, segments = this.written.get(number)
    if (this.older.delete(number)) for (const key of deps.kv.keys(tableOf('claim', pool, number))) tx.remove(key)
    if (segments !== undefined) for (const segment of segments) tx.remove(claimsKey(pool, number, segment))
    this.written.delete(number)
  }
}
