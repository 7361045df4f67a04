import { KmeError } from '../../../src/kernel/errors.js'
import { gateShare, transmittance } from '../analysis/channel.js'
import { checkSource } from '../../../src/post/counts.js'
import { erf } from '../analysis/special.js'

/** One QKD link: everything the Monte-Carlo knows of it. All probabilities are per pulse or per gate. */
export interface LinkConfig {
  readonly source: {
    readonly pulseRateHz: number
    /** Mean photon numbers, strongest (signal) first, 1 to 3 of them, and how often each is sent. */
    readonly intensities: readonly number[], readonly probabilities: readonly number[]
    /** Without a random phase a pulse is no mixture of photon numbers, and no decoy formula holds. */
    readonly phaseRandomised: boolean
    /** Probability that a photon is prepared as the opposite bit. */
    readonly preparationError: number
  }
  readonly fibre: { readonly lengthKm: number, readonly lossDbPerKm: number, readonly extraLossDb: number }
  readonly receiver: {
    /** Receiver optics times detector efficiency. */
    readonly efficiency: number
    /** Dark counts per gate, of each of the two detectors. */
    readonly darkPerDetector: number
    /** Probability that a photon of the right basis goes to the wrong detector. */
    readonly misalignment: number
    /** After a click the whole receiver is blind for this long (all detectors; the remedy against dead-time attacks). */
    readonly deadTimeS: number
    /**
     * Probability that a click is followed by another one. `any-slot`: in a later gate, whatever is sent
     * there, as in real detectors. `own-class`: counted with the intensity that caused it, as published
     * formulas write it (Lim 2014: R_k = D_k (1 + p_ap)).
     */
    readonly afterpulse: number, readonly afterpulseLands: 'any-slot' | 'own-class'
    /** Standard deviation of the arrival time, and the width of the gate (0: the whole pulse period). */
    readonly jitterS: number, readonly gateS: number
  }
  /** Probability of the key basis, at Alice and at Bob. */
  readonly keyBasis: number
}

/** @throws KmeError `BAD_REQUEST` naming the first value that makes no sense. */
export const checkConfig = (c: LinkConfig): void => {
  checkSource(c.source, c.source.intensities.length)
  if (c.source.intensities.length > 3) throw new KmeError('BAD_REQUEST', 'source: at most 3 intensities')
  const within = (name: string, value: number, low: number, high: number): void => {
    if (!(value >= low && value <= high)) throw new KmeError('BAD_REQUEST', `${name} must be from ${low} to ${high}, got ${value}`)
  }
  within('pulse rate', c.source.pulseRateHz, 1, 1e12)
  within('preparation error', c.source.preparationError, 0, 0.5)
  within('length in km', c.fibre.lengthKm, 0, 10_000)
  within('loss in dB/km', c.fibre.lossDbPerKm, 0, 100)
  within('extra loss in dB', c.fibre.extraLossDb, -100, Infinity)
  within('total loss in dB', totalLossDb(c), 0, Infinity)
  within('receiver efficiency', c.receiver.efficiency, 0, 1)
  within('dark counts per gate', c.receiver.darkPerDetector, 0, 0.1)
  within('misalignment', c.receiver.misalignment, 0, 0.5)
  within('dead time in s', c.receiver.deadTimeS, 0, 1e-3)
  within('after-pulse probability', c.receiver.afterpulse, 0, 0.5)
  within('jitter in s', c.receiver.jitterS, 0, 0.5 / c.source.pulseRateHz)
  within('gate in s', c.receiver.gateS, 0, 1 / c.source.pulseRateHz)
  within('probability of the key basis', c.keyBasis, 0.001, 0.999)
}

/** Loss of fibre and connectors, in dB. */
export const totalLossDb = (c: LinkConfig): number => c.fibre.lengthKm * c.fibre.lossDbPerKm + c.fibre.extraLossDb

/** What follows from a configuration, in the quantities of the formulas. */
export interface Derived {
  /** Fibre times receiver times share within the own gate. */
  readonly transmittance: number
  /** Of the light that is detected at all: the part that falls into ONE neighbouring gate, as a transmittance. */
  readonly spill: number
  /** Preparation and receiver errors together: e1 + e2 - 2 e1 e2. */
  readonly misalignment: number
  readonly deadSlots: number
  readonly gateShare: number
}

/** Probability that a photon lands in the own gate, and in one neighbour's. */
export const gateShares = (jitterS: number, gateS: number, periodS: number): { own: number, neighbour: number } => {
  const width = gateS === 0 ? periodS : gateS
  if (jitterS === 0) return { own: 1, neighbour: 0 }
  const scale = Math.SQRT2 * jitterS
  return {
    own: gateShare(jitterS, width),
    neighbour: Math.max(0, erf((periodS + width / 2) / scale) - erf((periodS - width / 2) / scale)) / 2,
  }
}

export const derive = (c: LinkConfig): Derived => {
  const eta = transmittance(c.fibre.lengthKm, c.fibre.lossDbPerKm, c.fibre.extraLossDb) * c.receiver.efficiency
  const shares = gateShares(c.receiver.jitterS, c.receiver.gateS, 1 / c.source.pulseRateHz)
  const a = c.source.preparationError, b = c.receiver.misalignment
  return {
    transmittance: eta * shares.own, spill: eta * shares.neighbour, misalignment: a + b - 2 * a * b,
    deadSlots: Math.round(c.receiver.deadTimeS * c.source.pulseRateHz), gateShare: shares.own,
  }
}
