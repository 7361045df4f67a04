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
