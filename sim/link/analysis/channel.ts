import { erf } from './special.js'

/** Gain and joint error probability of one pulse; QBER is `errorGain / gain`. Per pulse sent. */
export interface Gain { readonly gain: number, readonly errorGain: number }
/** Gain of a pulse of a given mean photon number through one channel and receiver. */
export type GainModel = (intensity: number) => Gain

/** Transmittance of `lengthKm` of fibre at `lossDbPerKm`, with `extraLossDb` of connectors: 10^(-dB/10). */
export const transmittance = (lengthKm: number, lossDbPerKm: number, extraLossDb = 0): number =>
  10 ** (-(lengthKm * lossDbPerKm + extraLossDb) / 10)

/** Share of pulses that find the receiver live: non-paralysable dead time. Rusca et al. 2018, appendix B. */
export const liveFraction = (pulseRateHz: number, clickProbability: number, deadTimeS: number): number =>
  1 / (1 + pulseRateHz * clickProbability * deadTimeS)

/** Share of photons with Gaussian arrival time `sigmaS` that falls into a centred gate of width `gateS`. */
export const gateShare = (sigmaS: number, gateS: number): number =>
  sigmaS === 0 ? 1 : erf(gateS / (2 * Math.SQRT2 * sigmaS))

export interface MaChannel {
  /** Fibre times receiver, all photons. */
  readonly transmittance: number
  /** Background yield Y0 of all detectors, per gate. */
  readonly backgroundYield: number
  /** e_d: probability that a signal photon goes to the wrong detector. */
  readonly misalignment: number
}

const BACKGROUND_ERROR = 0.5

/** Q and EQ of Ma, Qi, Zhao, Lo, PRA 72 012326 (2005), eqs. (10), (11): Q = Y0 + 1 - e^-eta mu. */
export const maGain = (c: MaChannel): GainModel => (intensity) => {
  const signal = -Math.expm1(-c.transmittance * intensity)
  return { gain: c.backgroundYield + signal, errorGain: BACKGROUND_ERROR * c.backgroundYield + c.misalignment * signal }
}

/** Yield and error of exactly n photons. Ma 2005, eqs. (7), (9), without their neglect of Y0 eta_n. */
export const photonYield = (c: MaChannel, photons: number): Gain => {
  const detected = -Math.expm1(photons * Math.log1p(-c.transmittance))
  const gain = c.backgroundYield + detected - c.backgroundYield * detected
  return { gain, errorGain: BACKGROUND_ERROR * c.backgroundYield + c.misalignment * detected }
}

export interface LimChannel {
  /** eta_sys = fibre times receiver. */
  readonly transmittance: number
  /** p_dc, per detector and gate; there are two. */
  readonly darkPerDetector: number
  /** p_ap, per click. */
  readonly afterpulse: number
  /** e_mis. */
  readonly misalignment: number
}

/**
 * Click and error probability of Lim, Curty, Walenta, Xu, Zbinden, PRA 89 022307 (2014), section IV:
 * D_k = 1-(1-2 p_dc) e^(-eta k), R_k = D_k (1+p_ap), e_k = p_dc + e_mis (1-e^(-eta k)) + p_ap D_k/2.
 * The paper prints the fibre's transmittance in e_k; only the whole system's gives its figures.
 */
export const limGain = (c: LimChannel): GainModel => (intensity) => {
  const signal = -Math.expm1(-c.transmittance * intensity)
  const click = signal + 2 * c.darkPerDetector * (1 - signal)
  return {
    gain: click * (1 + c.afterpulse),
    errorGain: c.darkPerDetector + c.misalignment * signal + c.afterpulse * click / 2,
  }
}

/**
 * Rusca, Boaron, Gruenenfelder, Martin, Zbinden, APL 112 171104 (2018), appendix B, per pulse in the key
 * basis of both sides and before dead time: 1-e^(-mu eta)+P_dc and (1-e^(-mu eta)) P_err + P_dc/2.
 */
export const ruscaGain = (c: MaChannel): GainModel => maGain(c)

export interface ExactChannel {
  /** Fibre times receiver times share within the gate. */
  readonly transmittance: number
  readonly darkPerDetector: number
  readonly misalignment: number
  /** p_ap, of after-pulses that land in later gates, whatever is sent there. */
  readonly afterpulse: number
  /** Transmittance into ONE neighbouring gate. */
  readonly spill: number
}

/**
 * Two threshold detectors behind one basis choice, exactly: photons of a phase-randomised pulse split into
 * independent Poisson streams, so detectors click independently; a double click becomes a random bit.
 * Neighbours' light (to first order) and after-pulses are independent Poisson noise on either detector; the
 * latter depend on all intensities, so on `source`. Own derivation; without noise it agrees with `maGain` to
 * second order in eta mu. This is what the Monte-Carlo draws from.
 */
export const exactGain = (c: ExactChannel, source: { readonly intensities: readonly number[], readonly probabilities: readonly number[] }): GainModel => {
  const weighted = (f: (k: number) => number): number => source.intensities.reduce((s, k, i) => s + source.probabilities[i]! * f(k), 0)
  const spilled = 2 * c.spill * weighted((k) => k)
  const at = (noise: number): GainModel => (intensity) => {
    const mean = c.transmittance * intensity, background = noise / 2 - Math.log1p(-c.darkPerDetector)
    const right = -Math.expm1(-mean * (1 - c.misalignment) - background)
    const wrong = -Math.expm1(-mean * c.misalignment - background)
    return { gain: right + wrong - right * wrong, errorGain: wrong - right * wrong / 2 }
  }
  let afterpulses = 0
  for (let i = 0; i < 60 && c.afterpulse > 0; i++) afterpulses = c.afterpulse * weighted((k) => at(spilled + afterpulses)(k).gain)
  return at(spilled + afterpulses)
}
