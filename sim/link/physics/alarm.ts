import type { LinkConfig } from './config.js'
import type { Tally } from './tally.js'

export type AlarmKind = 'qber' | 'double clicks missing' | 'dark counts missing'
/** Something in Bob's clicks that an undisturbed receiver does not do. `sigmas` is signed; its size is at least the threshold. */
export interface Alarm { readonly kind: AlarmKind, readonly sigmas: number, readonly observed: number, readonly expected: number }

/** Chance of a false alarm about 1e-9 per check. */
const SIGMAS = 6

/** Deviation of a Poisson count in standard deviations, also for small numbers (Anscombe, Biometrika 35, 246, 1948). */
const sigmasOf = (observed: number, expected: number): number =>
  2 * (Math.sqrt(observed + 3 / 8) - Math.sqrt(expected + 3 / 8))

/** What an undisturbed receiver would have counted. Adds up over stretches, also when the link changes between them. */
export interface Evidence { readonly doubles: number, readonly dark: number }

export const noEvidence: Evidence = { doubles: 0, dark: 0 }
export const addEvidence = (a: Evidence, b: Evidence): Evidence => ({ doubles: a.doubles + b.doubles, dark: a.dark + b.dark })

/**
 * What to expect in a stretch of `liveSlots` slots. Double clicks, where the bases differ: there both
 * detectors click with equal chance x, so s clicks in n pulses mean 1-(1-x)^2 = s/n and n x^2 doubles,
 * whatever the channel did to the light. Dark counts, at the weakest intensity: at least Y0.
 */
export const expectClicks = (config: LinkConfig, seen: Tally, liveSlots: number): Evidence => {
  const pulses = liveSlots * 2 * config.keyBasis * (1 - config.keyBasis), { probabilities } = config.source
  const doubles = seen.mismatched.reduce((sum, s, i) => {
    const n = pulses * probabilities[i]!
    return n <= s ? sum : sum + n * (1 - Math.sqrt(1 - s / n)) ** 2
  }, 0)
  return { doubles, dark: liveSlots * probabilities[probabilities.length - 1]! * (1 - (1 - config.receiver.darkPerDetector) ** 2) }
}

/**
 * Checks click statistics against the receiver's own calibration. Detectors that bright light controls make
 * neither dark counts nor double clicks (Lydersen et al., Nat. Photon. 4, 686, 2010); this notices both. It
 * is an alarm, not a proof: no rate formula covers blinded detectors.
 *
 * @param seen  Counts over a stretch, and `expected` what `expectClicks` said of it.
 * @param qberAbort  QBER of the sifted bits, both bases, from which the link is given up.
 */
export const clickAlarms = (seen: Tally, expected: Evidence, qberAbort: number): Alarm[] => {
  const alarms: Alarm[] = []
  const total = (which: 'detections' | 'errors'): number =>
    [...seen.sifted.key[which], ...seen.sifted.test[which]].reduce((a, b) => a + b, 0)
  const sifted = total('detections'), errors = total('errors')
  const qberSigmas = sifted === 0 ? 0 : (errors - qberAbort * sifted) / Math.sqrt(sifted * qberAbort * (1 - qberAbort))
  if (qberSigmas >= 3) alarms.push({ kind: 'qber', sigmas: qberSigmas, observed: errors / sifted, expected: qberAbort })
  const { doubles, dark } = expected, doubleSigmas = sigmasOf(seen.mismatchedDoubles, doubles)
  if (doubleSigmas <= -SIGMAS) alarms.push({ kind: 'double clicks missing', sigmas: doubleSigmas, observed: seen.mismatchedDoubles, expected: doubles })
  const weakest = seen.mismatched.length - 1
  const clicks = seen.sifted.key.detections[weakest]! + seen.sifted.test.detections[weakest]! + seen.mismatched[weakest]!
  const darkSigmas = sigmasOf(clicks, dark)
  if (darkSigmas <= -SIGMAS) alarms.push({ kind: 'dark counts missing', sigmas: darkSigmas, observed: clicks, expected: dark })
  return alarms
}
