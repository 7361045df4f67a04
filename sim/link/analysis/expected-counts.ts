import { sum } from '../../../src/post/counts.js'
import type { BasisCounts, DecoySource, SiftedCounts } from '../../../src/post/counts.js'
import { binaryEntropy } from '../../../src/post/entropy.js'
import type { GainModel } from './channel.js'

/**
 * Counts expected in a block of exactly `keyBits` sifted key-basis bits.
 *
 * @param keyBasis  Probability of the key basis, at both sides.
 * @returns The counts, the pulses a live receiver needs for them, and the Shannon limit n h(E) in bits.
 */
export const expectedCounts = (
  source: DecoySource, keyBasis: number, gains: GainModel, keyBits: number,
): { counts: SiftedCounts, livePulses: number, shannonBits: number, qber: number } => {
  const seen = source.intensities.map(gains)
  const perPulse = sum(seen.map((g, i) => source.probabilities[i]! * g.gain))
  const livePulses = keyBits / (keyBasis * keyBasis * perPulse)
  const basis = (share: number): BasisCounts => ({
    detections: seen.map((g, i) => livePulses * share * source.probabilities[i]! * g.gain),
    errors: seen.map((g, i) => livePulses * share * source.probabilities[i]! * g.errorGain),
  })
  const counts = { key: basis(keyBasis ** 2), test: basis((1 - keyBasis) ** 2) }
  const qber = sum(counts.key.errors) / keyBits
  return { counts, livePulses, shannonBits: keyBits * binaryEntropy(qber), qber }
}
