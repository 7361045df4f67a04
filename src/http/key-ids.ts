import { badParameter } from './request-error.js'
import { asObject, asOptionalArray, checkMembers, keyIdMembers, keyIdsMembers } from './wire.js'
import type { JsonValue } from './json.js'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * A key_ID in the form that we emit: lower case, with hyphens. Any version and variant (014 says "UUID format" only).
 *
 * @throws RequestError `BAD_REQUEST` if it is not a UUID.
 */
export const checkKeyId = (value: JsonValue | undefined): string => {
  if (typeof value === 'string') {
    if (uuid.test(value)) return value
    const lower = value.toLowerCase()
    if (uuid.test(lower)) return lower
  }
  throw badParameter('key_ID', 'must be a UUID: 32 hexadecimal digits with hyphens (RFC 9562)')
}

/**
 * Reads the body of POST dec_keys; the order of the IDs is kept.
 *
 * @throws RequestError `BAD_REQUEST`.
 * @see ETSI GS QKD 014 V1.1.1, clause 6.4 (Key IDs)
 */
export const readKeyIds = (body: JsonValue, maxKeyPerRequest: number, strict: boolean): readonly string[] => {
  const request = asObject(body, 'the request')
  checkMembers(request, keyIdsMembers, strict)
  const entries = asOptionalArray(request['key_IDs'], 'key_IDs') ?? []
  if (entries.length === 0) throw badParameter('key_IDs', 'must name at least one key')
  if (entries.length > maxKeyPerRequest) throw badParameter('key_IDs', `must not have more than ${maxKeyPerRequest} entries`)
  checkExtension(request['key_IDs_extension'], 'key_IDs_extension')
  const seen = new Set<string>()
  for (const entry of entries) {
    const item = asObject(entry, 'an entry of key_IDs')
    checkMembers(item, keyIdMembers, strict)
    checkExtension(item['key_ID_extension'], 'key_ID_extension')
    const keyId = checkKeyId(item['key_ID'])
    if (seen.has(keyId)) throw badParameter('key_IDs', 'must not repeat a key_ID')
    seen.add(keyId)
  }
  return [...seen]
}

/** "For future use": an object, whatever it holds. */
const checkExtension = (value: JsonValue | undefined, name: string): void => {
  if (value !== undefined) asObject(value, name)
}
