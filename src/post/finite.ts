import { entropyOfBound } from './entropy.js'
import { sum } from './counts.js'
import type { DecoySource, FiniteKey, NoKeyReason, Security } from './counts.js'

/** n^- and n^+ by intensity, scaled by e^k / p_k. */
export interface Bounds { readonly low: readonly number[], readonly high: readonly number[] }

/**
 * Hoeffding bounds on counts by intensity: the deviation sqrt(n ln(1/eps) / 2) is that of the TOTAL n, for
 * every intensity. Lim 2014, below eq. (3); Rusca 2018, eqs. (A17), (A18) (as printed, (A18) lacks e^k/p_k).
 */
export const hoeffding = (counts: readonly number[], source: DecoySource, eps: number): Bounds => {
  const spread = deviation(sum(counts), eps)
  const scaled = (sign: 1 | -1): number[] => counts.map((n, i) =>
    Math.exp(source.intensities[i]!) / source.probabilities[i]! * (n + sign * spread))
  return { low: scaled(-1), high: scaled(1) }
}

/** delta(n, eps) = sqrt(n ln(1/eps) / 2). */
export const deviation = (n: number, eps: number): number => Math.sqrt(n * Math.log(1 / eps) / 2)

/**
 * gamma(a, b, c, d): by how much the phase error of d key-basis photons may exceed the rate b measured on
 * c test photons, except with probability a. Natural log outside, base 2 inside. Lim 2014, eq. (5).
 * It vanishes with b, so b counts as at least one error in c: else an empty test would prove everything.
 *
 * @param terms  21 for Lim, 19 for Rusca.
 */
export const samplingDeviation = (a: number, b: number, c: number, d: number, terms: number): number => {
  const rate = Math.max(b, 1 / c), spread = (1 - rate) * rate
  if (!(spread > 0)) return 1
  return Math.sqrt((c + d) * spread / (c * d * Math.LN2) * Math.log2((c + d) / (c * d * spread) * (terms / a) ** 2))
}

/** Single-photon estimates of a block: all in events; `phaseErrorsTest` from above, the others from below. */
export interface PhotonBounds {
  readonly vacuum: number, readonly single: number, readonly singleTest: number, readonly phaseErrorsTest: number
}

/**
 * ell = s0 + s1 (1 - h(phi)) - lambda_EC - 6 log2(terms/eps_sec) - log2(2/eps_cor), with every way to have none.
 * Lim 2014, eq. (1); Rusca 2018, eq. (A25).
 */
export const secretLength = (bounds: PhotonBounds, leakBits: number, terms: number, security: Security): FiniteKey => {
  const { vacuum, single, singleTest, phaseErrorsTest } = bounds
  const ratio = phaseErrorsTest / singleTest
  const phaseError = singleTest > 0 && single > 0
    ? ratio + samplingDeviation(security.secrecy, ratio, singleTest, single, terms)
    : NaN
  const state = { ...bounds, phaseError, leakBits }
  const stop = (noKey: NoKeyReason): FiniteKey => ({ ...state, bits: 0, bitsExact: -Infinity, noKey })
  if (!(singleTest > 0)) return stop('no single photons in the test basis')
  if (!(single > 0)) return stop('no single photons in the key basis')
  if (!(phaseError < 0.5)) return stop('phase error at or above 1/2')
  const bitsExact = vacuum + single * (1 - entropyOfBound(phaseError)) - leakBits -
    6 * Math.log2(terms / security.secrecy) - Math.log2(2 / security.correctness)
  if (!(bitsExact >= 1)) return { ...state, bits: 0, bitsExact, noKey: 'nothing left' }
  return { ...state, bits: Math.floor(bitsExact), bitsExact }
}
