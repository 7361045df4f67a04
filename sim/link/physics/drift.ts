import type { Xoshiro } from '../chance/xoshiro.js'
import { totalLossDb } from './config.js'
import type { LinkConfig } from './config.js'

/** Slow wandering of a link. Each quantity is an Ornstein-Uhlenbeck process: a random walk, pulled back by feedback. */
export interface DriftConfig {
  /** Angle of polarisation or phase: growth of the walk per square root of a second, and pull of the feedback per second. */
  readonly angleRadPerSqrtS: number, readonly angleFeedbackPerS: number
  /** The same for the loss of the fibre. */
  readonly lossDbPerSqrtS: number, readonly lossReturnPerS: number
}

export interface DriftState { readonly angleRad: number, readonly lossDb: number }

export const noDrift: DriftState = { angleRad: 0, lossDb: 0 }

/** Exact step of dx = -pull x dt + walk dW. */
const wander = (random: Xoshiro, x: number, walk: number, pull: number, stepS: number): number => {
  const spread = pull === 0 ? stepS : -Math.expm1(-2 * pull * stepS) / (2 * pull)
  return x * Math.exp(-pull * stepS) + walk * Math.sqrt(spread) * random.normal()
}

/** The state `stepS` seconds later. */
export const drift = (random: Xoshiro, state: DriftState, c: DriftConfig, stepS: number): DriftState => ({
  angleRad: wander(random, state.angleRad, c.angleRadPerSqrtS, c.angleFeedbackPerS, stepS),
  lossDb: wander(random, state.lossDb, c.lossDbPerSqrtS, c.lossReturnPerS, stepS),
})

/**
 * The link as it is now: a turned analyser adds sin^2(angle) to the misalignment (Malus), never above 1/2;
 * the whole loss never falls below 0 dB. A cut leaves no light at all.
 */
export const drifted = (config: LinkConfig, state: DriftState, cut: boolean): LinkConfig => {
  const turned = Math.min(0.5, Math.sin(state.angleRad) ** 2), e = config.receiver.misalignment
  const loss = cut ? Infinity : config.fibre.extraLossDb + Math.max(state.lossDb, -totalLossDb(config))
  return {
    ...config,
    fibre: { ...config.fibre, extraLossDb: loss },
    receiver: { ...config.receiver, misalignment: e + turned - 2 * e * turned },
  }
}
