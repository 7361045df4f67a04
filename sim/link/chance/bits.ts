import { invariant } from '../../../src/kernel/errors.js'
import type { Xoshiro } from './xoshiro.js'

/** Bytes that hold `bits` packed bits. Bit i is bit i mod 8 (least significant first) of byte i / 8. */
export const packedBytes = (bits: number): number => (bits + 7) >>> 3

/** Reads packed bit i. */
export const bitAt = (bytes: Uint8Array, i: number): number => (bytes[i >>> 3]! >>> (i & 7)) & 1

/** Bits that are 1. */
export const popcount = (bytes: Uint8Array): number => {
  let total = 0
  for (const byte of bytes) {
    let b = byte
    for (; b !== 0; b &= b - 1) total++
  }
  return total
}

/**
 * The values whose mask is 1, in order. Without branches: masks are as random as the bases, and a branch
 * that is guessed wrong costs more than the rest of sifting.
 *
 * @param mask  0 or 1 for each value.
 */
export const compact = (values: Uint8Array, mask: Uint8Array): Uint8Array => {
  const out = new Uint8Array(values.length + 1)
  let n = 0
  for (let i = 0; i < values.length; i++) {
    out[n] = values[i]!
    n += mask[i]!
  }
  const kept = out.slice(0, n)
  out.fill(0) // It may hold key.
  return kept
}

/** Grows as packed fields of 1, 2, 4 or 8 bits are appended; a field never straddles bytes. */
export class FieldWriter {
  private bytes: Uint8Array
  private count = 0

  constructor (private readonly fieldBits: 1 | 2 | 4 | 8, capacity = 1024) {
    this.bytes = new Uint8Array(packedBytes(Math.max(8, capacity) * fieldBits))
  }

  get length (): number { return this.count }

  /** Appends the low bits of `values[i] >>> shift`. */
  append (values: Uint8Array, shift: number): void {
    const width = this.fieldBits, mask = (1 << width) - 1
    this.grow((this.count + values.length) * width)
    const { bytes } = this
    let bit = this.count * width // below 2^32
    for (let i = 0; i < values.length; i++) {
      bytes[bit >>> 3]! |= ((values[i]! >>> shift) & mask) << (bit & 7)
      bit += width
    }
    this.count += values.length
  }

  /** The packed bytes (a copy; unused bits are 0), after which the writer is empty and zeroed. */
  take (): Uint8Array {
    const out = this.bytes.slice(0, Math.ceil(this.count * this.fieldBits / 8))
    this.bytes.fill(0, 0, out.length)
    this.count = 0
    return out
  }

  private grow (bits: number): void {
    if (bits <= this.bytes.length * 8) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, packedBytes(bits)))
    larger.set(this.bytes)
    this.bytes.fill(0) // It may hold key.
    this.bytes = larger
  }
}

/** Reads field i of `fieldBits` bits as FieldWriter wrote it. */
export const fieldAt = (bytes: Uint8Array, fieldBits: 1 | 2 | 4 | 8, i: number): number => {
  const bit = i * fieldBits
  return (bytes[bit >>> 3]! >>> (bit & 7)) & ((1 << fieldBits) - 1)
}

/**
 * Alice's and Bob's sifted strings: random bits, and `errors` differing places, every set of places equally
 * likely. Packed, unused bits 0, owned by the caller.
 */
export const siftedPair = (random: Xoshiro, bits: number, errors: number): { alice: Uint8Array, bob: Uint8Array } => {
  invariant(Number.isSafeInteger(bits) && errors >= 0 && errors <= bits, `0 to ${bits} errors in ${bits} bits, got ${errors}`)
  const alice = random.fill(new Uint8Array(packedBytes(bits)))
  if ((bits & 7) !== 0) alice[alice.length - 1]! &= (1 << (bits & 7)) - 1
  // Draw the smaller of the sets "differ" and "agree": then at most every second place is already taken.
  const flip = errors * 2 <= bits
  const marked = new Uint8Array(alice.length)
  for (let left = flip ? errors : bits - errors; left > 0;) {
    const at = random.below(bits), mask = 1 << (at & 7)
    if ((marked[at >>> 3]! & mask) !== 0) continue
    marked[at >>> 3]! |= mask
    left--
  }
  const bob = alice.map((byte, i) => flip ? byte ^ marked[i]! : byte ^ ~marked[i]!)
  if ((bits & 7) !== 0) bob[bob.length - 1]! &= (1 << (bits & 7)) - 1
  return { alice, bob }
}
