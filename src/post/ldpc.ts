/** Error correction by LDPC codes: one message each way where all goes well, for links on which a round is long. */
import { KmeError, invariant } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import { packedBytes } from './bits.js'
import { loadPost } from './native.js'
import type { NativeLdpcAlice, NativeLdpcBob, NativeLdpcPlan } from './native.js'

/** Bits of a block. Frames of about a million bits are worth most; a shorter block costs up to a tenth more. */
export const LDPC_BITS_MIN = 2 ** 18
export const LDPC_BITS_MAX = 2 ** 27

export interface LdpcOptions {
  /** 2^18 to 2^27. */
  readonly lengthBits: number
  /** Expected error rate in millionths, 1 to 499,999. Too low an estimate costs rounds, too high a one leakage. */
  readonly errorPpm: number
  /** Begin with as many punctured bits as there can be and add until it fits: `errorPpm` is a guess then. More rounds, less leakage. */
  readonly blind?: boolean
}

/** Names of the ways to decode that this processor has, the slowest first; the last one is taken. */
export const ldpcWays = (): readonly string[] => loadPost().ldpcWays.filter((name) => name !== null)

const check = (o: LdpcOptions): void => {
  const refuse = (why: string): never => { throw new KmeError('BAD_REQUEST', `error correction by LDPC: ${why}`) }
  if (!Number.isInteger(o.lengthBits) || o.lengthBits < LDPC_BITS_MIN || o.lengthBits > LDPC_BITS_MAX) refuse(`a block has 2^18 to 2^27 bits, got ${o.lengthBits}`)
  if (!Number.isInteger(o.errorPpm) || o.errorPpm < 1 || o.errorPpm > 499_999) refuse(`an error rate of ${o.errorPpm} millionths; 1 to 499999 are possible`)
}

const checkBits = (bits: Uint8Array, lengthBits: number): void => {
  if (bits.length !== packedBytes(lengthBits)) throw new KmeError('BAD_REQUEST', `error correction by LDPC: ${lengthBits} bits have ${packedBytes(lengthBits)} bytes, got ${bits.length}`)
}

/** What Alice would send: the code (rows of blocks of 4096 checks), frames, punctured bits of each, and the bits that it leaks without any round more. */
export const ldpcPlan = (o: LdpcOptions): NativeLdpcPlan => {
  check(o)
  return loadPost().ldpcPlan(o.lengthBits, o.errorPpm, o.blind ?? false)
}

/**
 * Bits that one message of Alice's discloses: of syndromes, their bits less the punctured ones, which are random bits of hers
 * that mask as many; of values, each of them. Bob's messages say which bits he wants to see; they are not counted, as his
 * parities are not in Cascade: what they tell of the errors is not about Alice's bits.
 *
 * @throws KmeError `PROTOCOL` if it is no message of hers.
 */
export const ldpcLeakedBits = (message: Uint8Array): number => {
  try {
    return loadPost().ldpcLeakedBits(message)
  } catch (error) { throw protocolError(error) }
}

/** An expected failure of the addon as ours; anything else as it is. */
const protocolError = (error: unknown): unknown =>
  error instanceof Error && 'code' in error && error.code === 'PROTOCOL' ? new KmeError('PROTOCOL', error.message, { cause: error }) : error

/** One party's work on one block, in the form of `Corrector`. */
abstract class LdpcParty<Native extends NativeLdpcAlice | NativeLdpcBob> {
  constructor (protected readonly native: Native) {}

  /** Whether all messages were made and received; whether it succeeded is for verification to tell. */
  get done (): boolean { return this.native.stats().done }

  /** The next message to send, each once; undefined: wait for the other side, or it is done. */
  next (): Uint8Array | undefined { return this.native.message() }

  /** @throws KmeError `PROTOCOL` for anything but the other side's next message; nothing has changed then. */
  receive (data: Uint8Array): void {
    try {
      this.native.receive(data)
    } catch (error) { throw protocolError(error) }
  }

  /** `leakedBits`: counted from Alice's messages. `rounds`: messages of this party. */
  result (): { leakedBits: number, rounds: number } {
    const { leakedBits, rounds } = this.native.stats()
    return { leakedBits, rounds }
  }

  /** Wipes and frees. Nothing else may follow. */
  close (): void { this.native.close() }
}

export class LdpcAlice extends LdpcParty<NativeLdpcAlice> {
  /**
   * @param bits  Alice's, packed, the least significant first. Copied; the caller wipes his, `close` wipes the copy.
   * @param random  Gives the punctured bits. They must be truly random, for they count as not leaked.
   * @throws KmeError `BAD_REQUEST` for numbers that make no sense.
   */
  constructor (o: LdpcOptions, bits: Uint8Array, random: Random) {
    check(o)
    checkBits(bits, o.lengthBits)
    const mask = random.bytes(ldpcPlan(o).maskBytes)
    super(new (loadPost().LdpcAlice)(o.lengthBits, o.errorPpm, o.blind ?? false, bits, mask))
    mask.fill(0)
  }

  /** Alice's bits are right by definition. */
  correct (_bits: Uint8Array): void {}
}

export class LdpcBob extends LdpcParty<NativeLdpcBob> {
  /**
   * @param bits  Bob's, packed, the least significant first. Copied; the caller wipes his, `close` wipes the copy.
   * @param way  A name of `ldpcWays`; by default the fastest. All give the same bits.
   * @throws KmeError `BAD_REQUEST` for numbers that make no sense.
   */
  constructor (lengthBits: number, bits: Uint8Array, way?: string) {
    check({ lengthBits, errorPpm: 1 })
    checkBits(bits, lengthBits)
    const { ldpcWays: ways, LdpcBob: Native } = loadPost()
    const number = way === undefined ? ways.findLastIndex((name) => name !== null) : ways.indexOf(way)
    invariant(number >= 0, 'a way to decode that this processor has')
    super(new Native(lengthBits, bits, number))
  }

  /** Turns Bob's bits into Alice's, in place; frames that could not be decoded stay as they are. */
  correct (bits: Uint8Array): void { this.native.correct(bits) }

  /** Frames of the block, those given up, and iterations of the decoder over all of them. */
  get decoding (): { frames: number, failed: number, iterations: number } {
    const { frames, failed, iterations } = this.native.stats()
    return { frames, failed, iterations }
  }
}
