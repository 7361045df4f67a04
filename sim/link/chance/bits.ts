import { invariant } from '../../../src/kernel/errors.js'
import { packedBytes } from '../../../src/post/bits.js'
import type { Xoshiro } from './xoshiro.js'

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
