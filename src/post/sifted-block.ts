import { KmeError, invariant } from '../kernel/errors.js'
import { packedBytes, combine } from './bits.js'
import type { BasisCounts, SiftedCounts } from './counts.js'
import { loadPost } from './native.js'

/**
 * One side's records of the detections of a burst, one byte each: bit 0 the bit, bit 1 the basis (0 key, 1
 * test), at Alice bits 2-3 the index of the intensity. Secret.
 */
export interface Burst { readonly number: number, readonly slots: number, readonly records: Uint8Array }

/**
 * Sifted key-basis bits of one party, ready for error correction, with everything both parties know about
 * them. Equal on both sides but for `bits`, which differ where the channel made errors.
 */
export interface SiftedBlock {
  /** 0, 1, 2, ... equal on both sides. */
  readonly number: number
  readonly lengthBits: number
  /** Packed, least significant first. Secret; the taker wipes it (`fill(0)`). */
  readonly bits: Uint8Array
  /** Index of each bit's intensity as two planes, low and high bit. Public. */
  readonly low: Uint8Array, readonly high: Uint8Array
  /** Sifted key-basis detections by intensity. */
  readonly keyDetections: readonly number[]
  /** Test-basis detections and errors by intensity, from the same bursts. */
  readonly test: BasisCounts
  /** Slots and detections of its bursts, for rates and the account. */
  readonly slots: number, readonly detections: number
}

/** Bits of a block at most: a burst is whole, so a block may be longer than wanted, but not than this. */
export const BLOCK_BITS_MAX = 2 ** 27

/** A plane that grows. */
class PlaneWriter {
  private bytes = new Uint8Array(1024)

  reserve (bits: number): Uint8Array {
    const needed = packedBytes(bits) + 8
    if (needed <= this.bytes.length) return this.bytes
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, needed))
    larger.set(this.bytes)
    this.bytes.fill(0) // It may hold key.
    this.bytes = larger
    return larger
  }

  take (bits: number): Uint8Array {
    const out = this.bytes.slice(0, packedBytes(bits))
    this.bytes.fill(0)
    return out
  }
}

/** Counts of values by intensity: of `mask` and its parts where the intensity's low or high bit is set. */
export const countLevels = (mask: Uint8Array, low: Uint8Array, high: Uint8Array, count: number, intensities: number): number[] => {
  const { countBoth } = loadPost()
  const one = countBoth(mask, low, count), two = countBoth(mask, high, count)
  return [countBoth(mask, mask, count) - one - two, one, two].slice(0, intensities)
}

/** Counts sifted bits into blocks of at least `lengthBits`; a block ends with the burst that fills it. */
export class BlockBuilder {
  private number = 0
  private length = 0
  private readonly bits = new PlaneWriter()
  private readonly low = new PlaneWriter()
  private readonly high = new PlaneWriter()
  private key: number[]
  private test: { detections: number[], errors: number[] }
  private slots = 0
  private detections = 0

  /** @param intensities  How many intensities the source has. */
  constructor (private readonly intensities: number, private readonly lengthBits: number) {
    if (!Number.isSafeInteger(lengthBits) || lengthBits < 1 || lengthBits > BLOCK_BITS_MAX / 2) {
      throw new KmeError('BAD_REQUEST', `a block has 1 to ${BLOCK_BITS_MAX / 2} bits, got ${lengthBits}`)
    }
    this.key = this.zeros()
    this.test = { detections: this.zeros(), errors: this.zeros() }
  }

  /** Bits that wait for the block to be full. */
  get waitingBits (): number { return this.length }

  /**
   * Adds a burst: the bits of `plane` where `mask` is 1, with their intensities, and its test counts.
   *
   * @param count  Detections of the burst, bits of each plane.
   * @returns the block it filled, if it did.
   * @throws KmeError `PROTOCOL` if the block would become longer than BLOCK_BITS_MAX.
   */
  addBurst (plane: Uint8Array, mask: Uint8Array, low: Uint8Array, high: Uint8Array, count: number, test: BasisCounts, slots: number): SiftedBlock | undefined {
    const { selectBits, countBoth } = loadPost()
    const added = countBoth(mask, mask, count), at = this.length, end = at + added
    if (end > BLOCK_BITS_MAX) throw new KmeError('PROTOCOL', `sifting: a burst of ${added} sifted bits makes a block too long; bursts must be shorter`)
    for (const [writer, source] of [[this.bits, plane], [this.low, low], [this.high, high]] as const) {
      const taken = selectBits(source, mask, count, writer.reserve(end), at)
      invariant(taken === added, 'every plane gives as many bits')
    }
    this.length = end
    const byLevel = countLevels(mask, low, high, count, this.intensities)
    this.key = this.key.map((n, i) => n + byLevel[i]!)
    this.test = {
      detections: this.test.detections.map((n, i) => n + test.detections[i]!),
      errors: this.test.errors.map((n, i) => n + test.errors[i]!),
    }
    this.slots += slots
    this.detections += count
    return this.length < this.lengthBits ? undefined : this.end()
  }

  private end (): SiftedBlock {
    const lengthBits = this.length
    const block: SiftedBlock = {
      number: this.number++, lengthBits, bits: this.bits.take(lengthBits), low: this.low.take(lengthBits), high: this.high.take(lengthBits),
      keyDetections: this.key, test: this.test, slots: this.slots, detections: this.detections,
    }
    this.key = this.zeros()
    this.test = { detections: this.zeros(), errors: this.zeros() }
    this.length = this.slots = this.detections = 0
    return block
  }

  private zeros (): number[] { return new Array<number>(this.intensities).fill(0) }
}

/**
 * Errors of a block by intensity, known once it is corrected: where `before` and `after` differ.
 *
 * @param block  Gives length and intensities (either party's: they are equal).
 */
export const errorsByIntensity = (block: SiftedBlock, before: Uint8Array, after: Uint8Array): number[] =>
  countLevels(combine(before, after, block.lengthBits, 'xor'), block.low, block.high, block.lengthBits, block.keyDetections.length)

/** The counts that the key-length formulas read. */
export const blockCounts = (block: SiftedBlock, keyErrors: readonly number[]): SiftedCounts =>
  ({ key: { detections: block.keyDetections, errors: keyErrors }, test: block.test })
