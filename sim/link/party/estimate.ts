import { sum } from '../analysis/counts.js'
import type { FiniteKey, NoKeyReason, Security, SiftedCounts } from '../analysis/counts.js'
import { binaryEntropy, entropyOfBound } from '../analysis/entropy.js'
import { limKey } from '../analysis/lim.js'
import { ruscaKey } from '../analysis/rusca.js'
import type { LinkConfig } from '../physics/config.js'

/**
 * How long a block's secret key is. The formula follows from the source: three intensities Lim 2014, two
 * Rusca 2018; one has no decoys and never gives a key here, nor does a source without random phases.
 *
 * @param leakBits  Everything error correction disclosed, counted from its messages.
 */
export const estimateKey = (source: LinkConfig['source'], counts: SiftedCounts, leakBits: number, security: Security): FiniteKey => {
  if (!source.phaseRandomised) return noKey('phase not randomised', leakBits)
  if (source.intensities.length === 3) return limKey(source, counts, leakBits, security)
  if (source.intensities.length === 2) return ruscaKey(source, counts, leakBits, security)
  return noKey('no decoys', leakBits)
}

const noKey = (reason: NoKeyReason, leakBits: number): FiniteKey => ({
  bits: 0, bitsExact: -Infinity, noKey: reason, vacuum: 0, single: 0, singleTest: 0, phaseErrorsTest: 0, phaseError: NaN, leakBits,
})

/**
 * What a system believes that looks at the QBER alone, as if each pulse were one photon. NOT secure; it is
 * here to show what photon-number splitting does to a system without decoys.
 */
export const naiveKeyBits = (counts: SiftedCounts, leakBits: number): number => {
  const tests = sum(counts.test.detections)
  if (tests === 0) return 0
  const bits = sum(counts.key.detections) * (1 - entropyOfBound(sum(counts.test.errors) / tests)) - leakBits
  return Math.max(0, Math.floor(bits))
}

/** Leak of error correction at efficiency f: f n h(E). What a simulation without real error correction assumes. */
export const assumedLeakBits = (counts: SiftedCounts, efficiency: number): number => {
  const n = sum(counts.key.detections)
  return n === 0 ? 0 : efficiency * n * binaryEntropy(sum(counts.key.errors) / n)
}
