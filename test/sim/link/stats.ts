/** Regularised upper incomplete gamma function Q(a, x): series or continued fraction (Abramowitz and Stegun 6.5). */
const upperGamma = (a: number, x: number): number => {
  const logGamma = (z: number): number => z < 7
    ? logGamma(z + 1) - Math.log(z)
    : (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * z) - 1 / (360 * z ** 3) + 1 / (1260 * z ** 5)
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a))
  if (x < a + 1) {
    let term = 1 / a, sum = term
    for (let n = 1; term > sum * 1e-16; n++) { term *= x / (a + n); sum += term }
    return 1 - sum * scale
  }
  let fraction = 0
  for (let n = 400; n >= 1; n--) fraction = n * (n - a) / (x + 2 * n + 1 - a - fraction)
  return scale / (x + 1 - a - fraction)
}

/** Probability that a chi-square variable of `freedom` degrees exceeds `value`. */
export const chiSquareTail = (value: number, freedom: number): number => value <= 0 ? 1 : upperGamma(freedom / 2, value / 2)

/** Pearson's test of counts against expectations; cells below 8 expected are joined. Returns the tail probability. */
export const pearson = (counts: readonly number[], expected: readonly number[]): number => {
  let chi = 0, cells = 0, spareCount = 0, spareExpected = 0
  const cell = (n: number, e: number): void => { chi += (n - e) ** 2 / e; cells++ }
  expected.forEach((e, i) => {
    if (e >= 8) cell(counts[i]!, e)
    else { spareCount += counts[i]!; spareExpected += e }
  })
  if (spareExpected >= 1) cell(spareCount, spareExpected)
  return chiSquareTail(chi, cells - 1)
}
