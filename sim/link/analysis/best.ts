import { sum } from '../../../src/post/counts.js'
import { expectedKey } from './expected.js'
import type { Choice, Expected, FiniteSettings, GainSource } from './expected.js'
import { logistic, logit, minimise } from './optimise.js'

/** Less is better: minus the logarithm of the rate, or, without key, how far the block is from having one. */
const cost = (key: Expected): number => {
  if (key.rate > 0) return -Math.log(key.rate)
  if (Number.isFinite(key.bitsExact)) return 200 - key.bitsExact / sum([key.single, 1])
  return 1_000 + (Number.isNaN(key.phaseError) ? 1_000 : Math.min(900, key.phaseError))
}

const INTENSITY_MAX = 1.2

/** Two decoys: x = [mu1, mu2 below mu1 - mu3, p1 and p2 against p3, key basis], all of the real line. */
const twoDecoys = (mu3: number) => ({
  starts: [[0.45, 0.2, 0.4, 0.4, 0.85], [0.43, 0.17, 0.75, 0.16, 0.93], [0.45, 0.16, 0.1, 0.56, 0.63], [0.7, 0.12, 0.5, 0.3, 0.9]],
  encode: ([mu1, mu2, p1, p2, q]: readonly number[]): number[] => [
    logit(mu1!, 3 * mu3, INTENSITY_MAX), logit(mu2!, mu3, mu1! - mu3),
    Math.log(p1! / (1 - p1! - p2!)), Math.log(p2! / (1 - p1! - p2!)), logit(q!),
  ],
  decode: ([a, b, c, d, e]: readonly number[]): Choice => {
    const mu1 = logistic(a!, 3 * mu3, INTENSITY_MAX), mu2 = logistic(b!, mu3, mu1 - mu3)
    const all = Math.exp(c!) + Math.exp(d!) + 1
    return { intensities: [mu1, mu2, mu3], probabilities: [Math.exp(c!) / all, Math.exp(d!) / all, 1 / all], keyBasis: logistic(e!) }
  },
})

/** One decoy: x = [mu1, mu2 below mu1, p1, key basis]. `fixed` keeps the intensities of an experiment. */
const oneDecoy = (fixed?: readonly [number, number]) => ({
  starts: [[0.5, 0.15, 0.6, 0.85], [0.44, 0.15, 0.35, 0.7], [0.5, 0.17, 0.85, 0.95]].map((s) => fixed === undefined ? s : [...fixed, ...s.slice(2)]),
  encode: ([mu1, mu2, p1, q]: readonly number[]): number[] =>
    [...(fixed === undefined ? [logit(mu1!, 0, INTENSITY_MAX), logit(mu2!, 0, mu1)] : []), logit(p1!), logit(q!)],
  decode: (x: readonly number[]): Choice => {
    const [c, d] = x.slice(-2)
    const mu1 = fixed === undefined ? logistic(x[0]!, 0, INTENSITY_MAX) : fixed[0]
    const mu2 = fixed === undefined ? logistic(x[1]!, 0, mu1) : fixed[1]
    return { intensities: [mu1, mu2], probabilities: [logistic(c!), logistic(-c!)], keyBasis: logistic(d!) }
  },
})

export type Space = { readonly decoys: 2, readonly weakest: number } | { readonly decoys: 1, readonly intensities?: readonly [number, number] }

/**
 * The choice with the best rate on a channel.
 *
 * @param space  What is free: with two decoys all but the weakest intensity; with one decoy everything, or
 *   only the probabilities when the intensities are given.
 * @param near  A choice to start from as well (the best one of a neighbouring point).
 */
export const bestChoice = (space: Space, channel: GainSource, s: FiniteSettings, near?: Choice): Expected => {
  const form = space.decoys === 2 ? twoDecoys(space.weakest) : oneDecoy(space.intensities)
  const known = near === undefined ? [] : [[...near.intensities.slice(0, 2), ...near.probabilities.slice(0, -1), near.keyBasis]]
  const starts = [...known, ...form.starts.slice(0, near === undefined ? undefined : 1)].map(form.encode).filter((x) => x.every(Number.isFinite))
  const { at } = minimise((x) => cost(expectedKey(form.decode(x), channel, s)), starts)
  return expectedKey(form.decode(at), channel, s)
}
