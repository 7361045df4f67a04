/** Payload of a simulated frame: the same at both ends for the same seed. */
export const framePayload = (seed: number, length: number): Uint8Array => {
  const out = new Uint8Array(length)
  let x = Math.imul(seed + 1, 0x9e3779b1) >>> 0
  for (let i = 0; i < length; i++) {
    x = Math.imul(x ^ x >>> 15, 0x2c1b3c6d) + 0x6d2b79f5 >>> 0
    out[i] = x >>> 24
  }
  return out
}

