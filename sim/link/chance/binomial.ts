import { invariant } from '../../../src/kernel/errors.js'
import type { Xoshiro } from './xoshiro.js'

/** Below this mean, inversion; at and above, rejection. */
const REJECTION_FROM = 10

/** log n! - Stirling's formula for n; Loader 2000, section 3. Exact sums up to 15, the series above. */
const stirlingError = (n: number): number => {
  if (n < 16) {
    let logFactorial = 0
    for (let i = 2; i <= n; i++) logFactorial += Math.log(i)
    return logFactorial - (n + 0.5) * Math.log(n) + n - 0.5 * Math.log(2 * Math.PI)
  }
  const n2 = n * n
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / n2) / n2) / n2) / n2) / n
}

/** x log(x/m) + m - x without cancellation, for x near m as well. Loader 2000, "deviance". */
const deviance = (x: number, m: number): number => {
  const v = (x - m) / (x + m)
  if (Math.abs(v) >= 0.1) return x * Math.log(x / m) + m - x
  let sum = (x - m) * v, power = 2 * x * v
  for (let j = 3; ; j += 2) {
    power *= v * v
    const next = sum + power / j
    if (next === sum) return sum
    sum = next
  }
}

/**
 * log of the binomial probability of k successes, accurate for n up to 2^53.
 *
 * @see C. Loader, "Fast and accurate computation of binomial probabilities", 2000
 */
export const logBinomial = (k: number, n: number, p: number): number => {
  if (k === 0) return n * Math.log1p(-p)
  if (k === n) return n * Math.log(p)
  return stirlingError(n) - stirlingError(k) - stirlingError(n - k) - deviance(k, n * p) - deviance(n - k, n * (1 - p)) +
    0.5 * Math.log(n / (2 * Math.PI * k * (n - k)))
}

/** Sequential inversion for n p < 10: one uniform, the recurrence of the probabilities. */
const invert = (random: Xoshiro, n: number, p: number): number => {
  const odds = p / (1 - p), first = Math.exp(n * Math.log1p(-p))
  for (;;) {
    let left = random.uniform(), probability = first
    for (let k = 0; k <= n && k < 200; k++) {
      if (left < probability) return k
      left -= probability
      probability *= odds * (n - k) / (k + 1)
    }
    // Rounding left a sliver above the last term (below 2^-50): draw again.
  }
}

/** Transformed rejection with a squeeze, exact for n p >= 10, p <= 1/2. */
const reject = (random: Xoshiro, n: number, p: number): number => {
  const deviation = Math.sqrt(n * p * (1 - p))
  const b = 1.15 + 2.53 * deviation, a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5
  const alpha = (2.83 + 5.1 / b) * deviation, squeeze = 0.92 - 4.2 / b
  const mode = logBinomial(Math.floor((n + 1) * p), n, p)
  for (;;) {
    const u = random.uniform() - 0.5, v = random.uniform(), us = 0.5 - Math.abs(u)
    const k = Math.floor((2 * a / us + b) * u + c)
    if (us >= 0.07 && v <= squeeze) return k
    if (k < 0 || k > n) continue
    if (Math.log(v * alpha / (a / (us * us) + b)) <= logBinomial(k, n, p) - mode) return k
  }
}

/**
 * Number of successes in n trials, drawn exactly (up to rounding of double precision), in constant time.
 *
 * @param n  Whole number up to 2^53.
 * @see W. Hoermann, "The generation of binomial random variates", J. Stat. Comput. Simul. 46, 101 (1993), algorithm BTRS
 */
export const binomial = (random: Xoshiro, n: number, p: number): number => {
  invariant(Number.isSafeInteger(n) && n >= 0 && p >= 0 && p <= 1, `a binomial has n >= 0 and 0 <= p <= 1, got ${n}, ${p}`)
  if (n === 0 || p === 0) return 0
  if (p === 1) return n
  if (p > 0.5) return n - binomial(random, n, 1 - p)
  return n * p < REJECTION_FROM ? invert(random, n, p) : reject(random, n, p)
}

/**
 * Splits n over the categories, whose weights need not add up to 1: binomials one after the other, each
 * conditional on what is left.
 *
 * @param out  Receives the counts, same length as `weights`.
 */
export const multinomial = (random: Xoshiro, n: number, weights: Float64Array, out: Float64Array): void => {
  const tail = new Float64Array(weights.length + 1)
  for (let i = weights.length - 1; i >= 0; i--) tail[i] = tail[i + 1]! + weights[i]!
  let left = n
  for (let i = 0; i < weights.length; i++) {
    const share = weights[i] === 0 ? 0 : tail[i + 1] === 0 ? 1 : Math.min(1, weights[i]! / tail[i]!)
    out[i] = left === 0 ? 0 : binomial(random, left, share)
    left -= out[i]!
  }
  invariant(left === 0, 'a multinomial draw has a category for every trial')
}

/** Trials up to and including the first success, at least 1; Infinity if p is 0. */
export const geometric = (random: Xoshiro, p: number): number =>
  p >= 1 ? 1 : 1 + Math.floor(Math.log1p(-random.uniform()) / Math.log1p(-p))

/** Poisson number of small mean (photons in one pulse), by inversion; exact for means up to 30. */
export const poissonDraw = (random: Xoshiro, mean: number): number => {
  invariant(mean >= 0 && mean <= 30, `a pulse has a mean of 0 to 30 photons, got ${mean}`)
  let left = random.uniform(), probability = Math.exp(-mean), n = 0
  while (left >= probability && n < 300) {
    left -= probability
    probability *= mean / ++n
  }
  return n
}
