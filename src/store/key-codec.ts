/**
 * Keys as bytes whose order is the order of the keys, and as strings of one character per byte (latin1), which
 * JavaScript compares in the same order. The ordered-binary package does not fit here: it writes byte arrays within a
 * key without escapes, so that neither order nor decoding hold for them.
 *
 * Each element is a type octet and its body:
 *   10 number  8 bytes: IEEE 754 big endian, sign bit flipped for numbers >= 0, all bits flipped below
 *   20 string  UTF-8, 00 written as 00 ff, ended by 00
 *   30 bytes   the same escapes
 */
import { invariant } from '../kernel/errors.js'
import type { KvKey } from './kv.js'

export const KEY_BYTES_MAX = 512

const NUMBER = 0x10, STRING = 0x20, BYTES = 0x30
const scratch = Buffer.alloc(4 * KEY_BYTES_MAX)
const view = new DataView(scratch.buffer, scratch.byteOffset, scratch.length)

const writeNumber = (at: number, value: number): number => {
  invariant(!Number.isNaN(value), 'a key element is not NaN')
  scratch[at] = NUMBER
  view.setFloat64(at + 1, value === 0 ? 0 : value) // -0 is 0
  if (value < 0) for (let i = at + 1; i < at + 9; i++) scratch[i] = ~(scratch[i] as number)
  else scratch[at + 1] = (scratch[at + 1] as number) | 0x80
  return at + 9
}

const writeText = (at: number, text: string): number => {
  scratch[at++] = STRING
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0 || code >= 0x80) return writeEscaped(at - i - 1, STRING, Buffer.from(text, 'utf8'))
    scratch[at++] = code
  }
  scratch[at++] = 0
  return at
}

const writeEscaped = (at: number, type: number, bytes: Uint8Array): number => {
  scratch[at++] = type
  for (const byte of bytes) {
    scratch[at++] = byte
    if (byte === 0) scratch[at++] = 0xff
  }
  scratch[at++] = 0
  return at
}

const write = (key: KvKey): number => {
  let at = 0
  for (const part of key) {
    invariant(typeof part === 'number' || part.length <= KEY_BYTES_MAX, 'a key element is at most 512 bytes')
    if (typeof part === 'number') at = writeNumber(at, part)
    else if (typeof part === 'string') at = writeText(at, part)
    else at = writeEscaped(at, BYTES, part)
    invariant(at <= KEY_BYTES_MAX, 'a key is at most 512 bytes')
  }
  invariant(at > 0, 'a key is not empty')
  return at
}

/** The key as a latin1 string: one character per byte, ordered like the key. */
export const encodeKey = (key: KvKey): string => scratch.toString('latin1', 0, write(key))

/** The bytes of an encoded key. */
export const keyBytes = (encoded: string): Buffer => Buffer.from(encoded, 'latin1')

const readEscaped = (bytes: Buffer, from: number): { raw: Buffer, next: number } => {
  const out: number[] = []
  let at = from
  for (; ; at++) {
    const byte = bytes[at]
    invariant(byte !== undefined, 'an encoded key ends its strings')
    if (byte === 0) {
      if (bytes[at + 1] !== 0xff) break
      at++
    }
    out.push(byte)
  }
  return { raw: Buffer.from(out), next: at + 1 }
}

/** The inverse of `encodeKey`. Byte elements come back as Uint8Array. */
export const decodeKey = (encoded: string): KvKey => {
  const bytes = keyBytes(encoded)
  const key: (string | number | Uint8Array)[] = []
  for (let at = 0; at < bytes.length;) {
    const type = bytes[at]
    if (type === NUMBER) {
      const body = Buffer.from(bytes.subarray(at + 1, at + 9))
      if (((body[0] as number) & 0x80) === 0) for (let i = 0; i < 8; i++) body[i] = ~(body[i] as number)
      else body[0] = (body[0] as number) & 0x7f
      key.push(body.readDoubleBE(0))
      at += 9
    } else {
      invariant(type === STRING || type === BYTES, 'an encoded key has known element types')
      const { raw, next } = readEscaped(bytes, at + 1)
      key.push(type === STRING ? raw.toString('utf8') : new Uint8Array(raw))
      at = next
    }
  }
  return key
}
