import t from 'tap'
import type { Test } from 'tap'
import { maGain, photonYield, transmittance } from '../../../sim/link/analysis/channel.js'
import type { MaChannel } from '../../../sim/link/analysis/channel.js'
import { erf } from '../../../sim/link/analysis/special.js'
import { binaryEntropy } from '../../../src/post/entropy.js'
import { infiniteDecoyKey, naiveKey, twoDecoyKey, vacuumWeakKey, worstCaseKey } from '../../../sim/link/analysis/gllp.js'
import { lastWhere, peak } from '../../../sim/link/analysis/optimise.js'

/** Gobby, Yuan, Shields 2004: table I of Ma et al. 2005. */
const gys = (km: number): MaChannel => ({ transmittance: transmittance(km, 0.21) * 0.045, backgroundYield: 1.7e-6, misalignment: 0.033 })
const settings = { siftShare: 0.5, correctionEfficiency: 1.22 }
const near = (t: Test, found: number, wanted: number, what: string, relative = 1e-5): void => {
  t.ok(Math.abs(found - wanted) <= relative * Math.abs(wanted), `${what}: ${found} is ${wanted}`)
}

t.test('GYS: rates, gains and bounds of the reference table', async t => {
  const rows = [
    [0, 2.414245e-3, 2.554577e-3, 2.137009e-2, 3.303715e-2, 2.249171e-3, 3.335297e-2, 4.438483e-2, 3.515287e-2],
    [10, 1.479197e-3, 1.567051e-3, 1.323185e-2, 3.306000e-2, 1.388077e-3, 3.357194e-2, 2.736080e-2, 3.518880e-2],
    [50, 2.096250e-4, 2.225952e-4, 1.924950e-3, 3.341243e-2, 2.022114e-4, 3.692609e-2, 3.954807e-3, 3.539849e-2],
    [100, 1.602005e-5, 1.718436e-5, 1.732602e-4, 3.758213e-2, 1.957223e-5, 7.356258e-2, 3.539934e-4, 3.749238e-2],
    [120, 4.368615e-6, 4.814530e-6, 6.692883e-5, 4.486185e-2, 8.494868e-6, 1.264564e-1, 1.356329e-4, 4.118583e-2],
    [140, 7.377906e-8, 2.464546e-7, 2.649981e-5, 6.295870e-2, 4.283342e-6, 2.183459e-1, 5.261496e-5, 5.063259e-2],
  ] as const
  for (const [km, rate, ceiling, q, e, qWeak, eWeak, y1, e1] of rows) {
    const gains = maGain(gys(km)), key = vacuumWeakKey(0.48, 0.05, gains, settings)
    near(t, key.rate, rate, `${km} km, R`)
    near(t, infiniteDecoyKey(0.48, gys(km), gains, settings).rate, ceiling, `${km} km, R with infinite decoys`)
    near(t, gains(0.48).gain, q, 'Q_mu')
    near(t, gains(0.48).errorGain / gains(0.48).gain, e, 'E_mu')
    near(t, gains(0.05).gain, qWeak, 'Q_nu')
    near(t, gains(0.05).errorGain / gains(0.05).gain, eWeak, 'E_nu')
    near(t, key.singleYield, y1, 'Y1')
    near(t, key.singleError, e1, 'e1')
  }
})

t.test('GYS: maximum distances and best intensities', async t => {
  const weak = (nu: number) => lastWhere((km) => vacuumWeakKey(0.48, nu, maGain(gys(km)), settings).rate > 0, 0, 200)
  const all = lastWhere((km) => infiniteDecoyKey(0.48, gys(km), maGain(gys(km)), settings).rate > 0, 0, 200)
  for (const [found, wanted] of [[weak(0.05), 140.619], [weak(0.1), 139.104], [weak(0.01), 141.744], [all, 142.014]] as const) {
    t.ok(Math.abs(found - wanted) <= 0.01, `${found} km is ${wanted} km`)
  }
  t.ok(Math.abs(weak(0.05) - 140.55) < 0.1 && Math.abs(all - 142.05) < 0.1, 'within 0.1 km of the published distances')
  for (const [km, mu] of [[0, 0.4863], [50, 0.4793], [100, 0.4752], [140, 0.4336]] as const) {
    const best = peak((m) => infiniteDecoyKey(m, gys(km), maGain(gys(km)), settings).rate, 0.2, 0.8)
    t.ok(Math.abs(best - mu) < 1.01e-4, `best mu at ${km} km: ${best}`)
  }
})

t.test('two decoys with a vacuum decoy are vacuum + weak, and never beat infinite decoys', async t => {
  for (const km of [0, 50, 100, 140]) {
    const gains = maGain(gys(km))
    near(t, twoDecoyKey(0.48, 0.05, 0, gains, settings).singleYield, vacuumWeakKey(0.48, 0.05, gains, settings).singleYield, 'Y1', 1e-12)
    const two = twoDecoyKey(0.48, 0.1, 0.01, gains, settings), truth = photonYield(gys(km), 1)
    t.ok(two.singleYield <= truth.gain, 'a bound from below')
    t.ok(two.singleError >= truth.errorGain / truth.gain, 'a bound from above')
  }
})

t.test('decoys that break the rule are refused, also where the denominator is positive', async t => {
  const gains = maGain(gys(10))
  // nu1 - nu2 < 0 and mu - nu1 - nu2 < 0: the product is positive, the bound is worthless.
  t.throws(() => twoDecoyKey(0.48, 0.3, 0.4, gains, settings), { code: 'BAD_REQUEST' })
  t.throws(() => twoDecoyKey(0.48, 0.3, 0.2, gains, settings), { code: 'BAD_REQUEST' })
  t.throws(() => twoDecoyKey(0.48, 0.1, -0.01, gains, settings), { code: 'BAD_REQUEST' })
  t.throws(() => vacuumWeakKey(0.48, 0.48, gains, settings), { code: 'BAD_REQUEST' })
})

t.test('without decoys: the safe formula reaches a few tens of km, the naive one far too far', async t => {
  const safe = lastWhere((km) => worstCaseKey(0.01, maGain(gys(km)), settings).rate > 0, 0, 200)
  const naive = lastWhere((km) => naiveKey(0.48, maGain(gys(km)), settings).rate > 0, 0, 300)
  t.ok(safe < 50, `safe ${safe} km`)
  t.ok(naive > 140, `naive ${naive} km`)
})

t.test('one-way limits of BB84 and special functions', async t => {
  const limit = (f: number) => lastWhere((e) => 1 - (1 + f) * binaryEntropy(e) > 0, 0, 0.5, 1e-9)
  t.ok(Math.abs(limit(1) - 0.110028) < 1e-6)
  t.ok(Math.abs(limit(1.16) - 0.098106) < 1e-6)
  t.equal(binaryEntropy(0), 0)
  t.equal(binaryEntropy(1), 0)
  t.equal(binaryEntropy(0.5), 1)
  t.ok(Number.isNaN(binaryEntropy(-0.1)))
  for (const [x, y] of [[0.5, 0.5204998778130465], [1, 0.8427007929497149], [2.9, 0.9999589021219005], [3.1, 0.9999883513426328], [-1, -0.8427007929497149]] as const) {
    near(t, erf(x), y, `erf(${x})`, 1e-14)
  }
})
