import { invariant } from '../../../src/kernel/errors.js'
import type { Xoshiro } from './xoshiro.js'

const CELLS = 64
const SCALE = 2 ** 26 // 6 of a word's 32 bits choose the cell, 26 are compared

/**
 * Draws categories 0 to 63 with given weights, one 32-bit word each (M. D. Vose, IEEE Trans. Softw. Eng. 17,
 * 972, 1991). A comparison that 26 bits cannot decide takes another word, so probabilities hold to 2^-64.
 */
export class AliasTable {
  private readonly whole = new Uint32Array(CELLS)
  private readonly rest = new Uint32Array(CELLS)
  private readonly alias = new Uint8Array(CELLS)

  /** @param weights  64 numbers, none negative, not all 0. */
  constructor (weights: Float64Array) {
    const total = weights.reduce((a, b) => a + b, 0)
    invariant(weights.length === CELLS && total > 0 && weights.every((w) => w >= 0), 'alias weights are 64 and not all 0')
    const scaled = Array.from(weights, (w) => w / total * CELLS)
    const small: number[] = [], large: number[] = []
    scaled.forEach((p, i) => { (p < 1 ? small : large).push(i) })
    while (small.length > 0 && large.length > 0) {
      const low = small.pop()!, high = large.pop()!
      this.set(low, scaled[low]!, high)
      scaled[high] = scaled[high]! + scaled[low]! - 1
      ;(scaled[high]! < 1 ? small : large).push(high)
    }
    // What rounding leaves over is a full cell, but a category of weight 0 must stay impossible.
    const heaviest = weights.indexOf(Math.max(...weights))
    for (const i of [...small, ...large]) this.set(i, weights[i] === 0 ? 0 : 1, weights[i] === 0 ? heaviest : i)
  }

  /** Fills `out` with draws. */
  fill (random: Xoshiro, out: Uint8Array): void {
    const { whole, rest, alias } = this, words = new Uint32Array(Math.min(out.length, 8192))
    for (let from = 0; from < out.length; from += words.length) {
      random.fillWords(words)
      const to = Math.min(out.length, from + words.length)
      for (let i = from; i < to; i++) {
        const word = words[i - from]!, cell = word >>> 26, low = word & 0x3ffffff, limit = whole[cell]!
        if (low < limit) out[i] = cell
        else if (low > limit) out[i] = alias[cell]!
        else out[i] = random.word() < rest[cell]! ? cell : alias[cell]!
      }
    }
  }

  private set (cell: number, share: number, other: number): void {
    const exact = Math.min(Math.max(share, 0), 1) * SCALE, floor = Math.floor(exact)
    this.whole[cell] = floor
    this.rest[cell] = Math.floor((exact - floor) * 2 ** 32)
    this.alias[cell] = other
  }
}
