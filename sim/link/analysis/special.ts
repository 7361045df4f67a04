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
