import { sum } from '../../../src/post/counts.js'
import type { SiftedCounts } from '../../../src/post/counts.js'
import { binaryEntropy, entropyOfBound } from '../../../src/post/entropy.js'

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
