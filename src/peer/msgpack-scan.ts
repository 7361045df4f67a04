import { isUtf8 } from 'node:buffer'
import { Refusal } from './refusal.js'

/** Bounds of a body. They stand above what any message's schema allows, and far below what could hurt. */
export const scanLimits = { depth: 8, values: 65_536, mapEntries: 64, keyBytes: 64 } as const

/** Keys that would reach an object's prototype. */
const forbiddenKeys: readonly Uint8Array[] = ['constructor', 'prototype'].map((key) => Buffer.from(key))
const KEY_PLACE = 128 // Above the length of any key.
const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
const isDigitOrBar = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || byte === 0x5f

/**
 * Walks a MessagePack body without building anything, so that the decoder afterwards meets no surprise: no extension types,
 * no collection longer than the bytes that are there, no depth, no repeated or non-text map keys, no text that is not UTF-8,
 * integers within 2^53, and nothing behind the end. The outermost value is a map.
 *
 * @throws Refusal `body` saying what was met.
 * @see the MessagePack specification, "Formats"
 */
export const scanBody = (bytes: Uint8Array): void => {
  const first = bytes[0]
  if (first === undefined || !((first & 0xf0) === 0x80 || first === 0xde || first === 0xdf)) throw refuse('the body is not a map')
  const scanner = new Scanner(bytes)
  scanner.value(0)
  if (scanner.at !== bytes.length) throw refuse(`${bytes.length - scanner.at} bytes behind the end`)
}

const refuse = (what: string): Refusal => new Refusal('body', `message body refused: ${what}`)

class Scanner {
  at = 0
  #values = 0
  readonly #view: DataView
  readonly #bytes: Uint8Array

  constructor (bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  value (depth: number): void {
    if (depth > scanLimits.depth) throw refuse(`nested deeper than ${scanLimits.depth}`)
    if (++this.#values > scanLimits.values) throw refuse(`more than ${scanLimits.values} values`)
    const token = this.#uint(1)
    if (token < 0x80 || token >= 0xe0) return
    if (token < 0x90) { this.#map(token & 0x0f, depth); return }
    if (token < 0xa0) { this.#array(token & 0x0f, depth); return }
    if (token < 0xc0) { this.#text(token & 0x1f); return }
    this.#long(token, depth)
  }

  #long (token: number, depth: number): void {
    switch (token) {
      case 0xc0: case 0xc2: case 0xc3: return
      case 0xc4: case 0xc5: case 0xc6: this.#skip(this.#uint(1 << (token - 0xc4))); return
      case 0xcb: this.#skip(8); return
      case 0xcc: case 0xcd: case 0xce: this.#skip(1 << (token - 0xcc)); return
      case 0xcf: this.#safe(this.#view.getBigUint64(this.#claim(8))); return
      case 0xd0: case 0xd1: case 0xd2: this.#skip(1 << (token - 0xd0)); return
      case 0xd3: this.#safe(this.#view.getBigInt64(this.#claim(8))); return
      case 0xd9: case 0xda: case 0xdb: this.#text(this.#uint(1 << (token - 0xd9))); return
      case 0xdc: case 0xdd: this.#array(this.#uint(token === 0xdc ? 2 : 4), depth); return
      case 0xde: case 0xdf: this.#map(this.#uint(token === 0xde ? 2 : 4), depth); return
      default: throw refuse(`type 0x${token.toString(16)} is not allowed`)
    }
  }

  #array (length: number, depth: number): void {
    if (length > this.#left()) throw refuse(`an array of ${length} values in ${this.#left()} bytes`)
    for (let i = 0; i < length; i++) this.value(depth + 1)
  }

  #map (entries: number, depth: number): void {
    if (entries > scanLimits.mapEntries) throw refuse(`a map of ${entries} entries`)
    const keys: number[] = []
    for (let i = 0; i < entries; i++) {
      const key = this.#key()
      for (const other of keys) if (this.#isSameKey(other, key)) throw refuse('a map key occurs twice')
      keys.push(key)
      this.value(depth + 1)
    }
  }

  /** @returns where the key's letters begin, and how many they are: one number, because a text for each key would cost as much as all the rest. */
  #key (): number {
    const token = this.#uint(1)
    const isShort = token >= 0xa0 && token < 0xc0
    if (!isShort && token !== 0xd9) throw refuse('a map key is not a short text')
    const length = isShort ? token & 0x1f : this.#uint(1)
    if (length > scanLimits.keyBytes) throw refuse(`a map key of ${length} bytes`)
    const from = this.#claim(length)
    if (!this.#isName(from, length)) throw refuse('a map key is not a plain name')
    return from * KEY_PLACE + length
  }

  /** A letter, then letters, digits and underscores; and no key that would reach an object's prototype (`__proto__` begins with no letter). */
  #isName (from: number, length: number): boolean {
    const bytes = this.#bytes
    if (length === 0 || !isLetter(bytes[from]!)) return false
    for (let i = from + 1; i < from + length; i++) if (!isLetter(bytes[i]!) && !isDigitOrBar(bytes[i]!)) return false
    for (const key of forbiddenKeys) if (key.length === length && Buffer.compare(key, bytes.subarray(from, from + length)) === 0) return false // No function for each key of each body.
    return true
  }

  #isSameKey (a: number, b: number): boolean {
    const length = a % KEY_PLACE, bytes = this.#bytes
    if (length !== b % KEY_PLACE) return false
    const fromA = (a - length) / KEY_PLACE, fromB = (b - length) / KEY_PLACE
    for (let i = 0; i < length; i++) if (bytes[fromA + i] !== bytes[fromB + i]) return false
    return true
  }

  #text (length: number): void {
    const from = this.#claim(length)
    if (!isUtf8(this.#bytes.subarray(from, from + length))) throw refuse('a text is not UTF-8')
  }

  #safe (value: bigint): void {
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) throw refuse('an integer is beyond 2^53 - 1')
  }

  #uint (bytes: number): number {
    const from = this.#claim(bytes)
    return bytes === 1 ? this.#view.getUint8(from) : bytes === 2 ? this.#view.getUint16(from) : this.#view.getUint32(from)
  }

  #skip (bytes: number): void { this.#claim(bytes) }

  /** Moves on by `bytes` and returns where they begin; this is the only place where the position moves. */
  #claim (bytes: number): number {
    if (bytes > this.#left()) throw refuse(`${bytes} bytes announced where ${this.#left()} are left`)
    const from = this.at
    this.at += bytes
    return from
  }

  #left (): number { return this.#bytes.length - this.at }
}
