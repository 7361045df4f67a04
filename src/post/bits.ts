import { loadPost, PLANE_RULES } from './native.js'

/** Bytes that hold `bits` packed bits. Bit i is bit i mod 8 (least significant first) of byte i / 8. */
export const packedBytes = (bits: number): number => Math.ceil(bits / 8)

/** Reads packed bit i. */
export const bitAt = (bytes: Uint8Array, i: number): number => (bytes[i >>> 3]! >>> (i & 7)) & 1

/** Whether the bits behind the last of `bits` are 0. */
export const tailIsClear = (bytes: Uint8Array, bits: number): boolean =>
  (bits & 7) === 0 || bytes[bytes.length - 1]! >>> (bits & 7) === 0

/** A fresh plane of `bits` bits made from two, bit by bit; behind the last bit it is 0. `andNot`: a and not b. `same`: where they agree. */
export const combine = (a: Uint8Array, b: Uint8Array, bits: number, rule: typeof PLANE_RULES[number]): Uint8Array =>
  loadPost().combinePlanes(PLANE_RULES.indexOf(rule), a, b, bits)

/** Whether two byte strings are equal, in a time that does not depend on where they differ. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}
