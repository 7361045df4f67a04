import type { GainModel } from './channel.js'
import { liveFraction } from './channel.js'
import { sum } from '../../../src/post/counts.js'
import type { DecoySource, FiniteKey, Security } from '../../../src/post/counts.js'
import { limKey, limKeyPerBit } from '../../../src/post/lim.js'
import { ruscaKey } from '../../../src/post/rusca.js'
import { expectedCounts } from './expected-counts.js'

/** What Alice and Bob choose: intensities with their probabilities, and the probability of the key basis. */
export interface Choice extends DecoySource { readonly keyBasis: number }

/** How a finite key is evaluated: security either fixed, or proportional to the length (Lim's kappa). */
export interface FiniteSettings {
  readonly keyBits: number
  readonly correctionEfficiency: number
  readonly security: Security | { readonly secrecyPerBit: number, readonly correctness: number }
  /** Pulses per second and dead time: only they make the choice depend on the rate. */
  readonly pulseRateHz: number, readonly deadTimeS: number
  /** Which clicks blind the receiver: `key pairs` as Rusca 2018 writes it, or all of them, as it is. */
  readonly blindedBy: 'key pairs' | 'all clicks'
}

/** Gains on a channel, which may depend on what the source sends (after-pulses do). */
export type GainSource = (source: DecoySource) => GainModel

/** A block as expected from a channel. `rate` is in secret bits per pulse sent (dead time included), `rateBps` per second. */
export interface Expected extends FiniteKey {
  readonly rate: number, readonly rateBps: number, readonly pulses: number
  readonly qber: number, readonly live: number, readonly choice: Choice
}

const finite = (choice: Choice, counts: Parameters<typeof limKey>[1], leak: number, s: FiniteSettings): FiniteKey => {
  const security = s.security
  if ('secrecy' in security) return (choice.intensities.length === 2 ? ruscaKey : limKey)(choice, counts, leak, security)
  if (choice.intensities.length === 3) return limKeyPerBit(choice, counts, leak, security.secrecyPerBit, security.correctness)
  return ruscaKey(choice, counts, leak, { secrecy: security.secrecyPerBit * s.keyBits, correctness: security.correctness })
}

/**
 * The finite key expected of `choice` on a channel: two intensities are Rusca's one decoy, three Lim's two.
 * Dead time: Rusca 2018, appendix B, or with all clicks.
 */
export const expectedKey = (choice: Choice, channel: GainSource, s: FiniteSettings): Expected => {
  const gains = channel(choice)
  const { counts, livePulses, shannonBits, qber } = expectedCounts(choice, choice.keyBasis, gains, s.keyBits)
  const leak = s.correctionEfficiency * shannonBits
  const click = (s.blindedBy === 'key pairs' ? choice.keyBasis ** 2 : 1) * sum(choice.intensities.map((k, i) => choice.probabilities[i]! * gains(k).gain))
  const live = liveFraction(s.pulseRateHz, click, s.deadTimeS)
  const pulses = livePulses / live
  const key = finite(choice, counts, leak, s)
  const rate = key.bits === 0 ? 0 : key.bitsExact / pulses
  return { ...key, rate, rateBps: rate * s.pulseRateHz, pulses, qber, live, choice }
}
