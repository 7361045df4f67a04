import { KmeError } from '../../../src/kernel/errors.js'
import type { LinkConfig } from '../physics/config.js'
import { derive } from '../physics/config.js'
import { exactGain, limGain, maGain, ruscaGain } from './channel.js'
import type { MaChannel } from './channel.js'
import type { FiniteSettings, GainSource } from './expected.js'

/** A complete link with the way its authors evaluate it. */
export interface Preset {
  readonly name: string
  readonly title: string
  /** Where its numbers come from. */
  readonly source: string
  readonly config: LinkConfig
  /** Whose channel formulas the analytic curves use. */
  readonly formulas: 'ma2005' | 'lim2014' | 'rusca2018' | 'exact'
  readonly finite: FiniteSettings
  /** Share of sifted pulses in asymptotic rates: 1/2 for unbiased bases, 1 where the bias may go to 1. */
  readonly asymptoticSiftShare: number
  /** Published points of this very system, by id. */
  readonly experiments: readonly string[]
}

const fixedSecurity = (secrecy: number, correctness: number) => ({ secrecy, correctness })

const gys: Preset = {
  name: 'gys',
  title: 'Gobby, Yuan, Shields 2004 with vacuum + weak decoys',
  source: 'Ma, Qi, Zhao, Lo, PRA 72 012326 (2005), table I; f_rep of the experiment 2 MHz',
  config: {
    source: { pulseRateHz: 2e6, intensities: [0.48, 0.05, 0], probabilities: [0.7, 0.2, 0.1], phaseRandomised: true, preparationError: 0 },
    fibre: { lengthKm: 100, lossDbPerKm: 0.21, extraLossDb: 0 },
    receiver: { efficiency: 0.045, darkPerDetector: 1 - Math.sqrt(1 - 1.7e-6), misalignment: 0.033, deadTimeS: 0, afterpulse: 0, afterpulseLands: 'any-slot', jitterS: 0, gateS: 0 },
    keyBasis: 0.5,
  },
  formulas: 'ma2005', asymptoticSiftShare: 0.5,
  finite: { keyBits: 1e7, correctionEfficiency: 1.22, security: fixedSecurity(1e-10, 1e-15), pulseRateHz: 2e6, deadTimeS: 0, blindedBy: 'key pairs' },
  experiments: [],
}

const lim: Preset = {
  name: 'lim-2014',
  title: 'Two decoys, finite key: the evaluation of Lim et al.',
  source: 'Lim, Curty, Walenta, Xu, Zbinden, PRA 89 022307 (2014), section IV',
  config: {
    source: { pulseRateHz: 1e9, intensities: [0.41, 0.22, 2e-4], probabilities: [0.38, 0.44, 0.18], phaseRandomised: true, preparationError: 0 },
    fibre: { lengthKm: 50, lossDbPerKm: 0.2, extraLossDb: 0 },
    receiver: { efficiency: 0.1, darkPerDetector: 6e-7, misalignment: 5e-3, deadTimeS: 0, afterpulse: 0.04, afterpulseLands: 'own-class', jitterS: 0, gateS: 0 },
    keyBasis: 0.85,
  },
  formulas: 'lim2014', asymptoticSiftShare: 1,
  finite: { keyBits: 1e7, correctionEfficiency: 1.16, security: { secrecyPerBit: 1e-15, correctness: 1e-15 }, pulseRateHz: 1e9, deadTimeS: 0, blindedBy: 'key pairs' },
  experiments: [],
}

const rusca: Preset = {
  name: 'rusca-2018',
  title: 'One decoy, finite key: the evaluation of Rusca et al.',
  source: 'Rusca, Boaron, Gruenenfelder, Martin, Zbinden, APL 112 171104 (2018)',
  config: {
    source: { pulseRateHz: 1e9, intensities: [0.5, 0.15], probabilities: [0.69, 0.31], phaseRandomised: true, preparationError: 0 },
    fibre: { lengthKm: 100, lossDbPerKm: 0.2, extraLossDb: 0 },
    receiver: { efficiency: 0.5, darkPerDetector: 5e-9, misalignment: 0.01, deadTimeS: 100e-9, afterpulse: 0, afterpulseLands: 'any-slot', jitterS: 0, gateS: 0 },
    keyBasis: 0.885,
  },
  formulas: 'rusca2018', asymptoticSiftShare: 1,
  finite: { keyBits: 1e7, correctionEfficiency: 1.16, security: fixedSecurity(1e-9, 1e-15), pulseRateHz: 1e9, deadTimeS: 100e-9, blindedBy: 'key pairs' },
  experiments: [],
}

interface BoaronRow { km: number, lossDb: number, mu: readonly [number, number], p1: number, keyBasis: number, keyBits: number, qber: number }

/** The five rows of Boaron 2018. P_err is 0.8 of the measured QBER; the probabilities are the model's best. */
const boaron = (row: BoaronRow): Preset => ({
  ...rusca,
  name: `boaron-${Math.round(row.km)}`,
  title: `Boaron et al. 2018, ${row.km} km of ultra-low-loss fibre`,
  source: 'Boaron et al., PRL 121 190502 (2018), numbers second hand; probabilities optimised with Rusca 2018',
  config: {
    source: { pulseRateHz: 2.5e9, intensities: row.mu, probabilities: [row.p1, 1 - row.p1], phaseRandomised: true, preparationError: 0 },
    fibre: { lengthKm: row.km, lossDbPerKm: row.lossDb / row.km, extraLossDb: 0 },
    receiver: { ...rusca.config.receiver, darkPerDetector: 2e-11, misalignment: 0.8 * row.qber, deadTimeS: 0 },
    keyBasis: row.keyBasis,
  },
  finite: { ...rusca.finite, keyBits: row.keyBits, pulseRateHz: 2.5e9, deadTimeS: 0 },
  experiments: ['boaron-252', 'boaron-302', 'boaron-355', 'boaron-405', 'boaron-421'],
})

const metro: Preset = {
  name: 'metro-25km',
  title: 'A 1 GHz metropolitan link with gated InGaAs detectors, 25 km',
  source: 'typical values of such receivers (10 % net efficiency, 10^-5 dark counts per gate, 3 % after-pulses), choice optimised; not the data of a product',
  config: {
    source: { pulseRateHz: 1e9, intensities: [0.41, 0.22, 5e-4], probabilities: [0.28, 0.52, 0.2], phaseRandomised: true, preparationError: 0.002 },
    fibre: { lengthKm: 25, lossDbPerKm: 0.2, extraLossDb: 0.5 },
    receiver: { efficiency: 0.1, darkPerDetector: 5e-6, misalignment: 0.012, deadTimeS: 10e-9, afterpulse: 0.03, afterpulseLands: 'any-slot', jitterS: 60e-12, gateS: 400e-12 },
    keyBasis: 0.86,
  },
  formulas: 'exact', asymptoticSiftShare: 1,
  finite: { keyBits: 1e7, correctionEfficiency: 1.15, security: fixedSecurity(1e-10, 1e-15), pulseRateHz: 1e9, deadTimeS: 10e-9, blindedBy: 'all clicks' },
  experiments: ['yuan-2018', 'trel-2010', 'tokyo-2010'],
}

/** All presets, by name. */
export const presets: readonly Preset[] = [
  gys, lim, rusca, metro,
  boaron({ km: 251.7, lossDb: 42.7, mu: [0.49, 0.18], p1: 0.717, keyBasis: 0.900, keyBits: 8.2e6, qber: 0.005 }),
  boaron({ km: 302.1, lossDb: 51.3, mu: [0.48, 0.18], p1: 0.725, keyBasis: 0.903, keyBits: 8.2e6, qber: 0.004 }),
  boaron({ km: 354.5, lossDb: 60.6, mu: [0.35, 0.15], p1: 0.698, keyBasis: 0.892, keyBits: 6.2e6, qber: 0.007 }),
  boaron({ km: 404.9, lossDb: 69.3, mu: [0.35, 0.15], p1: 0.502, keyBasis: 0.779, keyBits: 4.1e5, qber: 0.010 }),
  boaron({ km: 421.1, lossDb: 71.9, mu: [0.30, 0.13], p1: 0.410, keyBasis: 0.689, keyBits: 2.0e5, qber: 0.021 }),
]

/** @throws KmeError `NOT_FOUND` listing what there is. */
export const presetNamed = (name: string): Preset => {
  const found = presets.find((p) => p.name === name)
  if (found === undefined) throw new KmeError('NOT_FOUND', `no preset "${name}"; there are: ${presets.map((p) => p.name).join(', ')}`)
  return found
}

const atLength = (preset: Preset, lengthKm: number): LinkConfig =>
  ({ ...preset.config, fibre: { ...preset.config.fibre, lengthKm } })

/** The channel as Ma's asymptotic formulas see it, at another length if given. */
export const maChannel = (preset: Preset, lengthKm = preset.config.fibre.lengthKm): MaChannel => {
  const { transmittance, misalignment } = derive(atLength(preset, lengthKm)), dark = preset.config.receiver.darkPerDetector
  return { transmittance, misalignment, backgroundYield: preset.formulas === 'rusca2018' ? 2 * dark : 1 - (1 - dark) ** 2 }
}

/** The preset's channel formulas at `lengthKm`. */
export const presetGains = (preset: Preset, lengthKm = preset.config.fibre.lengthKm): GainSource => {
  const channel = maChannel(preset, lengthKm), { darkPerDetector, afterpulse } = preset.config.receiver
  switch (preset.formulas) {
    case 'ma2005': return () => maGain(channel)
    case 'rusca2018': return () => ruscaGain(channel)
    case 'lim2014': return () => limGain({ ...channel, darkPerDetector, afterpulse })
    case 'exact': return (source) => exactGain({ ...channel, darkPerDetector, afterpulse, spill: derive(atLength(preset, lengthKm)).spill }, source)
  }
}
