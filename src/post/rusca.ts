import { KmeError } from '../kernel/errors.js'
import { checkSource, photonShare, sum } from './counts.js'
import type { BasisCounts, DecoySource, FiniteKey, Security, SiftedCounts } from './counts.js'
import { deviation, hoeffding, secretLength } from './finite.js'

/** Error terms of the composition: eps_sec = 19 eps; 6 of them enter the length. Never mix with Lim's 21. */
const TERMS = 19

/** Vacuum events from below (they add to the length) and single photons from below, for which vacuum must be bounded from ABOVE. */
const photonEvents = (basis: BasisCounts, source: DecoySource, eps: number): { vacuum: number, single: number } => {
  const [mu1, mu2] = source.intensities as [number, number]
  const tau0 = photonShare(source, 0), tau1 = photonShare(source, 1)
  const { low, high } = hoeffding(basis.detections, source, eps)
  const spreadN = deviation(sum(basis.detections), eps), spreadM = deviation(sum(basis.errors), eps)
  const vacuumHigh = Math.min(...basis.errors.map((m, i) =>
    2 * (tau0 * Math.exp(source.intensities[i]!) / source.probabilities[i]! * (m + spreadM) + spreadN)))
  const vacuum = Math.max(0, tau0 / (mu1 - mu2) * (mu1 * low[1]! - mu2 * high[0]!))
  const share = mu2 * mu2 / (mu1 * mu1)
  const single = tau1 * mu1 / (mu2 * (mu1 - mu2)) * (low[1]! - share * high[0]! - (1 - share) * vacuumHigh / tau0)
  return { vacuum, single: Math.max(0, single) }
}

/**
 * Secret length of a block with one decoy.
 *
 * @param counts  `key` is the paper's Z basis, whose errors by intensity must be known (after error
 *   correction); `test` is its X basis.
 * @param leakBits  lambda_EC: bits really disclosed by error correction.
 * @throws KmeError `BAD_REQUEST` unless there are two intensities, mu1 > mu2 > 0.
 * @see Rusca, Boaron, Gruenenfelder, Martin, Zbinden, APL 112 171104 (2018), appendix A
 */
export const ruscaKey = (source: DecoySource, counts: SiftedCounts, leakBits: number, security: Security): FiniteKey => {
  checkSource(source, 2)
  const [mu1, mu2] = source.intensities as [number, number]
  if (mu2 <= 0) throw new KmeError('BAD_REQUEST', 'one decoy needs a decoy intensity above 0')
  const eps = security.secrecy / TERMS
  const errors = hoeffding(counts.test.errors, source, eps)
  const phaseErrorsTest = Math.max(0, photonShare(source, 1) / (mu1 - mu2) * (errors.high[0]! - errors.low[1]!))
  const singleTest = photonEvents(counts.test, source, eps).single
  return secretLength({ ...photonEvents(counts.key, source, eps), singleTest, phaseErrorsTest }, leakBits, TERMS, security)
}
