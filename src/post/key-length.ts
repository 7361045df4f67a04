import type { DecoySource, FiniteKey, NoKeyReason, Security, SiftedCounts } from './counts.js'
import { limKey } from './lim.js'
import { ruscaKey } from './rusca.js'

/** What the estimate must know of the source. Public. */
export interface PhotonSource extends DecoySource {
  /** Without a random phase a pulse is no mixture of photon numbers, and no decoy formula holds. */
  readonly phaseRandomised: boolean
}

/**
 * How long a block's secret key is. The formula follows from the source: three intensities Lim 2014, two
 * Rusca 2018; one has no decoys and never gives a key here, nor does a source without random phases.
 *
 * @param leakBits  Everything error correction disclosed, counted from its messages.
 */
export const estimateKey = (source: PhotonSource, counts: SiftedCounts, leakBits: number, security: Security): FiniteKey => {
  if (!source.phaseRandomised) return noKey('phase not randomised', leakBits)
  if (source.intensities.length === 3) return limKey(source, counts, leakBits, security)
  if (source.intensities.length === 2) return ruscaKey(source, counts, leakBits, security)
  return noKey('no decoys', leakBits)
}

const noKey = (reason: NoKeyReason, leakBits: number): FiniteKey => ({
  bits: 0, bitsExact: -Infinity, noKey: reason, vacuum: 0, single: 0, singleTest: 0, phaseErrorsTest: 0, phaseError: NaN, leakBits,
})
