import { invariant } from '../../../src/kernel/errors.js'
import { derive } from './config.js'
import type { Derived, LinkConfig } from './config.js'
import type { Attack } from './eve.js'
import { coherent, lightCases } from './light.js'
import type { LightCase } from './light.js'

/** Categories of a detection: intensity, both bases, right or wrong bit, double click. */
export const CATEGORIES = 64
export const BASIS_KEY = 0
export const BASIS_TEST = 1
export type Basis = typeof BASIS_KEY | typeof BASIS_TEST
/** Category number: intensity 0 to 2 in bits 0-1, Alice's basis bit 2, Bob's bit 3, wrong bit 4, double bit 5. */
export const category = (intensity: number, alice: Basis, bob: Basis, wrong: 0 | 1, double: 0 | 1): number =>
  intensity | (alice << 2) | (bob << 3) | (wrong << 4) | (double << 5)

/**
 * The law of one slot in which the receiver is live. Slots are independent and alike, up to dead time and
 * after-pulses; so counts over many slots are multinomial, and a GHz source costs nothing per pulse.
 */
export interface SlotLaw {
  /** Expected detections per live slot by category (64). */
  readonly outcomes: Float64Array
  /** Probability of a click; the sum of `outcomes` when no after-pulse is counted with its cause. */
  readonly clickProbability: number
  /** Extra detections per click (`own-class` after-pulses), else 0. */
  readonly repeat: number
  readonly deadSlots: number
}

interface Outcome { right: number, wrong: number, double: number }

/** Adds background hazards of both detectors to a case and tells what the detectors show. */
const observe = (c: LightCase, right: number, wrong: number, either: number, into: Outcome): void => {
  const silentRight = Math.expm1(-(c.right + right)), silentWrong = Math.expm1(-(c.wrong + wrong))
  const silent = Math.expm1(-(c.either + either))
  into.right += c.weight * (silentWrong - silent)
  into.wrong += c.weight * (silentRight - silent)
  into.double += c.weight * (silent - silentRight - silentWrong)
}

/**
 * Light of the two neighbouring pulses that jitter carries into this gate: their bit has nothing to do with
 * this one's, so it goes right or wrong with equal chance. Every intensity and basis is weighed exactly.
 */
const neighbours = (c: LinkConfig, d: Derived, bob: Basis): LightCase[] => {
  if (d.spill < 1e-15) return [{ weight: 1, right: 0, wrong: 0, either: 0 }]
  const match = bob === BASIS_KEY ? c.keyBasis : 1 - c.keyBasis
  const one = c.source.intensities.flatMap((k, i) => {
    const p = c.source.probabilities[i]!, mean = d.spill * k
    return [coherent(p * match / 2, mean, d.misalignment), coherent(p * match / 2, mean, 1 - d.misalignment), coherent(p * (1 - match), mean, 0.5)]
  })
  return one.flatMap((a) => one.map((b) =>
    ({ weight: a.weight * b.weight, right: a.right + b.right, wrong: a.wrong + b.wrong, either: a.either + b.either })))
}

/**
 * @param afterpulses  Mean number of after-pulses of earlier clicks in one live slot; each hits either detector
 *   with equal chance, so that detectors get independent Poisson numbers.
 */
const fill = (c: LinkConfig, d: Derived, afterpulses: number, attack?: Attack): Float64Array => {
  const outcomes = new Float64Array(CATEGORIES)
  const blinded = attack?.eve.kind === 'blinding' // Blinded detectors have neither dark counts nor after-pulses.
  const hazard = blinded ? 0 : afterpulses / 2 - Math.log1p(-c.receiver.darkPerDetector)
  for (const bob of [BASIS_KEY, BASIS_TEST] as const) {
    const background = neighbours(c, d, bob)
    for (const alice of [BASIS_KEY, BASIS_TEST] as const) {
      const bases = (alice === BASIS_KEY ? c.keyBasis : 1 - c.keyBasis) * (bob === BASIS_KEY ? c.keyBasis : 1 - c.keyBasis)
      c.source.intensities.forEach((k, i) => {
        const seen: Outcome = { right: 0, wrong: 0, double: 0 }
        for (const light of lightCases(d, k, alice === bob, attack)) {
          for (const b of background) {
            observe({ ...light, weight: light.weight * b.weight }, b.right + hazard, b.wrong + hazard, b.either + 2 * hazard, seen)
          }
        }
        const p = bases * c.source.probabilities[i]!
        // A double click becomes a random bit: dropping it would open the door to attacks.
        outcomes[category(i, alice, bob, 0, 0)] = p * seen.right
        outcomes[category(i, alice, bob, 1, 0)] = p * seen.wrong
        outcomes[category(i, alice, bob, 0, 1)] = outcomes[category(i, alice, bob, 1, 1)] = p * Math.max(0, seen.double) / 2
      })
    }
  }
  return outcomes
}

const total = (x: Float64Array): number => x.reduce((a, b) => a + b, 0)

/** Counts each after-pulse with the intensity and bases of its cause, as a random bit. */
const repeatOwnClass = (outcomes: Float64Array, probability: number): Float64Array => {
  const out = outcomes.slice()
  for (let code = 0; code < CATEGORIES; code++) {
    for (const wrong of [0, 16]) out[(code & 15) | wrong]! += outcomes[code]! * probability / 2
  }
  return out
}

/** The law of a link under an attack, or undisturbed. */
export const slotLaw = (config: LinkConfig, attack?: Attack): SlotLaw => {
  const d = derive(config), p = config.receiver.afterpulse
  const plain = fill(config, d, 0, attack), clicks = total(plain)
  invariant(clicks >= 0 && clicks <= 1 + 1e-12, 'click probability within 0 to 1')
  if (p === 0 || attack?.eve.kind === 'blinding') return { outcomes: plain, clickProbability: Math.min(1, clicks), repeat: 0, deadSlots: d.deadSlots }
  if (config.receiver.afterpulseLands === 'own-class') {
    return { outcomes: repeatOwnClass(plain, p), clickProbability: clicks, repeat: p, deadSlots: d.deadSlots }
  }
  // In the steady state the mean a = p C, where C = 1 - (1 - C0) e^-a.
  let mean = p * clicks
  for (let i = 0; i < 60; i++) mean = -p * Math.expm1(Math.log1p(-clicks) - mean)
  const outcomes = fill(config, d, mean, attack)
  return { outcomes, clickProbability: total(outcomes), repeat: 0, deadSlots: d.deadSlots }
}
