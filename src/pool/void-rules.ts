import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { decodeRow, encodeRow, tableOf, voidKey, type BlockRow, type Owner } from './rows.js'

/** A place in a lane: bytes of the block with this lane index. */
export interface LanePlace { readonly index: number, readonly offset: number }
/** Everything of a lane from one place up to another, which is not in it. */
export interface LaneStretch { readonly from: LanePlace, readonly to: LanePlace }

/** Stretches of one lane at most; beyond, the two with the smallest gap become one: more is void, never less. */
export const STRETCHES_MAX = 512
const laneOf: Readonly<Record<Owner, number>> = { mine: 0, theirs: 1 }

/** Negative, 0 or positive, as the first lies before, at or behind the second. */
export const comparePlaces = (a: LanePlace, b: LanePlace): number => a.index - b.index || a.offset - b.offset

/**
 * Stretches of both lanes of a pool whose keys are void: said by an operator, here or at the other KME. Rows
 * `['void', pool, lane, index, offset]`. A stretch stays until no block of it is left: after that its lane indices are dead anyway.
 */
export class VoidRules {
  /** In order, without overlaps. */
  private readonly stretches: Record<Owner, LaneStretch[]> = { mine: [], theirs: [] }

  constructor (private readonly core: PoolCore) {
    for (const { key, value } of core.deps.kv.range(tableOf('void', core.pool))) {
      const owner: Owner = key[2] === laneOf.mine ? 'mine' : 'theirs'
      this.stretches[owner].push({ from: { index: key[3] as number, offset: key[4] as number }, to: decodeRow<LanePlace>(value) })
    }
  }

  get size (): number { return this.stretches.mine.length + this.stretches.theirs.length }

  /** Whether a byte of [from, to) of the block is void. */
  covers (block: BlockRow, from: number, to: number): boolean {
    const list = this.stretches[block.owner]
    let low = 0, high = list.length
    while (low < high) { // The first stretch that ends behind `from`.
      const middle = low + high >>> 1
      if (comparePlaces(list[middle]!.to, { index: block.index, offset: from }) <= 0) low = middle + 1
      else high = middle
    }
    const next = list[low]
    return block.index > 0 && next !== undefined && comparePlaces(next.from, { index: block.index, offset: to }) < 0
  }

  /** Inside a commit. An empty stretch does nothing. */
  add (tx: KvWriter, owner: Owner, stretch: LaneStretch): void {
    if (comparePlaces(stretch.from, stretch.to) >= 0) return
    const list = this.stretches[owner]
    const touched = list.filter((s) => comparePlaces(s.from, stretch.to) <= 0 && comparePlaces(stretch.from, s.to) <= 0)
    this.replace(tx, owner, touched, [...touched, stretch])
    while (list.length > STRETCHES_MAX) {
      const at = this.smallestGap(list), pair = list.slice(at, at + 2)
      this.replace(tx, owner, pair, pair)
    }
  }

  /** One stretch from the first to the last place of `whole` in the place of `old`. */
  private replace (tx: KvWriter, owner: Owner, old: readonly LaneStretch[], whole: readonly LaneStretch[]): void {
    const from = whole.map((s) => s.from).reduce((a, b) => comparePlaces(a, b) <= 0 ? a : b)
    const to = whole.map((s) => s.to).reduce((a, b) => comparePlaces(a, b) >= 0 ? a : b)
    this.remove(tx, owner, old)
    const list = this.stretches[owner]
    list.push({ from, to })
    list.sort((a, b) => comparePlaces(a.from, b.from))
    tx.put(this.keyOf(owner, from), encodeRow(to))
  }

  private remove (tx: KvWriter, owner: Owner, old: readonly LaneStretch[]): void {
    for (const s of old) tx.remove(this.keyOf(owner, s.from))
    this.stretches[owner].splice(0, Infinity, ...this.stretches[owner].filter((s) => !old.includes(s)))
  }

  private keyOf (owner: Owner, from: LanePlace): ReturnType<typeof voidKey> { return voidKey(this.core.pool, laneOf[owner], from.index, from.offset) }

  private smallestGap (list: readonly LaneStretch[]): number {
    let best = 0, least = Infinity
    for (let i = 0; i + 1 < list.length; i++) {
      const gap = list[i + 1]!.from.index - list[i]!.to.index
      if (gap < least) { best = i; least = gap }
    }
    return best
  }

  /** Forgets stretches that end below the first block of their lane that is still here. */
  prune (): void {
    if (this.size === 0) return
    const first: Record<Owner, number> = { mine: this.core.meta.horizonMine + 1, theirs: this.core.meta.horizonTheirs + 1 }
    for (const b of this.core.blocks.values()) if (b.index > 0) first[b.owner] = Math.min(first[b.owner], b.index)
    const isDead = (owner: Owner) => ({ to }: LaneStretch): boolean => to.index < first[owner] || (to.index === first[owner] && to.offset === 0)
    const mine = this.stretches.mine.filter(isDead('mine')), theirs = this.stretches.theirs.filter(isDead('theirs'))
    if (mine.length + theirs.length > 0) this.core.commit((tx) => { this.remove(tx, 'mine', mine); this.remove(tx, 'theirs', theirs) })
  }

  /** The pool is void. Inside a commit. */
  clear (tx: KvWriter): void { for (const owner of ['mine', 'theirs'] as const) this.remove(tx, owner, this.stretches[owner]) }
}
