import { KmeError } from '../../../src/kernel/errors.js'
import type { Gain, GainModel, MaChannel } from './channel.js'
import { photonYield } from './channel.js'
import { binaryEntropy, entropyOfBound } from '../../../src/post/entropy.js'
import { poisson } from './special.js'

/** Bounds on single photons, and the rate they give in secret bits per pulse sent (0 when there is no key). */
export interface AsymptoticKey {
  readonly rate: number
  /** Y1 and e1: yield and error of single photons (bounds, or the true values with infinite decoys). */
  readonly singleYield: number, readonly singleError: number
}

export interface GllpSettings {
  /** q: share of pulses with equal bases, 1/2 for unbiased BB84. */
  readonly siftShare: number
  /** f(E) of the error correction, relative to the Shannon limit. */
  readonly correctionEfficiency: number
}

const E0 = 0.5

/** R = q { -Q f h(E) + Q1 [1 - h(e1)] }: Gottesman, Lo, Luetkenhaus, Preskill 2004; Ma 2005 eq. (1). May be negative. */
const gllpRate = (g: Gain, singleGain: number, singleError: number, s: GllpSettings): number => s.siftShare *
  (singleGain * (1 - entropyOfBound(singleError)) - g.gain * s.correctionEfficiency * binaryEntropy(g.errorGain / g.gain))

const result = (signal: Gain, mu: number, singleYield: number, singleError: number, s: GllpSettings): AsymptoticKey => {
  const usable = singleYield > 0 && singleError >= 0
  const rate = usable ? gllpRate(signal, singleYield * mu * Math.exp(-mu), singleError, s) : 0
  return { rate: Math.max(0, rate), singleYield, singleError }
}

/**
 * Vacuum + weak decoy, asymptotic.
 *
 * @param mu  Signal, `nu` weak decoy, 0 < nu < mu; the third intensity is vacuum, whose gain is Y0.
 * @throws KmeError `BAD_REQUEST` if not 0 < nu < mu.
 * @see Ma, Qi, Zhao, Lo, PRA 72 012326 (2005), eqs. (34), (35), (37)
 */
export const vacuumWeakKey = (mu: number, nu: number, gains: GainModel, s: GllpSettings): AsymptoticKey => {
  if (!(nu > 0 && nu < mu)) throw new KmeError('BAD_REQUEST', `the weak decoy (${nu}) must lie between 0 and the signal (${mu})`)
  const signal = gains(mu), weak = gains(nu), y0 = gains(0).gain
  const share = nu * nu / (mu * mu)
  const y1 = mu / (mu * nu - nu * nu) *
    (weak.gain * Math.exp(nu) - signal.gain * Math.exp(mu) * share - (1 - share) * y0)
  const e1 = (weak.errorGain * Math.exp(nu) - E0 * y0) / (y1 * nu)
  return result(signal, mu, y1, e1, s)
}

/**
 * Two decoys in general, asymptotic. Only valid for 0 <= nu2 < nu1 and nu1 + nu2 < mu: the denominator
 * is also positive when both its factors are negative, so its sign alone proves nothing.
 *
 * @throws KmeError `BAD_REQUEST` if the rule is broken.
 * @see Ma 2005, eqs. (18), (21), (25)
 */
export const twoDecoyKey = (mu: number, nu1: number, nu2: number, gains: GainModel, s: GllpSettings): AsymptoticKey => {
  if (!(nu2 >= 0 && nu2 < nu1 && nu1 + nu2 < mu)) {
    throw new KmeError('BAD_REQUEST', `decoys need 0 <= nu2 < nu1 and nu1 + nu2 < mu, got mu ${mu}, nu1 ${nu1}, nu2 ${nu2}`)
  }
  const signal = gains(mu), a = gains(nu1), b = gains(nu2)
  const ea = Math.exp(nu1), eb = Math.exp(nu2)
  const y0 = Math.max(0, (nu1 * b.gain * eb - nu2 * a.gain * ea) / (nu1 - nu2))
  const y1 = mu / ((nu1 - nu2) * (mu - nu1 - nu2)) *
    (a.gain * ea - b.gain * eb - (nu1 * nu1 - nu2 * nu2) / (mu * mu) * (signal.gain * Math.exp(mu) - y0))
  const e1 = (a.errorGain * ea - b.errorGain * eb) / ((nu1 - nu2) * y1)
  return result(signal, mu, y1, e1, s)
}

/** The ceiling of every decoy method: Y1 and e1 known exactly. Ma 2005, section III.A. */
export const infiniteDecoyKey = (mu: number, channel: MaChannel, gains: GainModel, s: GllpSettings): AsymptoticKey => {
  const single = photonYield(channel, 1)
  return result(gains(mu), mu, single.gain, single.errorGain / single.gain, s)
}

/**
 * BB84 with weak pulses and no decoys, safely: every multi-photon pulse is Eve's, so only
 * Q - P(n >= 2) can be single photons and all errors are theirs. GLLP 2004, section 5.
 */
export const worstCaseKey = (mu: number, gains: GainModel, s: GllpSettings): AsymptoticKey => {
  const g = gains(mu)
  const single = g.gain - (1 - poisson(0, mu) - poisson(1, mu))
  const error = g.errorGain / single
  return { rate: single > 0 ? Math.max(0, gllpRate(g, single, error, s)) : 0, singleYield: single / poisson(1, mu), singleError: error }
}

/**
 * What a naive system without decoys believes: every click a single photon. NOT secure; here only to show
 * that photon-number splitting stays unnoticed without decoys. Shor and Preskill, PRL 85 441 (2000).
 */
export const naiveKey = (mu: number, gains: GainModel, s: GllpSettings): AsymptoticKey => {
  const g = gains(mu), error = g.errorGain / g.gain
  return { rate: Math.max(0, gllpRate(g, g.gain, error, s)), singleYield: g.gain / poisson(1, mu), singleError: error }
}
