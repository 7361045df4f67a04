import { usableBytes, type BlockRow } from './rows.js'

interface Entry { readonly block: BlockRow, readonly at: number, freeBytes: number }

/** The front part of the array is given back when it is this long and half of the whole. */
const SPENT_MAX = 1_024

const free = (block: BlockRow): number => usableBytes(block) - block.spent

/**
 * Blocks of a lane in a fixed order, with the sum of what is left in them: neither to take the first, nor to find one, nor
 * to ask for the sum walks the list. Blocks are nearly always added in their order.
 */
export class BlockList {
  private entries: Entry[] = []
  private start = 0
  private sum = 0

  constructor (private readonly orderOf: (block: BlockRow) => number) {}

  get size (): number { return this.entries.length - this.start }
  /** Bytes left in all of them. */
  get freeBytes (): number { return this.sum }
  get first (): BlockRow | undefined { return this.entries[this.start]?.block }

  has (block: BlockRow): boolean { return this.entries[this.place(this.orderOf(block))]?.block === block }

  add (block: BlockRow): void {
    const at = this.orderOf(block), entry = { block, at, freeBytes: free(block) }
    this.sum += entry.freeBytes
    const last = this.entries.at(-1)
    if (this.size === 0 || last === undefined || last.at < at) this.entries.push(entry)
    else this.entries.splice(this.place(at), 0, entry)
  }

  shift (): BlockRow | undefined {
    const entry = this.entries[this.start]
    if (entry === undefined) return undefined
    this.sum -= entry.freeBytes
    this.start++
    if (this.start >= SPENT_MAX && this.start * 2 >= this.entries.length) {
      this.entries = this.entries.slice(this.start)
      this.start = 0
    }
    return entry.block
  }

  /** The block's row says that more of it is spent, or less. */
  changed (block: BlockRow): void {
    const entry = this.entries[this.place(this.orderOf(block))]
    if (entry?.block !== block) return
    this.sum += free(block) - entry.freeBytes
    entry.freeBytes = free(block)
  }

  /** Takes up to `count` off the end, in their order. */
  takeLast (count: number): BlockRow[] {
    const taken = this.entries.splice(Math.max(this.start, this.entries.length - count))
    for (const { freeBytes } of taken) this.sum -= freeBytes
    return taken.map(({ block }) => block)
  }

  /** Takes out every block that fits. @returns them, in their order. */
  removeIf (which: (block: BlockRow) => boolean): BlockRow[] {
    const out: BlockRow[] = []
    for (let i = this.start; i < this.entries.length; i++) { // Asked four times a second, of thousands.
      const { block } = this.entries[i]!
      if (which(block)) out.push(block)
    }
    if (out.length > 0) {
      const gone = new Set(out), rest = [...this].filter((block) => !gone.has(block))
      this.clear()
      for (const block of rest) this.add(block)
    }
    return out
  }

  remove (block: BlockRow): boolean {
    const place = this.place(this.orderOf(block)), entry = this.entries[place]
    if (entry?.block !== block) return false
    this.entries.splice(place, 1)
    this.sum -= entry.freeBytes
    return true
  }

  clear (): void {
    this.entries = []
    this.start = this.sum = 0
  }

  * [Symbol.iterator] (): Generator<BlockRow> {
    for (let i = this.start; i < this.entries.length; i++) yield this.entries[i]!.block
  }

  /** Where an entry of this order is, or would be. */
  private place (at: number): number {
    let low = this.start, high = this.entries.length
    while (low < high) {
      const middle = low + high >>> 1
      if (this.entries[middle]!.at < at) low = middle + 1
      else high = middle
    }
    return low
  }
}
