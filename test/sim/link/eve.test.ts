import t from 'tap'
import { exactGain, maGain } from '../../../sim/link/analysis/channel.js'
import { naiveKey, vacuumWeakKey } from '../../../sim/link/analysis/gllp.js'
import { presetNamed } from '../../../sim/link/analysis/presets.js'
import { Xoshiro } from '../../../sim/link/chance/xoshiro.js'
import { derive } from '../../../sim/link/physics/config.js'
import type { LinkConfig } from '../../../sim/link/physics/config.js'
import { drawHistogram } from '../../../sim/link/physics/draw.js'
import { setUpAttack } from '../../../sim/link/physics/eve.js'
import type { Eve } from '../../../sim/link/physics/eve.js'
import { slotLaw } from '../../../sim/link/physics/law.js'
import { tally } from '../../../sim/link/physics/tally.js'
import type { Tally } from '../../../sim/link/physics/tally.js'
import { unaccounted } from '../../../sim/link/run/account.js'
import { runLink, runToEnd } from '../../../sim/link/run/run.js'
import type { RunOptions } from '../../../sim/link/run/run.js'

const sum = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0)
const qber = (x: Tally): number => (sum(x.sifted.key.errors) + sum(x.sifted.test.errors)) / (sum(x.sifted.key.detections) + sum(x.sifted.test.detections))

/** The expected counts of a stretch: a slot law without chance. */
const expected = (config: LinkConfig, slots: number, eve?: Eve): Tally =>
  tally(slotLaw(config, eve === undefined ? undefined : setUpAttack(config, eve)).outcomes.map((p) => p * slots), slots, config.source.intensities.length)

/** Weak light, no noise: the QBER of the formulas without their small print. */
const clean = (misalignment: number): LinkConfig => {
  const { config } = presetNamed('lim-2014')
  return { ...config, receiver: { ...config.receiver, darkPerDetector: 0, afterpulse: 0, misalignment } }
}

t.test('intercept-resend: 25 % QBER, and (1-f) e + f (1/4 + e/2) in general', async t => {
  for (const [share, e, wanted] of [[1, 0, 0.25], [0.25, 0, 0.0625], [1, 0.01, 0.255], [0.2, 0.01, 0.059]] as const) {
    const law = qber(expected(clean(e), 1e9, { kind: 'intercept-resend', share }))
    t.ok(Math.abs(law - wanted) < 2e-5, `share ${share}, e ${e}: ${law}`)
  }
  const config = clean(0), law = slotLaw(config, setUpAttack(config, { kind: 'intercept-resend', share: 1 }))
  const drawn = qber(tally(drawHistogram(Xoshiro.seeded(1), 1e10, law, { deadSlots: 0 }), 1e10, 3))
  t.ok(Math.abs(drawn - 0.25) < 5e-4, `drawn: ${drawn}`)
})

/** A long GYS link, as seen through its gains: what decoy analysis works on. */
const gys = presetNamed('gys').config
const settings = { siftShare: 0.5, correctionEfficiency: 1.22 }
const measured = (eve?: Eve) => {
  const seen = expected(gys, 1e12, eve)
  return (k: number) => {
    const i = gys.source.intensities.indexOf(k), pulses = 1e12 * gys.source.probabilities[i]! * 0.25
    return { gain: seen.sifted.key.detections[i]! / pulses, errorGain: seen.sifted.key.errors[i]! / pulses }
  }
}

t.test('photon-number splitting: invisible without decoys, no key with decoys', async t => {
  const attack: Eve = { kind: 'photon-number-splitting', blocked: 1 }
  t.ok(setUpAttack(gys, attack).gainKept)
  const honest = measured(), split = measured(attack)
  t.ok(Math.abs(split(0.48).gain / honest(0.48).gain - 1) < 1e-3, 'the gain of the signal is kept')
  t.ok(Math.abs(split(0.48).errorGain / honest(0.48).errorGain - 1) < 1e-3, 'so is its error rate')
  t.ok(Math.abs(naiveKey(0.48, split, settings).rate / naiveKey(0.48, honest, settings).rate - 1) < 1e-2, 'a naive system notices nothing')
  t.ok(split(0.05).gain < 0.5 * honest(0.05).gain, 'the weak decoy tells')
  t.ok(vacuumWeakKey(0.48, 0.05, honest, settings).rate > 1e-5)
  t.match(vacuumWeakKey(0.48, 0.05, split, settings), { rate: 0 })
  t.ok(vacuumWeakKey(0.48, 0.05, split, settings).singleYield <= 0, 'no single photon is left')
})

t.test('photon-number splitting of a share shrinks the single-photon bound in proportion', async t => {
  const yieldAt = (blocked: number): number => vacuumWeakKey(0.48, 0.05, measured({ kind: 'photon-number-splitting', blocked }), settings).singleYield
  const [none, half] = [yieldAt(0), yieldAt(0.5)]
  t.ok(half < 0.6 * none && half > 0.3 * none, `${half} of ${none}`)
})

t.test('on a short link even a lossless line does not keep the gain, and that is told', async t => {
  const short = { ...gys, fibre: { ...gys.fibre, lengthKm: 5 } }
  t.notOk(setUpAttack(short, { kind: 'photon-number-splitting', blocked: 1 }).gainKept)
  t.throws(() => setUpAttack(gys, { kind: 'intercept-resend', share: 1.1 }), { code: 'BAD_REQUEST' })
})

t.test('beam splitting is plain loss', async t => {
  const bright = clean(0.01), dim = { ...bright, fibre: { ...bright.fibre, extraLossDb: -10 * Math.log10(0.7) } }
  const a = expected(bright, 1e9, { kind: 'beam-splitting', share: 0.3 }), b = expected(dim, 1e9)
  a.sifted.key.detections.forEach((n, i) => { t.ok(Math.abs(n / b.sifted.key.detections[i]! - 1) < 1e-9) })
})

t.test('blinding keeps gain and QBER but makes no double clicks and no dark counts', async t => {
  const { config } = presetNamed('metro-25km'), plain: LinkConfig = { ...config, receiver: { ...config.receiver, afterpulse: 0, jitterS: 0 } }
  const honest = expected(plain, 1e9), blind = expected(plain, 1e9, { kind: 'blinding' })
  t.ok(Math.abs(blind.sifted.key.detections[0]! / honest.sifted.key.detections[0]! - 1) < 1e-3)
  t.equal(blind.doubles, 0)
  t.ok(honest.mismatchedDoubles > 100)
})

const options = (change: Partial<RunOptions> = {}): RunOptions => {
  const { config, finite } = presetNamed('metro-25km')
  return {
    config, security: { secrecy: 1e-10, correctness: 1e-15 }, correctionEfficiency: finite.correctionEfficiency, blockBits: 1e7,
    durationS: 60, stepS: 2, seed: 1, qberAbort: 0.08, estimate: 'decoys', ...change,
  }
}
const always = (eve: Eve) => ({ attacks: [{ fromS: 0, toS: Infinity, eve }] })

t.test('a quiet metropolitan link gives key, no alarm, and every bit is accounted for', async t => {
  const { steps, blocks, account } = runToEnd(options())
  t.ok(blocks.every((b) => b.keyBits > 0))
  t.ok(steps.every((s) => s.alarms.length === 0))
  t.ok(account.net / 60 > 5e5, `${account.net / 60} bit/s`)
  t.equal(unaccounted(account), 0)
  t.equal(account.net, sum(blocks.map((b) => b.keyBits)))
})

t.test('each attack stops the key, by alarm or by estimate', async t => {
  const rows: [string, Partial<RunOptions>, RegExp][] = [
    ['intercept-resend', always({ kind: 'intercept-resend', share: 0.3 }), /qber/],
    ['weak intercept-resend', always({ kind: 'intercept-resend', share: 0.15 }), /nothing left|double clicks/],
    ['photon-number splitting', { ...always({ kind: 'photon-number-splitting', blocked: 1 }), config: { ...options().config, fibre: { lengthKm: 60, lossDbPerKm: 0.2, extraLossDb: 0 } }, blockBits: 1e6 }, /single photons|phase error|nothing left/],
    ['blinding', always({ kind: 'blinding' }), /double clicks missing/],
  ]
  for (const [name, change, reason] of rows) {
    const { blocks, account } = runToEnd(options(change))
    t.ok(blocks.length > 0, `${name}: blocks ended`)
    t.ok(blocks.every((b) => b.keyBits === 0 && reason.test(b.reason ?? '')), `${name}: ${blocks[0]?.reason}`)
    t.equal(account.net, 0)
    t.equal(unaccounted(account), 0)
  }
})

t.test('without decoys photon-number splitting raises no alarm and the naive system goes on', async t => {
  const base = options().config
  const config = { ...base, source: { ...base.source, intensities: [0.41], probabilities: [1] }, fibre: { lengthKm: 60, lossDbPerKm: 0.2, extraLossDb: 0 } }
  const common = { config, estimate: 'naive' as const, blockBits: 1e6, stepS: 1 }
  const honest = runToEnd(options(common)), split = runToEnd(options({ ...common, ...always({ kind: 'photon-number-splitting', blocked: 1 }) }))
  t.ok(split.steps.every((s) => s.alarms.length === 0), 'no alarm')
  t.ok(split.blocks.every((b) => b.keyBits > 0), 'key in every block')
  t.ok(Math.abs(split.account.net / honest.account.net - 1) < 0.02, `${split.account.net} bits against ${honest.account.net}`)
  const safe = runToEnd(options({ ...common, estimate: 'decoys' }))
  t.ok(safe.blocks.every((b) => b.reason === 'no decoys'))
})

t.test('key stops while Eve is there and comes back when she leaves; a cut leaves noise only', async t => {
  const { steps, blocks } = runToEnd(options({
    attacks: [{ fromS: 20, toS: 30, eve: { kind: 'intercept-resend', share: 0.5 } }], cuts: [{ fromS: 40, toS: 50 }],
  }))
  const at = (s: number) => steps.find((x) => x.timeS === s)!
  t.ok(at(10).qber < 0.04 && at(24).qber > 0.1 && at(34).qber < 0.04)
  t.match([at(10).eve, at(24).eve, at(44).cut], [undefined, 'intercept-resend', true])
  t.ok(Math.abs(at(44).qber - 0.5) < 0.02 && at(44).siftedBps < at(10).siftedBps / 100)
  t.ok(blocks.some((b) => b.timeS <= 20 && b.keyBits > 0) && blocks.some((b) => b.timeS > 32 && b.timeS <= 40 && b.keyBits > 0) && blocks.some((b) => b.timeS > 56 && b.keyBits > 0))
  t.ok(blocks.filter((b) => b.timeS > 20 && b.timeS <= 30).every((b) => b.keyBits === 0))
})

t.test('drift moves QBER and loss, feedback holds them, and the same seed repeats the run', async t => {
  const walk = { angleRadPerSqrtS: 0.02, angleFeedbackPerS: 0, lossDbPerSqrtS: 0.05, lossReturnPerS: 0 }
  const loose = runToEnd(options({ durationS: 400, drift: walk })), held = runToEnd(options({ durationS: 400, drift: { ...walk, angleFeedbackPerS: 0.5 } }))
  const worst = (steps: readonly { qber: number }[]): number => Math.max(...steps.map((s) => s.qber))
  t.ok(worst(loose.steps) > 0.04 && worst(held.steps) < 0.035, `${worst(loose.steps)} and ${worst(held.steps)}`)
  t.ok(new Set(loose.steps.map((s) => s.lossDb)).size > 100)
  t.same(runToEnd(options({ drift: walk })), runToEnd(options({ drift: walk })))
})

t.test('a source without random phases gives no key, whatever the counts', async t => {
  const { config } = options()
  const { blocks } = runToEnd(options({ config: { ...config, source: { ...config.source, phaseRandomised: false } } }))
  t.ok(blocks.length > 0 && blocks.every((b) => b.keyBits === 0 && b.reason === 'phase not randomised'))
})

t.test('the model of the metropolitan link and its Monte-Carlo agree', async t => {
  const { config } = options(), d = derive(config), slots = 1e9
  const gains = exactGain({ ...d, darkPerDetector: config.receiver.darkPerDetector, afterpulse: config.receiver.afterpulse }, config.source)
  const law = expected(config, slots)
  config.source.intensities.forEach((k, i) => {
    const share = slots * config.source.probabilities[i]! * config.keyBasis ** 2
    t.ok(Math.abs(law.sifted.key.detections[i]! / share / gains(k).gain - 1) < 1e-4)
    t.ok(Math.abs(law.sifted.key.errors[i]! / share / gains(k).errorGain - 1) < 1e-3)
  })
  t.ok(maGain({ transmittance: d.transmittance, backgroundYield: 1e-5, misalignment: d.misalignment })(0.41).gain < gains(0.41).gain)
})

t.test('options that make no sense are refused', async t => {
  const refuse = (change: Partial<RunOptions>, message: RegExp) => t.throws(() => runLink(options(change)).next(), { code: 'BAD_REQUEST', message })
  const { config } = options()
  refuse({ stepS: 0 }, /step/)
  refuse({ durationS: 1e9, stepS: 1e-3 }, /million/)
  refuse({ qberAbort: 0 }, /QBER/)
  refuse({ blockBits: 0 }, /block/)
  refuse({ config: { ...config, receiver: { ...config.receiver, efficiency: 1.5 } } }, /efficiency/)
  refuse({ config: { ...config, source: { ...config.source, probabilities: [0.5, 0.5, 0.5] } } }, /add up/)
  refuse({ config: { ...config, fibre: { ...config.fibre, extraLossDb: -20 } } }, /total loss/)
  refuse(always({ kind: 'beam-splitting', share: -1 }), /share/)
})
