import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import { LDPC_BITS_MAX, LDPC_BITS_MIN, LdpcAlice, LdpcBob } from './ldpc.js'
import { CASCADE_VARIANTS, loadPost } from './native.js'
import type { NativeCascade } from './native.js'
import type { Correction } from './options.js'
import type { BlockMessage } from './wire.js'
import { METHODS } from './wire.js'

export type StartMessage = BlockMessage & { type: 'start' }

export interface CorrectionResult {
  /** Bits that Alice disclosed, counted from her messages. */
  readonly leakedBits: number
  /** Messages of one party. */
  readonly rounds: number
}

/** One party's error correction of one block. Its messages are opaque bytes; nobody speaks before `next` gives something. */
export interface Corrector {
  /** The next message to send, each once; undefined: wait for the other side, or it is done. */
  next (): Uint8Array | undefined
  /** @throws KmeError `PROTOCOL` for anything but the other side's next message. */
  receive (data: Uint8Array): void
  readonly done: boolean
  /** Bob's: turns his bits into Alice's, in place, as far as it was possible; verification tells. */
  correct (bits: Uint8Array): void
  result (): CorrectionResult
  /** Wipes and frees. */
  close (): void
}

class CascadeCorrector implements Corrector {
  constructor (private readonly cascade: NativeCascade) {}

  get done (): boolean { return this.cascade.done() }
  next (): Uint8Array | undefined { return this.cascade.message() }
  receive (data: Uint8Array): void { this.cascade.receive(data) }
  correct (bits: Uint8Array): void { this.cascade.correct(bits) }

  result (): CorrectionResult {
    const { leakedBits, rounds } = this.cascade.stats()
    return { leakedBits, rounds }
  }

  close (): void { this.cascade.close() }
}

/** What Alice says to begin, without block and seed. */
export const startFields = (correction: Correction): Pick<StartMessage, 'method' | 'variant' | 'frameBits'> =>
  correction.method === 'cascade'
    ? { method: METHODS.indexOf('cascade'), variant: CASCADE_VARIANTS.indexOf(correction.variant), frameBits: correction.frameBits }
    : { method: METHODS.indexOf('ldpc'), variant: correction.blind === true ? 1 : 0, frameBits: 0 }

/** @throws KmeError `PROTOCOL` if a field of a `start` from outside makes no sense. */
export const checkStart = (m: StartMessage, errorPpmMax: number): void => {
  const refuse = (what: string): never => { throw new KmeError('PROTOCOL', `error correction: ${what}`) }
  if (METHODS[m.method] === undefined) refuse(`unknown method ${m.method}`)
  if (m.seed.length !== 32) refuse(`a seed has 32 bytes, got ${m.seed.length}`)
  if (m.errorPpm < 1 || m.errorPpm > errorPpmMax) refuse(`an error rate of ${m.errorPpm} millionths; 1 to ${errorPpmMax} are possible`)
  if (METHODS[m.method] === 'ldpc') {
    if (m.variant > 1) refuse(`unknown variant ${m.variant} of LDPC`)
    if (m.lengthBits < LDPC_BITS_MIN || m.lengthBits > LDPC_BITS_MAX) refuse(`LDPC takes ${LDPC_BITS_MIN} to ${LDPC_BITS_MAX} bits, got ${m.lengthBits}`)
    return
  }
  if (CASCADE_VARIANTS[m.variant] === undefined) refuse(`unknown variant ${m.variant} of Cascade`)
  if (m.frameBits < 64 || m.frameBits > 2 ** 24) refuse(`frames of ${m.frameBits} bits`)
}

/**
 * Begins error correction of `bits`, which are copied.
 *
 * @param alice  Alice's random source (LDPC punctures with it); absent at Bob's.
 */
export const createCorrector = (m: StartMessage, bits: Uint8Array, alice?: Random): Corrector => {
  if (METHODS[m.method] === 'ldpc') {
    return alice === undefined ? new LdpcBob(m.lengthBits, bits)
      : new LdpcAlice({ lengthBits: m.lengthBits, errorPpm: m.errorPpm, blind: m.variant === 1 }, bits, alice)
  }
  return new CascadeCorrector(new (loadPost().Cascade)(m.variant, m.lengthBits, m.frameBits, m.errorPpm, m.seed, bits))
}
