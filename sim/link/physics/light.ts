import { poisson } from '../analysis/special.js'
import type { Attack } from './eve.js'
import type { Derived } from './config.js'

/**
 * One way the light of a pulse may meet Bob's two detectors, and how often: `right` shows Alice's bit. The
 * numbers are -ln of the probability that the detector (or neither) stays silent, so that tiny click
 * probabilities keep their digits. Infinity: clicks for certain.
 */
export interface LightCase { readonly weight: number, readonly right: number, readonly wrong: number, readonly either: number }

/** Laser pulse of mean `mean` at the detectors: a beam splitter makes independent Poisson streams of it. */
export const coherent = (weight: number, mean: number, error: number): LightCase =>
  ({ weight, right: mean * (1 - error), wrong: mean * error, either: mean })

/** Exactly n photons, each detected with probability eta. */
const fock = (weight: number, photons: number, eta: number, error: number): LightCase => ({
  weight, right: -photons * Math.log1p(-eta * (1 - error)), wrong: -photons * Math.log1p(-eta * error), either: -photons * Math.log1p(-eta),
})

const dark = (weight: number): LightCase => ({ weight, right: 0, wrong: 0, either: 0 })
const forced = (weight: number, right: boolean): LightCase =>
  ({ weight, right: right ? Infinity : 0, wrong: right ? 0 : Infinity, either: Infinity })

const TAIL = 1e-16

/** What Bob's detectors see of a pulse of mean photon number `intensity` when his basis is Alice's (`same`) or not. */
export const lightCases = (d: Derived, intensity: number, same: boolean, attack?: Attack): LightCase[] => {
  const error = same ? d.misalignment : 0.5, mean = d.transmittance * intensity
  const eve = attack?.eve
  if (attack === undefined || eve === undefined) return [coherent(1, mean, error)]
  switch (eve.kind) {
    case 'beam-splitting': return [coherent(1, mean * (1 - eve.share), error)]
    case 'intercept-resend': {
      // In half of her measurements the basis is not Alice's, and if Bob's is hers he finds her random bit.
      const half = eve.share / 2, e = d.misalignment
      return same
        ? [coherent(1 - half, mean, e), coherent(half, mean, 0.5)]
        : [coherent(1 - half, mean, 0.5), coherent(half / 2, mean, e), coherent(half / 2, mean, 1 - e)]
    }
    case 'photon-number-splitting': {
      const one = poisson(1, intensity)
      const cases = [dark(poisson(0, intensity) + one * eve.blocked), fock(one * (1 - eve.blocked), 1, d.transmittance, error)]
      let left = -Math.expm1(-intensity) - one
      for (let n = 2; left > TAIL && n < 60; n++) {
        cases.push(fock(poisson(n, intensity), n - 1, attack.lineTransmittance * d.gateShare, error))
        left -= poisson(n, intensity)
      }
      return cases
    }
    case 'blinding': {
      // Bob clicks only in Eve's basis. In Alice's basis she knows the bit, in the other one she guesses.
      const seen = -Math.expm1(-attack.eveEfficiency * intensity) / 2
      return [dark(1 - seen), forced(seen * (1 - error), true), forced(seen * error, false)]
    }
  }
}
