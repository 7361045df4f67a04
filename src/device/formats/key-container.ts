/** Answers of ETSI GS QKD 014 (clauses 6.1 and 6.3) as bytes: key stays in the buffer. Pure. */
import { JsonFault, member, plainText, readJson, wholeNumber, type TextAt } from './json-bytes.js'
import { uuidBytes } from './uuid.js'

export interface ContainedKey {
  /** 16 bytes of the key_ID. */
  readonly id: Uint8Array
  /** Where its base64 stands. */
  readonly key: TextAt
}

const KEYS_MAX = 1_024

/** @throws JsonFault if it is not a key container. */
export const readKeyContainer = (bytes: Uint8Array): ContainedKey[] => {
  const keys = member(readJson(bytes), 'keys')
  if (keys?.type !== 'array' || keys.items.length > KEYS_MAX) throw new JsonFault(`not a key container: it has no array of up to ${KEYS_MAX} "keys"`)
  return keys.items.map((item) => {
    const id = uuidBytes(plainText(bytes, member(item, 'key_ID'), 36) ?? ''), key = member(item, 'key')
    if (id === undefined || key?.type !== 'text') throw new JsonFault('not a key container: a key has no key_ID that is a UUID, or no key')
    return { id, key: key.at }
  })
}

/** What a device offers. */
export interface DeviceStatus { readonly keySizeBits: number, readonly minKeySizeBits: number, readonly maxKeySizeBits: number, readonly maxKeyPerRequest: number }

/** @throws JsonFault if it is not a status. */
export const readDeviceStatus = (bytes: Uint8Array): DeviceStatus => {
  const status = readJson(bytes)
  const number = (name: string, fallback: number): number => {
    const node = member(status, name), value = wholeNumber(node, 2 ** 32)
    if (node !== undefined && value === undefined) throw new JsonFault(`not a status: ${name} is no whole number`)
    return value ?? fallback
  }
  if (status.type !== 'object') throw new JsonFault('not a status: it is no object')
  const keySizeBits = number('key_size', 256)
  return { keySizeBits, minKeySizeBits: number('min_key_size', keySizeBits), maxKeySizeBits: number('max_key_size', keySizeBits), maxKeyPerRequest: Math.max(1, number('max_key_per_request', 1)) }
}

/** The text of an error's `message`, for operators; '' if there is none. */
export const readMessage = (bytes: Uint8Array): string => {
  try {
    return plainText(bytes, member(readJson(bytes), 'message'), 200) ?? ''
  } catch (error) {
    if (error instanceof JsonFault) return ''
    throw error
  }
}
