import { KmeError } from '../kernel/errors.js'
import { checkSource, photonShare, sum } from './counts.js'
import type { BasisCounts, DecoySource, FiniteKey, Security, SiftedCounts } from './counts.js'
import { hoeffding, secretLength } from './finite.js'

/** Error terms of the composition: eps_sec = 21 eps; 6 of them enter the length. Never mix with Rusca's 19. */
const TERMS = 21

/** Eqs. (2) and (3): vacuum and single-photon events of one basis, both from below and at least 0. */
const photonEvents = (basis: BasisCounts, source: DecoySource, eps: number): { vacuum: number, single: number } => {
  const [mu1, mu2, mu3] = source.intensities as [number, number, number]
  const { low, high } = hoeffding(basis.detections, source, eps)
  const tau0 = photonShare(source, 0), tau1 = photonShare(source, 1)
  const vacuum = Math.max(0, tau0 * (mu2 * low[2]! - mu3 * high[1]!) / (mu2 - mu3))
  const rest = (mu2 * mu2 - mu3 * mu3) / (mu1 * mu1) * (high[0]! - vacuum / tau0)
  const single = tau1 * mu1 * (low[1]! - high[2]! - rest) / (mu1 * (mu2 - mu3) - mu2 * mu2 + mu3 * mu3)
  return { vacuum, single: Math.max(0, single) }
}

/**
 * Secret length of a block with two decoys, for given security.
 *
 * @param counts  `key` is the paper's X basis, `test` its Z basis. Real numbers are welcome (expectations).
 * @param leakBits  lambda_EC: bits really disclosed by error correction.
 * @throws KmeError `BAD_REQUEST` unless mu1 > mu2 + mu3 and mu2 > mu3 >= 0.
 * @see Lim, Curty, Walenta, Xu, Zbinden, PRA 89 022307 (2014), eqs. (1) to (5)
 */
export const limKey = (source: DecoySource, counts: SiftedCounts, leakBits: number, security: Security): FiniteKey => {
  checkSource(source, 3)
  const [mu1, mu2, mu3] = source.intensities as [number, number, number]
  if (mu1 <= mu2 + mu3) throw new KmeError('BAD_REQUEST', `two decoys need mu1 > mu2 + mu3, got ${mu1}, ${mu2}, ${mu3}`)
  const eps = security.secrecy / TERMS
  const errors = hoeffding(counts.test.errors, source, eps)
  const phaseErrorsTest = Math.max(0, photonShare(source, 1) * (errors.high[1]! - errors.low[2]!) / (mu2 - mu3))
  const singleTest = photonEvents(counts.test, source, eps).single
  return secretLength({ ...photonEvents(counts.key, source, eps), singleTest, phaseErrorsTest }, leakBits, TERMS, security)
}

/**
 * The same with secrecy proportional to the length, eps_sec = kappa ell, as the paper evaluates it. The
 * greatest fixed point is reached from above by secants: ell grows with eps_sec as its logarithm, so
 * x - ell(kappa x) is convex and a secant never jumps below the root.
 *
 * @param secrecyPerBit  kappa.
 */
export const limKeyPerBit = (
  source: DecoySource, counts: SiftedCounts, leakBits: number, secrecyPerBit: number, correctness: number,
): FiniteKey => {
  const at = (bits: number): FiniteKey => limKey(source, counts, leakBits, { secrecy: secrecyPerBit * bits, correctness })
  let bits = sum(counts.key.detections), key = at(bits), before = { bits: 0, excess: 0 }
  for (let i = 0; i < 200 && key.bits > 0; i++) {
    const excess = bits - key.bitsExact
    if (Math.abs(excess) <= 1e-11 * bits) return key
    const secant = bits - excess * (bits - before.bits) / (excess - before.excess)
    before = { bits, excess }
    bits = i > 0 && secant >= 1 && secant < bits ? secant : key.bitsExact
    key = at(bits)
  }
  // Here the length fell to nothing, or crawls through a gap where a fixed point only just does not exist.
  return { ...key, bits: 0, bitsExact: Math.min(key.bitsExact, 0), noKey: key.noKey ?? 'nothing left' }
}
