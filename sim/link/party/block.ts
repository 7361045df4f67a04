import { KmeError } from '../../../src/kernel/errors.js'
import { FieldWriter, fieldAt } from '../chance/bits.js'
import type { BasisCounts, SiftedCounts } from '../analysis/counts.js'
import { INTENSITY_BITS } from './messages.js'

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
  /** Intensity of each bit, packed in 2 bits. Public. */
  readonly intensities: Uint8Array
  /** Sifted key-basis detections by intensity. */
  readonly keyDetections: readonly number[]
  /** Test-basis detections and errors by intensity, from the same bursts. */
  readonly test: BasisCounts
  /** Slots of its bursts, for rates. */
  readonly slots: number
}

/** Counts sifted bits into blocks of at least `lengthBits`; a block ends with the burst that fills it. */
export class BlockBuilder {
  private number = 0
  private readonly bits = new FieldWriter(1)
  private readonly levels = new FieldWriter(INTENSITY_BITS)
  private key: number[]
  private test: { detections: number[], errors: number[] }
  private slots = 0

  /** @param intensities  How many intensities the source has. */
  constructor (private readonly intensities: number, private readonly lengthBits: number) {
    if (!Number.isSafeInteger(lengthBits) || lengthBits < 1 || lengthBits > 2 ** 30) {
      throw new KmeError('BAD_REQUEST', `a block has 1 to 2^30 bits, got ${lengthBits}`)
    }
    this.key = this.zeros()
    this.test = { detections: this.zeros(), errors: this.zeros() }
  }

  /** Adds the key-basis detections of a burst: bit 0 the bit, bits 2-3 the intensity. They are wiped. */
  addKey (records: Uint8Array): void {
    this.bits.append(records, 0)
    this.levels.append(records, 2)
    for (let i = 0; i < records.length; i++) this.key[records[i]! >>> 2]! += 1
    records.fill(0)
  }

  /** Adds the test counts of a burst and ends it; the burst's key bits are in already. @returns the block it filled, if it did. */
  endBurst (test: BasisCounts, slots: number): SiftedBlock | undefined {
    this.test = {
      detections: this.test.detections.map((n, i) => n + test.detections[i]!),
      errors: this.test.errors.map((n, i) => n + test.errors[i]!),
    }
    this.slots += slots
    if (this.bits.length < this.lengthBits) return undefined
    const block: SiftedBlock = {
      number: this.number++, lengthBits: this.bits.length, bits: this.bits.take(), intensities: this.levels.take(),
      keyDetections: this.key, test: this.test, slots: this.slots,
    }
    this.key = this.zeros()
    this.test = { detections: this.zeros(), errors: this.zeros() }
    this.slots = 0
    return block
  }

  private zeros (): number[] { return new Array<number>(this.intensities).fill(0) }
}

/**
 * Errors of a block by intensity, known once it is corrected: where `before` and `after` differ.
 *
 * @param block  Gives length and intensities (either party's: they are equal).
 */
export const errorsByIntensity = (block: SiftedBlock, before: Uint8Array, after: Uint8Array): number[] => {
  const errors = new Array<number>(block.keyDetections.length).fill(0)
  for (let byte = 0; byte < block.bits.length; byte++) {
    for (let wrong = before[byte]! ^ after[byte]!; wrong !== 0; wrong &= wrong - 1) {
      const at = byte * 8 + 31 - Math.clz32(wrong & -wrong)
      if (at < block.lengthBits) errors[fieldAt(block.intensities, INTENSITY_BITS, at)]! += 1
    }
  }
  return errors
}

/** The counts that the key-length formulas read. */
export const blockCounts = (block: SiftedBlock, keyErrors: readonly number[]): SiftedCounts =>
  ({ key: { detections: block.keyDetections, errors: keyErrors }, test: block.test })
