import { KmeError } from '../../../src/kernel/errors.js'
import { poisson } from '../analysis/special.js'
import { derive } from './config.js'
import type { LinkConfig } from './config.js'

/** An attack on the quantum channel. Shares are of all pulses, 0 to 1. */
export type Eve =
  /** Measures a share of the pulses in a random basis and sends on what she saw, with as many photons. */
  | { readonly kind: 'intercept-resend', readonly share: number }
  /** Blocks a share of the single photons, keeps one photon of each larger pulse, sends the rest over a better line. */
  | { readonly kind: 'photon-number-splitting', readonly blocked: number }
  /** Takes a share of the light: to Bob it is plain loss. */
  | { readonly kind: 'beam-splitting', readonly share: number }
  /** Measures everything like Bob, and makes his blinded detectors click with bright light when the bases agree. */
  | { readonly kind: 'blinding' }

/** What Eve has set up for one link so that the signal's gain does not change. */
export interface Attack {
  readonly eve: Eve
  /** Photon-number splitting: transmittance, receiver efficiency included, for what is left of larger pulses. */
  readonly lineTransmittance: number
  /** Blinding: efficiency of Eve's own receiver at Alice's door. */
  readonly eveEfficiency: number
  /** False if no lossless line is good enough: then the signal's gain falls, and shows her. */
  readonly gainKept: boolean
}

const PHOTONS_MAX = 40

/** Click probability of light of `photons` photons, transmittance `eta`, dark yield `y0`. */
const yieldOf = (photons: number, eta: number, y0: number): number => 1 - (1 - y0) * (1 - eta) ** photons

const splittingGain = (mu: number, blocked: number, honest: number, line: number, y0: number): number => {
  let gain = poisson(0, mu) * y0 + poisson(1, mu) * ((1 - blocked) * yieldOf(1, honest, y0) + blocked * y0)
  for (let n = 2; n <= PHOTONS_MAX; n++) gain += poisson(n, mu) * yieldOf(n - 1, line, y0)
  return gain
}

/**
 * Sets Eve up on a link. Photon-number splitting: the line is chosen so that Q of the signal is unchanged,
 * at best lossless. Blinding: Eve's efficiency is chosen for the same.
 *
 * @throws KmeError `BAD_REQUEST` for a share outside 0 to 1.
 */
export const setUpAttack = (config: LinkConfig, eve: Eve): Attack => {
  const share = eve.kind === 'photon-number-splitting' ? eve.blocked : eve.kind === 'blinding' ? 1 : eve.share
  if (!(share >= 0 && share <= 1)) throw new KmeError('BAD_REQUEST', `${eve.kind}: the share must be from 0 to 1, got ${share}`)
  const d = derive(config), mu = config.source.intensities[0]!
  const y0 = 1 - (1 - config.receiver.darkPerDetector) ** 2
  const wanted = -Math.expm1(-d.transmittance * mu) * (1 - y0) + y0
  if (eve.kind === 'blinding') {
    const gainKept = wanted < 0.5 * -Math.expm1(-mu)
    return { eve, lineTransmittance: 0, eveEfficiency: gainKept ? -Math.log1p(-2 * wanted) / mu : 1, gainKept }
  }
  if (eve.kind !== 'photon-number-splitting') return { eve, lineTransmittance: 0, eveEfficiency: 0, gainKept: true }
  let low = 0, high = config.receiver.efficiency
  const gain = (line: number): number => splittingGain(mu, eve.blocked, d.transmittance, line * d.gateShare, y0)
  if (gain(high) < wanted) return { eve, lineTransmittance: high, eveEfficiency: 0, gainKept: false }
  for (let i = 0; i < 200 && high - low > 1e-15 * high; i++) {
    const middle = (low + high) / 2
    if (gain(middle) < wanted) low = middle
    else high = middle
  }
  return { eve, lineTransmittance: high, eveEfficiency: 0, gainKept: true }
}
