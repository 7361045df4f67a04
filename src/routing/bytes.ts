import { isEntityId } from '../kernel/ids.js'

/** Bytes that do not have the form they must have. The message says what and where, never the bytes. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

/** Writes big-endian fields one after the other. Grows as needed; `bytes` is a copy. */
export class ByteWriter {
  #buffer: Uint8Array
  #at = 0

  constructor (bytes = 256) { this.#buffer = new Uint8Array(bytes) }

  get length (): number { return this.#at }

  u8 (value: number): this { this.#room(1)[this.#at++] = value; return this }
  u16 (value: number): this { return this.u8(value >>> 8).u8(value & 0xff) }
  u32 (value: number): this { return this.u16(value >>> 16).u16(value & 0xffff) }
  u48 (value: number): this { return this.u16(Math.floor(value / 2 ** 32)).u32(value >>> 0) }

  raw (bytes: Uint8Array): this {
    this.#room(bytes.length).set(bytes, this.#at)
    this.#at += bytes.length
    return this
  }

  /** A KME or SAE ID: its length, then its octets. The form of an ID is ASCII. */
  id (id: string): this {
    this.u8(id.length)
    const room = this.#room(id.length)
    for (let i = 0; i < id.length; i++) room[this.#at++] = id.charCodeAt(i)
    return this
  }

  bytes (): Uint8Array { return this.#buffer.slice(0, this.#at) }

  #room (bytes: number): Uint8Array {
    if (this.#at + bytes > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.#at + bytes))
      larger.set(this.#buffer.subarray(0, this.#at))
      this.#buffer = larger
    }
    return this.#buffer
  }
}

/** Reads the same fields. @throws Malformed when the bytes end early or an ID has not the form of one. */
export class ByteReader {
  #at = 0

  constructor (private readonly buffer: Uint8Array) {}

  get at (): number { return this.#at }
  get left (): number { return this.buffer.length - this.#at }

  u8 (): number { return this.#take(1)[0]! }
  u16 (): number { return this.u8() * 0x100 + this.u8() }
  u32 (): number { return this.u16() * 0x1_0000 + this.u16() }
  u48 (): number { return this.u16() * 2 ** 32 + this.u32() }

  /** A view, not a copy. */
  raw (bytes: number): Uint8Array { return this.#take(bytes) }

  id (): string {
    const length = this.u8()
    let text = ''
    for (const octet of this.#take(length)) text += String.fromCharCode(octet)
    if (!isEntityId(text)) throw new Malformed(`an ID before octet ${this.#at} has not the form of one`)
    return text
  }

  /** @throws Malformed if anything is left over. */
  end (): void {
    if (this.left > 0) throw new Malformed(`${this.left} octets too many`)
  }

  #take (bytes: number): Uint8Array {
    if (bytes > this.left) throw new Malformed(`it ends at octet ${this.buffer.length}, where ${bytes - this.left} more are needed`)
    this.#at += bytes
    return this.buffer.subarray(this.#at - bytes, this.#at)
  }
}

/** Orders IDs by their octets, which for this alphabet is the order of their characters. */
export const byOctets = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && Buffer.compare(a, b) === 0
