import { KmeError } from '../../../src/kernel/errors.js'

export interface Minimum { readonly at: readonly number[], readonly value: number, readonly evaluations: number }

/**
 * Derivative-free minimum of `f` by the simplex of Nelder and Mead (Computer Journal 7, 308, 1965) with the
 * dimension-dependent coefficients of Gao and Han (Comput. Optim. Appl. 51, 259, 2012). Deterministic. `f`
 * may return Infinity where it is not defined; bounds are the caller's, by parametrisation (`logistic`).
 *
 * @param evaluationsMax  Bound on calls of `f`.
 */
export const nelderMead = (
  f: (x: readonly number[]) => number, start: readonly number[], step: number, evaluationsMax = 2_000, tolerance = 1e-10,
): Minimum => {
  const n = start.length
  let evaluations = 0
  const point = (at: readonly number[]): { at: readonly number[], value: number } => {
    evaluations++
    const value = f(at)
    return { at, value: Number.isNaN(value) ? Infinity : value }
  }
  let simplex = [point(start), ...start.map((_, i) => point(start.map((x, j) => j === i ? x + step : x)))]
  const [expand, contract, shrink] = [1 + 2 / n, 0.75 - 1 / (2 * n), 1 - 1 / n]
  while (evaluations < evaluationsMax) {
    simplex.sort((a, b) => a.value - b.value)
    const best = simplex[0]!, worst = simplex[n]!
    if (Math.abs(worst.value - best.value) <= tolerance * (Math.abs(best.value) + 1e-300)) break
    const centre = start.map((_, j) => simplex.slice(0, n).reduce((s, p) => s + p.at[j]!, 0) / n)
    const along = (t: number): { at: readonly number[], value: number } => point(centre.map((c, j) => c + t * (c - worst.at[j]!)))
    const reflected = along(1)
    let next = reflected
    if (reflected.value < best.value) {
      const expanded = along(expand)
      if (expanded.value < reflected.value) next = expanded
    } else if (reflected.value >= simplex[n - 1]!.value) {
      next = along(reflected.value < worst.value ? contract : -contract)
      if (next.value >= Math.min(reflected.value, worst.value)) {
        simplex = simplex.map((p) => p === best ? p : point(p.at.map((x, j) => best.at[j]! + shrink * (x - best.at[j]!))))
        continue
      }
    }
    simplex[n] = next
  }
  simplex.sort((a, b) => a.value - b.value)
  return { at: simplex[0]!.at, value: simplex[0]!.value, evaluations }
}

/** Restarts the simplex from each start and, until nothing more is gained (at most 8 times), from its own end. */
export const minimise = (f: (x: readonly number[]) => number, starts: readonly (readonly number[])[], step = 0.5): Minimum => {
  let evaluations = 0
  const best = starts.map((start) => {
    let end = nelderMead(f, start, step)
    evaluations += end.evaluations
    for (let i = 0; i < 8; i++) {
      const again = nelderMead(f, end.at, step / 2)
      evaluations += again.evaluations
      const gained = end.value - again.value
      if (gained > 0) end = again
      if (!(gained > 1e-7 * Math.abs(end.value))) break
    }
    return end
  }).reduce((a, b) => b.value < a.value ? b : a)
  return { ...best, evaluations }
}

/** Maps the real line onto (low, high). */
export const logistic = (x: number, low = 0, high = 1): number => low + (high - low) / (1 + Math.exp(-x))
/** Inverse of `logistic`. */
export const logit = (y: number, low = 0, high = 1): number => Math.log((y - low) / (high - y))

/** Greatest x in [low, high] where `holds`, which must be true at `low` and change once. To `precision`. */
export const lastWhere = (holds: (x: number) => boolean, low: number, high: number, precision = 1e-6): number => {
  if (!holds(low)) throw new KmeError('BAD_REQUEST', `nothing to search: the condition already fails at ${low}`)
  if (holds(high)) return high
  while (high - low > precision) {
    const middle = (low + high) / 2
    if (holds(middle)) low = middle
    else high = middle
  }
  return low
}

/** Place of the maximum of a function with one peak, by golden section. */
export const peak = (f: (x: number) => number, low: number, high: number, precision = 1e-7): number => {
  const ratio = (Math.sqrt(5) - 1) / 2
  let a = high - ratio * (high - low), b = low + ratio * (high - low), fa = f(a), fb = f(b)
  while (high - low > precision) {
    if (fa > fb) { high = b; b = a; fb = fa; a = high - ratio * (high - low); fa = f(a) } else { low = a; a = b; fa = fb; b = low + ratio * (high - low); fb = f(b) }
  }
  return (low + high) / 2
}
