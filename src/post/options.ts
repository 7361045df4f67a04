import { KmeError } from '../kernel/errors.js'
import { checkSource } from './counts.js'
import type { Security } from './counts.js'
import type { PhotonSource } from './key-length.js'
import { LDPC_BITS_MIN } from './ldpc.js'
import type { CASCADE_VARIANTS } from './native.js'

export type CascadeVariant = typeof CASCADE_VARIANTS[number]

/** How errors are corrected. Alice's choice; Bob takes what she says. */
export type Correction =
  /** Least leakage; a few hundred to two thousand rounds per block, each one way long. `frameBits` is wanted; frames are made equally long. */
  | { readonly method: 'cascade', readonly variant: CascadeVariant, readonly frameBits: number }
  /** Few rounds, for links where a round is long. */
  | { readonly method: 'ldpc', readonly blind?: boolean }

/** What both parties must know, equal at both. */
export interface PostOptions {
  readonly source: PhotonSource
  readonly security: Security
  /** A block ends with the burst that brings it to so many sifted key-basis bits. */
  readonly blockBits: number
  /** QBER of the test basis from which a block is given up. */
  readonly qberAbort: number
  readonly correction: Correction
}

/** Fewest leaked bits among the variants at n = 10^5, and the fastest. */
export const defaultCorrection: Correction = { method: 'cascade', variant: 'option8', frameBits: 100_000 }

/** @throws KmeError `BAD_REQUEST` naming the first value that makes no sense. */
export const checkPostOptions = (o: PostOptions): void => {
  const refuse = (why: string): never => { throw new KmeError('BAD_REQUEST', `post-processing: ${why}`) }
  checkSource(o.source, o.source.intensities.length)
  if (o.source.intensities.length > 3) refuse('a source has at most 3 intensities')
  if (!(o.security.secrecy > 0 && o.security.secrecy < 1)) refuse('the secrecy parameter must be above 0 and below 1')
  if (!(o.security.correctness > 0 && o.security.correctness < 1)) refuse('the correctness parameter must be above 0 and below 1')
  if (!(o.qberAbort > 0 && o.qberAbort <= 0.25)) refuse('the QBER limit must be above 0 and at most 0.25')
  if (o.correction.method === 'cascade' && !(o.correction.frameBits >= 1_000 && o.correction.frameBits <= 2 ** 24)) refuse('a frame of Cascade has 1,000 to 2^24 bits')
  if (o.correction.method === 'ldpc' && o.blockBits < LDPC_BITS_MIN) refuse(`blocks for LDPC have at least ${LDPC_BITS_MIN} bits`)
}

/**
 * Block size for a link: as many bits as come in `waitS`, within what amplification and memory bear. Larger blocks give
 * more key per bit (fluctuations matter less), and later.
 *
 * @param siftedBps  Sifted key-basis bits per second.
 */
export const chooseBlockBits = (siftedBps: number, waitS: number, bitsMax = 10_000_000): number =>
  Math.min(bitsMax, Math.max(100_000, Math.round(siftedBps * waitS)))
