import { TypeCompiler, type TypeCheck } from '@sinclair/typebox/compiler'
import type { TSchema } from '@sinclair/typebox'
import { Packr, Unpackr } from 'msgpackr'
import { invariant } from '../kernel/errors.js'
import { BODY_BYTES_MAX } from './limits.js'
import { messages, type MessageName } from './messages.js'
import { scanBody } from './msgpack-scan.js'
import { Refusal } from './refusal.js'

/** A message as the channel sees it: name, code, and how it travels. */
export interface MessageKind { readonly name: MessageName, readonly code: number, readonly tagged: boolean, readonly vital: boolean }

const packr = new Packr({ useRecords: false, variableMapSize: true })
// copyBuffers: the frame's memory is used again for the next frame.
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true, int64AsType: 'number' })

/** The encoder leaves so much free, at least. */
const PACKING_SPARE_BYTES = 16_384

const checks = new Map<MessageName, TypeCheck<TSchema>>()

/** Schemas are compiled at their first use: a process that never meets a message does not pay for it. */
const checkOf = (name: MessageName): TypeCheck<TSchema> => {
  const known = checks.get(name)
  if (known !== undefined) return known
  const compiled = TypeCompiler.Compile<TSchema>(messages[name].schema)
  checks.set(name, compiled)
  return compiled
}

const kinds: readonly MessageKind[] = Object.entries(messages).map(([name, { code, tagged, vital }]) =>
  ({ name: name as MessageName, code, tagged, vital }))
const kindsByCode = new Map(kinds.map((kind) => [kind.code, kind]))
const kindsByName = new Map(kinds.map((kind) => [kind.name, kind]))
invariant(kindsByCode.size === kinds.length, 'every message has a code of its own')

/** @throws Refusal `unknown-message`. */
export const kindOfCode = (code: number): MessageKind => {
  const kind = kindsByCode.get(code)
  if (kind === undefined) throw new Refusal('unknown-message', `no message has code ${code}`)
  return kind
}

export const kindOf = (name: MessageName): MessageKind => {
  const kind = kindsByName.get(name)
  invariant(kind !== undefined, `message ${name} exists`)
  return kind
}

/** Where and why a body does not fit; never the value itself. */
const firstFault = (name: MessageName, body: unknown): string => {
  const fault = checkOf(name).Errors(body).First()
  return fault === undefined ? 'does not fit' : `${fault.path === '' ? '/' : fault.path}: ${fault.message}`
}

/** Where bodies are packed: with memory of its own the encoder takes four times the size of a large one, fresh, again and again. */
const packing = Buffer.allocUnsafeSlow(BODY_BYTES_MAX + PACKING_SPARE_BYTES)

/**
 * Encodes the body of a message as a MessagePack map.
 *
 * @returns bytes that are valid until the next body is packed.
 * @throws Error `invariant violated` if the body does not fit the message's schema: a bug of this KME.
 */
export const packBorrowed = (name: MessageName, body: object): Uint8Array => {
  if (!checkOf(name).Check(body)) invariant(false, `a message ${name} to send fits its schema (${firstFault(name, body)})`)
  packr.useBuffer(packing)
  const bytes = packr.pack(body)
  invariant(bytes.length <= BODY_BYTES_MAX, `a message ${name} to send is at most ${BODY_BYTES_MAX} bytes long`)
  return bytes
}

/** The same in memory of its own. */
export const packBody = (name: MessageName, body: object): Uint8Array => new Uint8Array(packBorrowed(name, body))

/**
 * Decodes a body whose frame has been authenticated.
 *
 * @returns a plain object with copies of all bytes, which fits the schema of the message.
 * @throws Refusal `body` (not the MessagePack we allow), `schema` (another shape than the message has).
 */
export const unpackBody = (name: MessageName, bytes: Uint8Array): unknown => {
  scanBody(bytes)
  let body: unknown
  try {
    body = unpackr.unpack(bytes)
  } catch (cause) {
    throw new Refusal('body', 'message body refused: it cannot be decoded', { cause })
  }
  if (!checkOf(name).Check(body)) throw new Refusal('schema', `message ${name} refused: ${firstFault(name, body)}`)
  return body
}
