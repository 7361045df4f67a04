/**
 * Binary entropy h(x) = -x log2 x - (1-x) log2 (1-x), with h(0) = h(1) = 0.
 *
 * @param x  Probability; outside [0, 1] the result is NaN, so that a wrong bound shows.
 * @returns Bits, 0 to 1.
 */
export const binaryEntropy = (x: number): number => {
  if (x === 0 || x === 1) return 0
  return -(x * Math.log2(x) + (1 - x) * Math.log1p(-x) / Math.LN2)
}

/**
 * What an error bound is worth when it enters as 1 - h(e): h on [0, 1/2], and 1 above, because a bound
 * of more than 1/2 says nothing (h itself would fall again and give key for nothing).
 */
export const entropyOfBound = (errorBound: number): number => errorBound >= 0.5 ? 1 : binaryEntropy(errorBound)

/**
 * Error function to about 1e-15: the Maclaurin series below 3, the continued fraction of erfc above
 * (Abramowitz and Stegun 7.1.6 and 7.1.14).
 */
export const erf = (x: number): number => {
  const a = Math.abs(x)
  if (a > 6) return Math.sign(x)
  if (a < 3) {
    let term = a, sum = a
    for (let n = 1; n < 200 && term > sum * 1e-17; n++) {
      term *= 2 * a * a / (2 * n + 1)
      sum += term
    }
    return Math.sign(x) * 2 / Math.sqrt(Math.PI) * Math.exp(-a * a) * sum
  }
  let fraction = a
  for (let n = 80; n >= 1; n--) fraction = a + n / 2 / fraction
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * fraction))
}

/** Poisson probability of n photons at mean `mean`: e^-mean mean^n / n!. */
export const poisson = (n: number, mean: number): number => {
  let p = Math.exp(-mean)
  for (let i = 1; i <= n; i++) p *= mean / i
  return p
}
