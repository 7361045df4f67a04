import { isEntityId } from '../kernel/ids.js'
import { RequestError, badParameter } from './request-error.js'

const decode = (text: string, what: string): string => {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw new RequestError('BAD_REQUEST', `${what} has an invalid percent-encoding`)
  }
}

/**
 * Decodes one segment of the path, split off before (014 clause 5.1: IDs are URL-encoded, so a `/` comes as %2F).
 *
 * @param name  `slave_SAE_ID` or `master_SAE_ID`.
 * @throws RequestError `BAD_REQUEST` if it is not an ID.
 */
export const pathSaeId = (segment: string, name: string): string => {
  const id = decode(segment, `${name} in the path`)
  if (!isEntityId(id)) throw badParameter(name, 'must be 1 to 64 characters allowed in a URI (RFC 3986)')
  return id
}

const none: ReadonlyMap<string, string> = new Map()

/**
 * Reads a query whose parameters are all known, each at most once and not empty.
 *
 * @param query  Without the question mark; '' and undefined are no parameters.
 * @throws RequestError `BAD_REQUEST` naming the parameter.
 * @see ETSI GS QKD 014 V1.1.1, clauses 5.3 and 5.4 (what a GET may carry; everything else is a POST)
 */
export const readQuery = (query: string | undefined, known: readonly string[]): ReadonlyMap<string, string> => {
  if (query === undefined || query === '') return none
  const parameters = new Map<string, string>()
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    const name = decode(equals === -1 ? pair : pair.slice(0, equals), 'a query parameter')
    if (!known.includes(name)) {
      throw new RequestError('BAD_REQUEST', `unknown query parameter: GET takes ${known.join(' and ')} only; use POST for anything else`,
        [{ parameter: name.slice(0, 64) }])
    }
    if (parameters.has(name)) throw badParameter(name, 'must not be repeated')
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1), name)
    if (value === '') throw badParameter(name, 'must not be empty')
    parameters.set(name, value)
  }
  return parameters
}

/** Decimal digits of a query as a number; anything else is NaN, which no range admits. */
export const queryInteger = (text: string): number => /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
