/** Base64 (RFC 4648, section 4) and JSON escapes over bytes: key never becomes a JavaScript string. Pure. */

const VALUES = new Int8Array(256).fill(-1)
for (const [i, c] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries()) VALUES[c.charCodeAt(0)] = i
const PAD = 0x3d, BACKSLASH = 0x5c

const hexValue = (byte: number): number => byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66 ? (byte | 0x20) - 0x57 : -1

/** Bytes that a stretch of base64 can decode to, at most. */
export const base64Room = (length: number): number => Math.floor(length / 4) * 3 + 3

/**
 * Decodes the inside of a JSON string that holds base64. Some writers escape `/` and `+`: both forms of escape are taken.
 *
 * @param out Room for `base64Room(end - start)` bytes; what was written is the caller's to wipe, also after -1.
 * @returns the number of bytes written, or -1 if this is not base64 with its padding.
 */
export const decodeBase64 = (text: Uint8Array, start: number, end: number, out: Uint8Array): number => {
  let bits = 0, held = 0, written = 0, digits = 0, pads = 0
  for (let at = start; at < end; at++) {
    let byte = text[at]!
    if (byte === BACKSLASH) {
      byte = text[++at] ?? 0
      if (byte === 0x75) { // \u00XX
        if (at + 4 >= end) return -1
        const high = hexValue(text[at + 3]!), low = hexValue(text[at + 4]!)
        if (text[at + 1] !== 0x30 || text[at + 2] !== 0x30 || high < 0 || low < 0) return -1
        byte = high * 16 + low
        at += 4
      } else if (byte !== 0x2f) return -1
    }
    if (byte === PAD) { pads++; continue }
    const value = VALUES[byte]!
    if (value < 0 || pads > 0) return -1
    digits++
    bits = (bits << 6 | value) & 0xffffff
    held += 6
    if (held >= 8) {
      held -= 8
      out[written++] = bits >> held & 255
    }
  }
  // Whole groups of four, and no bits left over that could hide something.
  if ((digits + pads) % 4 !== 0 || pads > 2 || (bits & ((1 << held) - 1)) !== 0) return -1
  return written
}
