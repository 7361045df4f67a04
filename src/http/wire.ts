import type { SaeId } from '../kernel/ids.js'
import type { PoolStatus, Refusal } from '../pool/service.js'
import { RequestError, badParameter, type Detail } from './request-error.js'
import { statusRule, type ErrorStatus } from './status.js'
import type { JsonObject, JsonValue } from './json.js'

/** Member names of ETSI GS QKD 014 V1.1.1, clause 6: the only place where they become ours. */
export const keyRequestMembers = ['number', 'size', 'additional_slave_SAE_IDs', 'extension_mandatory', 'extension_optional'] as const
export const keyIdsMembers = ['key_IDs', 'key_IDs_extension'] as const
export const keyIdMembers = ['key_ID', 'key_ID_extension'] as const

/**
 * Checks the member names of one object of a request. Unknown names are ignored, for forward compatibility, unless
 * `strict`; but one that differs from a known name only by letter case is surely a mistake.
 *
 * @throws RequestError `BAD_REQUEST` with a hint.
 */
export const checkMembers = (object: JsonObject, known: readonly string[], strict: boolean): void => {
  for (const name of Object.keys(object)) {
    if (known.includes(name)) continue
    const meant = known.find((candidate) => candidate.toLowerCase() === name.toLowerCase())
    if (meant !== undefined) throw badParameter(meant, 'must be spelled with exactly these letters')
    if (strict) throw new RequestError('BAD_REQUEST', 'unknown member in the request', [{ member: name.slice(0, 64) }])
  }
}

/** @throws RequestError `BAD_REQUEST` unless `value` is an object; null and arrays are not. */
export const asObject = (value: JsonValue | undefined, what: string): JsonObject => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badParameter(what, 'must be an object')
  return value
}

/** @throws RequestError `BAD_REQUEST` unless `value` is absent (then undefined) or an array. */
export const asOptionalArray = (value: JsonValue | undefined, what: string): readonly JsonValue[] | undefined => {
  if (value === undefined || Array.isArray(value)) return value
  throw badParameter(what, 'must be an array')
}

/** Keys in stock as Get status tells them: never more than `max_key_count`. */
export const storedKeys = (status: PoolStatus): number => Math.min(status.storedKeyCount, status.maxKeyCount)

/**
 * The body of Get status (014 clause 6.1). `stored_key_count` never exceeds `max_key_count`. Written by hand, because
 * JSON.stringify costs a tenth of the request: an ID has no character that JSON escapes (src/kernel/ids.ts).
 */
export const statusJson = (caller: SaeId, slave: SaeId, status: PoolStatus): string =>
  `{"source_KME_ID":"${status.sourceKme}","target_KME_ID":"${status.targetKme}"` +
  `,"master_SAE_ID":"${caller}","slave_SAE_ID":"${slave}"` +
  `,"key_size":${status.keySizeBits},"stored_key_count":${storedKeys(status)}` +
  `,"max_key_count":${status.maxKeyCount},"max_key_per_request":${status.maxKeyPerRequest}` +
  `,"max_key_size":${status.maxKeySizeBits},"min_key_size":${status.minKeySizeBits},"max_SAE_ID_count":${status.maxSaeIdCount}` +
  (status.extension === undefined ? '}' : `,"status_extension":${JSON.stringify(status.extension)}}`)

/** An error as it goes out: status, Error body (014 clause 6.5; none for 401) and when to come again. */
export interface ErrorAnswer { readonly status: ErrorStatus, readonly body: string, readonly retryAfterS?: number }

const detailsMax = 16

/** Builds the Error body: `message` is the prescribed sentence where there is one, else what the refusal says. */
export const errorAnswer = (refusal: Refusal): ErrorAnswer => {
  const rule = statusRule(refusal.code)
  if (rule.status === '401') return { status: '401', body: '' }
  const details: readonly Detail[] | undefined = rule.hideDetails === true ? undefined : refusal.details?.slice(0, detailsMax)
  const body = JSON.stringify({ message: rule.message ?? refusal.message, details: details?.length === 0 ? undefined : details })
  const retryAfterS = rule.status === '503' ? Math.max(1, Math.ceil(refusal.retryAfterS ?? rule.retryAfterS ?? 1)) : undefined
  return { status: rule.status, body, ...(retryAfterS === undefined ? {} : { retryAfterS }) }
}
