/** Bytes that hold `bits` packed bits. Bit i is bit i mod 8 (least significant first) of byte i / 8. */
export const packedBytes = (bits: number): number => Math.ceil(bits / 8)

/** Reads packed bit i. */
export const bitAt = (bytes: Uint8Array, i: number): number => (bytes[i >>> 3]! >>> (i & 7)) & 1

/** Whether the bits behind the last of `bits` are 0. */
export const tailIsClear = (bytes: Uint8Array, bits: number): boolean =>
  (bits & 7) === 0 || bytes[bytes.length - 1]! >>> (bits & 7) === 0

/** A plane made byte by byte from others of the same length; bits behind the last of `bits` become 0. */
export const combine = (a: Uint8Array, b: Uint8Array, bits: number, rule: (x: number, y: number) => number): Uint8Array => {
  const out = new Uint8Array(a.length)
  for (let i = 0; i < out.length; i++) out[i] = rule(a[i]!, b[i]!)
  if ((bits & 7) !== 0) out[out.length - 1]! &= (1 << (bits & 7)) - 1
  return out
}

export const and = (x: number, y: number): number => x & y
export const andNot = (x: number, y: number): number => x & ~y
export const xor = (x: number, y: number): number => x ^ y
export const same = (x: number, y: number): number => ~(x ^ y)

/** Whether two byte strings are equal, in a time that does not depend on where they differ. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}
