/**
 * Payload of a simulated frame: the same at both ends for the same seed. Chris Doty-Humphrey's small fast counting generator (sfc32): 128 bits
 * of state, so that no two frames of a run share a stretch, which a ledger of every 8 bytes would take for key that is used twice.
 */
export const framePayload = (seed: number, length: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(length / 4))
  let a = seed | 0, b = 0x9e3779b9 | 0, c = ~seed, counter = 1
  for (let i = -WARM_UP; i < words.length; i++) {
    const next = (a + b | 0) + counter | 0
    counter = counter + 1 | 0
    a = b ^ b >>> 9
    b = c + (c << 3) | 0
    c = (c << 21 | c >>> 11) + next | 0
    if (i >= 0) words[i] = next
  }
  return new Uint8Array(words.buffer, 0, length)
}
/** So many words are not used: until then a seed shows through. */
const WARM_UP = 12
