import type { SiftedCounts } from '../../../src/post/counts.js'
import { BASIS_KEY, BASIS_TEST, CATEGORIES, category } from './law.js'
import type { Basis } from './law.js'

/** Counts of a stretch, as Alice and Bob together could know them. */
export interface Tally {
  readonly slots: number
  readonly detections: number
  readonly sifted: SiftedCounts
  /** Detections with different bases, by intensity, and how many of them were double clicks. */
  readonly mismatched: readonly number[], readonly mismatchedDoubles: number
  readonly doubles: number
}

/** Sorts counts by category into a tally of `intensities` (1 to 3) intensities. */
export const tally = (histogram: Float64Array, slots: number, intensities: number): Tally => {
  const levels = Array.from({ length: intensities }, (_, i) => i)
  const at = (i: number, a: Basis, b: Basis, wrong: 0 | 1): number => histogram[category(i, a, b, wrong, 0)]! + histogram[category(i, a, b, wrong, 1)]!
  const basis = (b: Basis) => ({
    detections: levels.map((i) => at(i, b, b, 0) + at(i, b, b, 1)),
    errors: levels.map((i) => at(i, b, b, 1)),
  })
  const apart = [[BASIS_KEY, BASIS_TEST], [BASIS_TEST, BASIS_KEY]] as const
  const mismatched = levels.map((i) => apart.reduce((s, [a, b]) => s + at(i, a, b, 0) + at(i, a, b, 1), 0))
  let doubles = 0, mismatchedDoubles = 0, detections = 0
  for (let code = 0; code < CATEGORIES; code++) {
    const n = histogram[code]!
    detections += n
    if ((code & 32) === 0) continue
    doubles += n
    if (((code >> 2) & 1) !== ((code >> 3) & 1)) mismatchedDoubles += n
  }
  return { slots, detections, sifted: { key: basis(BASIS_KEY), test: basis(BASIS_TEST) }, mismatched, mismatchedDoubles, doubles }
}

const add = (a: readonly number[], b: readonly number[]): number[] => a.map((x, i) => x + b[i]!)

/** Sum of two tallies of the same source. */
export const addTally = (a: Tally, b: Tally): Tally => {
  const basis = (which: 'key' | 'test') => ({
    detections: add(a.sifted[which].detections, b.sifted[which].detections),
    errors: add(a.sifted[which].errors, b.sifted[which].errors),
  })
  return {
    slots: a.slots + b.slots, detections: a.detections + b.detections, sifted: { key: basis('key'), test: basis('test') },
    mismatched: add(a.mismatched, b.mismatched), mismatchedDoubles: a.mismatchedDoubles + b.mismatchedDoubles, doubles: a.doubles + b.doubles,
  }
}

/** A tally of nothing. */
export const emptyTally = (intensities: number): Tally => tally(new Float64Array(CATEGORIES), 0, intensities)
