import { KmeError } from '../kernel/errors.js'

/** Detections and errors among the sifted pulses of one basis, one number per intensity. */
export interface BasisCounts { readonly detections: readonly number[], readonly errors: readonly number[] }

/**
 * Everything the finite-key formulas read. `key` is the basis the key comes from (X in Lim 2014, Z in
 * Rusca 2018), `test` the other one.
 */
export interface SiftedCounts { readonly key: BasisCounts, readonly test: BasisCounts }

/** Intensities, strongest first, and how often each is chosen. */
export interface DecoySource { readonly intensities: readonly number[], readonly probabilities: readonly number[] }

export interface Security {
  /** eps_sec. */
  readonly secrecy: number
  /** eps_cor. */
  readonly correctness: number
}

export type NoKeyReason =
  'no single photons in the test basis' | 'no single photons in the key basis' | 'phase error at or above 1/2' | 'nothing left' |
  'phase not randomised' | 'no decoys'

/** A finite key: its length, and the estimates behind it. Counts are numbers of events in the block. */
export interface FiniteKey {
  /** Whole secret bits, 0 if there is no key. */
  readonly bits: number
  /** The same before rounding and before the cut at 0; -Infinity if the estimates already failed. */
  readonly bitsExact: number
  readonly noKey?: NoKeyReason
  readonly vacuum: number, readonly single: number, readonly singleTest: number
  readonly phaseErrorsTest: number, readonly phaseError: number, readonly leakBits: number
}

export const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

/** tau_n: probability that the source sends n photons, over its intensities. Lim 2014, below eq. (3). */
export const photonShare = (source: DecoySource, photons: 0 | 1): number =>
  sum(source.intensities.map((k, i) => source.probabilities[i]! * Math.exp(-k) * (photons === 0 ? 1 : k)))

/** @throws KmeError `BAD_REQUEST` if the source has not `size` intensities, strongest first, with probabilities that add up to 1. */
export const checkSource = (source: DecoySource, size: number): void => {
  const { intensities: k, probabilities: p } = source
  const fail = (why: string): never => { throw new KmeError('BAD_REQUEST', `source: ${why}`) }
  if (k.length !== size || p.length !== size) fail(`needs ${size} intensities and as many probabilities`)
  if (k.some((x) => !(x >= 0 && x < 10))) fail('an intensity must be from 0 to 10 photons per pulse')
  if (k.some((x, i) => i > 0 && x >= k[i - 1]!)) fail('intensities must fall from the first (signal) to the last')
  if (p.some((x) => !(x > 0 && x <= 1)) || Math.abs(sum(p) - 1) > 1e-9) fail('probabilities must be above 0 and add up to 1')
}
