/** P and the tags again, bit by bit over BigInt: what src/peer and the addon must agree with. For tests only. */
import type { BlockHandle, KeyHandle } from '../../src/device/native.js'
import { invariant } from '../../src/kernel/errors.js'
import type { TagVault } from '../../src/peer/tags.js'

const MASK = (1n << 128n) - 1n

const toNumber = (bytes: Uint8Array): bigint => {
  let n = 0n
  for (let i = bytes.length - 1; i >= 0; i--) n = n << 8n | BigInt(bytes[i] as number)
  return n
}

const toBytes = (n: bigint): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => Number(n >> BigInt(8 * i) & 0xffn))

const multiply = (a: bigint, b: bigint): bigint => {
  let product = 0n
  for (let x = a, y = b; x > 0n; x >>= 1n) {
    if ((x & 1n) === 1n) product ^= y
    y = y << 1n & MASK ^ (y >> 127n === 1n ? 0x87n : 0n)
  }
  return product
}

/** P(k; M) over GF(2^128), blocks little-endian, the length in bits appended (standards 6.3). */
export const polyHash = (key: Uint8Array, message: Uint8Array): Uint8Array => {
  const k = toNumber(key)
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) sum = multiply(sum ^ toNumber(message.subarray(at, at + 16)), k)
  return toBytes(multiply(sum ^ BigInt(message.length * 8), k))
}

/** A vault with blocks of known bytes. It wipes pads and forgets keys like the real one. */
export class ReferenceVault implements TagVault {
  readonly #blocks = new Map<number, Uint8Array>()
  readonly #keys = new Map<number, Uint8Array>()
  #next = 1

  /** `bytes` are copied: each side of a link has its own copy. */
  addBlock (bytes: Uint8Array): BlockHandle {
    this.#blocks.set(this.#next, bytes.slice())
    return this.#next++ as BlockHandle
  }

  get keysHeld (): number { return this.#keys.size }

  takeHashKey (block: BlockHandle, offset: number): KeyHandle {
    this.#keys.set(this.#next, this.#piece(block, offset).slice())
    return this.#next++ as KeyHandle
  }

  tag (hashKey: KeyHandle, block: BlockHandle, offset: number, data: Uint8Array, out: Uint8Array): void {
    const pad = this.#piece(block, offset)
    const sum = polyHash(this.#key(hashKey), data)
    for (let i = 0; i < 16; i++) out[i] = (sum[i] as number) ^ (pad[i] as number)
    pad.fill(0)
  }

  verifyTag (hashKey: KeyHandle, block: BlockHandle, offset: number, data: Uint8Array, tag: Uint8Array): boolean {
    const expected = new Uint8Array(16)
    this.tag(hashKey, block, offset, data, expected)
    return Buffer.from(expected).equals(tag)
  }

  dropKey (key: KeyHandle): void {
    this.#key(key)
    this.#keys.delete(key)
  }

  #piece (block: BlockHandle, offset: number): Uint8Array {
    const bytes = this.#blocks.get(block)
    invariant(bytes !== undefined && offset >= 0 && offset + 16 <= bytes.length, 'the block exists and the offset is inside')
    return bytes.subarray(offset, offset + 16)
  }

  #key (key: KeyHandle): Uint8Array {
    const bytes = this.#keys.get(key)
    invariant(bytes !== undefined, 'the key exists')
    return bytes
  }
}
