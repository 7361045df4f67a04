import { isEntityId, type SaeId } from '../kernel/ids.js'
import type { ExtensionPair } from '../pool/service.js'
import type { ExtensionRegistry } from '../pool/extensions.js'
import { RequestError, badParameter, type Detail } from './request-error.js'
import { sentences } from './status.js'
import { asObject, asOptionalArray, checkMembers, keyRequestMembers } from './wire.js'
import type { JsonObject, JsonValue } from './json.js'

/** What a request may ask for; the same figures that Get status tells. Sizes in bits, multiples of 8. */
export interface KeyLimits {
  readonly keySizeBits: number
  readonly minKeySizeBits: number
  readonly maxKeySizeBits: number
  readonly maxKeyPerRequest: number
  readonly maxSaeIdCount: number
}

/** How strictly a request is read, where the standard leaves it open. */
export interface ReadingRules {
  /** Refuse unknown members of a request. */
  readonly strictMembers: boolean
  /** `ignore`: an optional extension that cannot be handled is as if absent; `refuse`: 400 with the prescribed sentence. */
  readonly optionalExtensions: 'ignore' | 'refuse'
}

/** A "Get key" request whose form is right. */
export interface KeyRequest {
  readonly number: number
  readonly sizeBits: number
  readonly additionalSlaves: readonly SaeId[]
  readonly extensions: readonly ExtensionPair[]
}

/** @throws RequestError `BAD_REQUEST` unless `number` is an integer from 1 to the limit. */
export const checkNumber = (number: JsonValue, limits: KeyLimits): number => {
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= limits.maxKeyPerRequest) return number
  throw badParameter('number', `must be an integer from 1 to ${limits.maxKeyPerRequest}`)
}

/**
 * The rule of multiples comes first, so that its prescribed sentence wins (014 clause 6.2).
 *
 * @throws RequestError `BAD_REQUEST`.
 */
export const checkSizeBits = (size: JsonValue, limits: KeyLimits): number => {
  const rule = `must be an integer from ${limits.minKeySizeBits} to ${limits.maxKeySizeBits}`
  if (typeof size !== 'number' || !Number.isSafeInteger(size)) throw badParameter('size', rule)
  if (size % 8 !== 0) throw new RequestError('BAD_REQUEST', sentences.sizeMultiple, [{ size: sentences.sizeMultiple }])
  if (size < limits.minKeySizeBits || size > limits.maxKeySizeBits) throw badParameter('size', rule)
  return size
}

/**
 * Reads the body of POST enc_keys in the order of A46: syntax, number and size, additional SAEs, extensions.
 *
 * @throws RequestError `BAD_REQUEST` or `EXTENSION_UNSUPPORTED`.
 * @see ETSI GS QKD 014 V1.1.1, clause 6.2 (Key request)
 */
export const readKeyRequest = (
  body: JsonValue, caller: SaeId, slave: SaeId, limits: KeyLimits, rules: ReadingRules, registry: ExtensionRegistry,
): KeyRequest => {
  const request = asObject(body, 'the request')
  checkMembers(request, keyRequestMembers, rules.strictMembers)
  const additional = asOptionalArray(request['additional_slave_SAE_IDs'], 'additional_slave_SAE_IDs') ?? []
  const mandatory = extensionMembers(request, 'extension_mandatory')
  const optional = extensionMembers(request, 'extension_optional')
  const { number = 1, size = limits.keySizeBits } = request
  return {
    number: checkNumber(number, limits),
    sizeBits: checkSizeBits(size, limits),
    additionalSlaves: checkAdditional(additional, caller, slave, limits),
    extensions: [...supported(mandatory, registry), ...handled(optional, registry, rules)],
  }
}

const checkAdditional = (ids: readonly JsonValue[], caller: SaeId, slave: SaeId, limits: KeyLimits): readonly SaeId[] => {
  const name = 'additional_slave_SAE_IDs'
  if (ids.length > limits.maxSaeIdCount) throw badParameter(name, `must not have more than ${limits.maxSaeIdCount} entries`)
  const seen = new Set<string>([caller, slave])
  for (const id of ids) {
    if (typeof id !== 'string' || !isEntityId(id)) throw badParameter(name, 'must be strings of 1 to 64 characters allowed in a URI (RFC 3986)')
    if (seen.has(id)) throw badParameter(name, 'must not repeat an SAE, the caller or the SAE of the path')
    seen.add(id)
  }
  return ids as readonly string[]
}

interface Member { readonly name: string, readonly value: JsonValue }

/** Name/value pairs in their order; an entry may hold several members. A name may come once in each array. */
const extensionMembers = (request: JsonObject, array: 'extension_mandatory' | 'extension_optional'): readonly Member[] => {
  const members: Member[] = [], names = new Set<string>()
  for (const entry of asOptionalArray(request[array], array) ?? []) {
    for (const [name, value] of Object.entries(asObject(entry, `an entry of ${array}`))) {
      if (names.has(name)) throw badParameter(array, 'must not repeat a name')
      names.add(name)
      members.push({ name, value })
    }
  }
  return members
}

const supported = (members: readonly Member[], registry: ExtensionRegistry): ExtensionPair[] => {
  const unknown: Detail[] = members.filter(({ name }) => registry.get(name) === undefined)
    .map(({ name }) => ({ extension_mandatory_unsupported: `${name.slice(0, 64)} is not supported` }))
  if (unknown.length > 0) throw new RequestError('EXTENSION_UNSUPPORTED', sentences.mandatoryUnsupported, unknown)
  for (const { name, value } of members) {
    if (!fits(registry, name, value)) throw badParameter(name, 'has a value of the wrong form')
  }
  return members.map(({ name, value }) => ({ name, value, mandatory: true }))
}

const handled = (members: readonly Member[], registry: ExtensionRegistry, rules: ReadingRules): ExtensionPair[] => {
  const pairs = members.filter(({ name, value }) => fits(registry, name, value)).map(({ name, value }) => ({ name, value, mandatory: false }))
  if (rules.optionalExtensions === 'refuse' && pairs.length < members.length) throw new RequestError('BAD_REQUEST', sentences.optionalUnhandled)
  return pairs
}

const fits = (registry: ExtensionRegistry, name: string, value: JsonValue): boolean => {
  const extension = registry.get(name)
  return extension !== undefined && registry.fits(extension, value)
}
