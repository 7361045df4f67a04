import { KmeError } from '../../../src/kernel/errors.js'
import { bestChoice } from './best.js'
import { expectedKey } from './expected.js'
import type { Choice, Expected, FiniteSettings } from './expected.js'
import { infiniteDecoyKey, vacuumWeakKey } from './gllp.js'
import { lastWhere, minimise, logistic, logit, peak } from './optimise.js'
import { maChannel, presetGains } from './presets.js'
import type { Preset } from './presets.js'

/** Ways to turn a link into a key rate. */
export const methods = ['two-decoys', 'one-decoy', 'vacuum-weak', 'infinite'] as const
export type Method = typeof methods[number]

/** @throws KmeError `BAD_REQUEST` listing the methods. */
export const methodNamed = (name: string): Method => {
  const found = methods.find((m) => m === name)
  if (found === undefined) throw new KmeError('BAD_REQUEST', `no method "${name}"; there are: ${methods.join(', ')}`)
  return found
}

/** One point of a rate curve; `choice` is what was optimised. Rates are 0 where there is no key. */
export interface RatePoint {
  readonly lengthKm: number, readonly lossDb: number
  readonly rate: number, readonly rateBps: number
  readonly choice: Choice, readonly qber: number
  readonly finite?: Expected
}

export interface CurveOptions {
  readonly method: Method
  /** Block of a finite method; the preset's if absent. */
  readonly keyBits?: number
  /** Keep the preset's intensities and probabilities instead of the best ones. */
  readonly fixed?: boolean
}

/** The weakest intensity of two decoys is not free: a modulator cannot make true vacuum. */
const weakestOf = (preset: Preset): number => preset.config.source.intensities.length === 3 ? preset.config.source.intensities[2]! : 2e-4

/** A block as expected at one length, with the best or the preset's own choice. */
const finitePoint = (preset: Preset, km: number, o: CurveOptions, near?: Choice): Expected => {
  const settings: FiniteSettings = { ...preset.finite, keyBits: o.keyBits ?? preset.finite.keyBits }
  const gains = presetGains(preset, km), wanted = o.method === 'two-decoys' ? 3 : 2
  if (o.fixed === true) {
    const { source, keyBasis } = preset.config
    if (source.intensities.length !== wanted) {
      throw new KmeError('BAD_REQUEST', `${preset.name} has ${source.intensities.length} intensities, ${o.method} needs ${wanted}: leave the choice to the optimiser`)
    }
    return expectedKey({ intensities: source.intensities, probabilities: source.probabilities, keyBasis }, gains, settings)
  }
  return bestChoice(o.method === 'two-decoys' ? { decoys: 2, weakest: weakestOf(preset) } : { decoys: 1 }, gains, settings, near)
}

/** Best signal and weak decoy; the weak one never below 0.005, where an infinite block would always send it. */
const asymptoticChoice = (preset: Preset, km: number, o: CurveOptions): { rate: number, mu: readonly number[] } => {
  const gains = presetGains(preset, km)(preset.config.source), channel = maChannel(preset, km)
  const s = { siftShare: preset.asymptoticSiftShare, correctionEfficiency: preset.finite.correctionEfficiency }
  const [mu, nu] = preset.config.source.intensities
  if (o.method === 'infinite') {
    const rate = (m: number): number => infiniteDecoyKey(m, channel, gains, s).rate
    const best = o.fixed === true ? mu! : peak(rate, 0.01, 1)
    return { rate: rate(best), mu: [best] }
  }
  if (o.fixed === true) return { rate: vacuumWeakKey(mu!, nu!, gains, s).rate, mu: [mu!, nu!] }
  const decode = (x: readonly number[]): [number, number] => {
    const m = logistic(x[0]!, 0.02, 1)
    return [m, logistic(x[1]!, 0.005, m)]
  }
  const { at } = minimise((x) => -vacuumWeakKey(...decode(x), gains, s).rate, [[logit(0.48, 0.02, 1), logit(0.05, 0.005, 0.48)]])
  const best = decode(at)
  return { rate: vacuumWeakKey(...best, gains, s).rate, mu: best }
}

/** The rate at one length. `near` is a good choice at a neighbouring point: it makes the search shorter. */
export const ratePoint = (preset: Preset, lengthKm: number, o: CurveOptions, near?: Choice): RatePoint => {
  const { fibre, source } = preset.config
  const place = { lengthKm, lossDb: lengthKm * fibre.lossDbPerKm + fibre.extraLossDb }
  if (o.method === 'two-decoys' || o.method === 'one-decoy') {
    const key = finitePoint(preset, lengthKm, o, near)
    return { ...place, rate: key.rate, rateBps: key.rateBps, choice: key.choice, qber: key.qber, finite: key }
  }
  const { rate, mu } = asymptoticChoice(preset, lengthKm, o), signal = presetGains(preset, lengthKm)(source)(mu[0]!)
  const choice = { intensities: mu, probabilities: mu.map((_, i) => i === 0 ? 1 : 0), keyBasis: preset.asymptoticSiftShare }
  return { ...place, rate, rateBps: rate * source.pulseRateHz, choice, qber: signal.errorGain / signal.gain }
}

/** Rates at the given lengths, each search starting from the point before. Yields, so that a caller can show progress. */
export const rateCurve = function * (preset: Preset, lengthsKm: readonly number[], o: CurveOptions): Generator<RatePoint> {
  let near: Choice | undefined
  for (const km of lengthsKm) {
    const point = ratePoint(preset, km, o, near)
    if (point.finite !== undefined && point.rate > 0) near = point.choice
    yield point
  }
}

/** Greatest length with a key, to `precisionKm`. @throws KmeError `BAD_REQUEST` if there is none at 0 km. */
export const reachKm = (preset: Preset, o: CurveOptions, precisionKm = 1e-4): number =>
  lastWhere((km) => ratePoint(preset, km, o).rate > 0, 0, 1_000, precisionKm)
