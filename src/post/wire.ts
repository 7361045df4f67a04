import { KmeError } from '../kernel/errors.js'
import type { SiftMessage } from './sift-messages.js'

/** How the bits of a block are corrected. `variant` is an index in CASCADE_VARIANTS. */
export const METHODS = ['cascade', 'ldpc'] as const

/** Why a block gives no key, as both parties say it. */
export const DISCARD_REASONS = ['qber', 'too short', 'not corrected', 'alarm', 'no tag keys'] as const

/** What Alice and Bob say about one block, in this order; `correct` as often as error correction needs. */
export type BlockMessage =
  /** Alice: error correction begins. `method` and `variant` by index; `errorPpm` is the expected error rate in millionths. */
  | { readonly type: 'start', readonly block: number, readonly lengthBits: number, readonly method: number, readonly variant: number, readonly frameBits: number, readonly errorPpm: number, readonly seed: Uint8Array }
  | { readonly type: 'correct', readonly block: number, readonly data: Uint8Array }
  /** Alice: a fresh hash key, and the hash of her bits. */
  | { readonly type: 'verify', readonly block: number, readonly key: Uint8Array, readonly tag: Uint8Array }
  /** Bob: whether his corrected bits have that hash, and his errors by intensity. */
  | { readonly type: 'verdict', readonly block: number, readonly good: number, readonly errors: readonly number[] }
  /** Alice: length of the key, and the seed of the hash that makes it. */
  | { readonly type: 'amplify', readonly block: number, readonly keyBits: number, readonly seed: Uint8Array }
  /** Bob: everything that Alice said of this block was hers. */
  | { readonly type: 'accept', readonly block: number }
  /** Either: no key from this block. */
  | { readonly type: 'discard', readonly block: number, readonly reason: number }

/** Authenticates everything that its sender said since its last tag. */
export interface TagMessage { readonly type: 'tag', readonly number: number, readonly tag: Uint8Array }

export type PostMessage = SiftMessage | BlockMessage | TagMessage

/** Bytes of one message; longer ones are refused before they are looked at. */
export const MESSAGE_BYTES_MAX = 2 ** 26

type Kind = 'u32' | 'u53' | 'bytes' | 'list'

/** Type byte = index + 1; fields in the order of the wire. */
const FORMATS: readonly (readonly [PostMessage['type'], ...(readonly [string, Kind])[]])[] = [
  ['detections', ['burst', 'u32'], ['slots', 'u53'], ['count', 'u32'], ['bases', 'bytes']],
  ['sifting', ['burst', 'u32'], ['count', 'u32'], ['keep', 'bytes'], ['low', 'bytes'], ['high', 'bytes']],
  ['test-bits', ['burst', 'u32'], ['count', 'u32'], ['bits', 'bytes']],
  ['test-errors', ['burst', 'u32'], ['errors', 'list']],
  ['start', ['block', 'u32'], ['lengthBits', 'u32'], ['method', 'u32'], ['variant', 'u32'], ['frameBits', 'u32'], ['errorPpm', 'u32'], ['seed', 'bytes']],
  ['correct', ['block', 'u32'], ['data', 'bytes']],
  ['verify', ['block', 'u32'], ['key', 'bytes'], ['tag', 'bytes']],
  ['verdict', ['block', 'u32'], ['good', 'u32'], ['errors', 'list']],
  ['amplify', ['block', 'u32'], ['keyBits', 'u32'], ['seed', 'bytes']],
  ['accept', ['block', 'u32']],
  ['discard', ['block', 'u32'], ['reason', 'u32']],
  ['tag', ['number', 'u32'], ['tag', 'bytes']],
]

const LIST_MAX = 16

const sizeOf = (kind: Kind, value: unknown): number => {
  switch (kind) {
    case 'u32': return 4
    case 'u53': return 8
    case 'bytes': return 4 + (value as Uint8Array).length
    case 'list': return 4 + 4 * (value as readonly number[]).length
  }
}

/** Little endian; a type byte, then the fields. */
export const encode = (message: PostMessage): Uint8Array => {
  const index = FORMATS.findIndex(([type]) => type === message.type), [, ...fields] = FORMATS[index]!
  const values = message as unknown as Readonly<Record<string, unknown>>
  const out = new Uint8Array(fields.reduce((bytes, [name, kind]) => bytes + sizeOf(kind, values[name]), 1))
  const view = new DataView(out.buffer)
  out[0] = index + 1
  let at = 1
  for (const [name, kind] of fields) {
    const value = values[name]
    if (kind === 'u32') view.setUint32(at, value as number, true)
    else if (kind === 'u53') view.setBigUint64(at, BigInt(value as number), true)
    else if (kind === 'bytes') {
      view.setUint32(at, (value as Uint8Array).length, true)
      out.set(value as Uint8Array, at + 4)
    } else {
      const list = value as readonly number[]
      view.setUint32(at, list.length, true)
      list.forEach((n, i) => { view.setUint32(at + 4 + 4 * i, n, true) })
    }
    at += sizeOf(kind, value)
  }
  return out
}

const refuse = (what: string): never => { throw new KmeError('PROTOCOL', `post-processing: ${what}`) }

const readField = (view: DataView, at: number, kind: Kind): { value: unknown, bytes: number } => {
  const need = (bytes: number): void => { if (view.byteLength - at < bytes) refuse('a message ends too early') }
  need(kind === 'u53' ? 8 : 4)
  if (kind === 'u53') {
    const value = Number(view.getBigUint64(at, true))
    return Number.isSafeInteger(value) ? { value, bytes: 8 } : refuse('a number above 2^53')
  }
  const first = view.getUint32(at, true)
  if (kind === 'u32') return { value: first, bytes: 4 }
  if (kind === 'bytes') {
    need(4 + first)
    // A copy: what is kept must not change under our hands.
    return { value: new Uint8Array(view.buffer, view.byteOffset + at + 4, first).slice(), bytes: 4 + first }
  }
  if (first > LIST_MAX) refuse(`a list of ${first} numbers, at most ${LIST_MAX}`)
  need(4 + 4 * first)
  return { value: Array.from({ length: first }, (_, i) => view.getUint32(at + 4 + 4 * i, true)), bytes: 4 + 4 * first }
}

/**
 * Reads a message from the other party. Only its form is checked here.
 *
 * @throws KmeError `PROTOCOL` saying what is wrong.
 */
export const decode = (bytes: Uint8Array): PostMessage => {
  if (bytes.length === 0 || bytes.length > MESSAGE_BYTES_MAX) return refuse(`a message has 1 to ${MESSAGE_BYTES_MAX} bytes, got ${bytes.length}`)
  const format = FORMATS[bytes[0]! - 1]
  if (format === undefined) return refuse(`unknown message type ${bytes[0]}`)
  const [type, ...fields] = format, message: Record<string, unknown> = { type }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 1
  for (const [name, kind] of fields) {
    const field = readField(view, at, kind)
    message[name] = field.value
    at += field.bytes
  }
  if (at !== bytes.length) return refuse(`${bytes.length - at} bytes behind a message`)
  return message as unknown as PostMessage
}
