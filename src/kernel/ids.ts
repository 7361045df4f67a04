import { KmeError } from './errors.js'

/** SAE ID: 1 to 64 characters of the RFC 3986 set, compared octet by octet (014 leaves the format open; 020 V1.1.1 bounds it). */
export type SaeId = string
/** KME ID: the same form as an SAE ID, unique in the network. */
export type KmeId = string

const idForm = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]{1,64}$/

/** Tells whether `text` has the form of an SAE or KME ID (ETSI GS QKD 020 V1.1.1, `initiator_sae_id`). */
export const isEntityId = (text: string): boolean => idForm.test(text)

/** @throws KmeError `BAD_REQUEST` naming `what` if `text` has not the form of an ID. */
export const entityId = (text: string, what: string): string => {
  if (!isEntityId(text)) throw new KmeError('BAD_REQUEST', `${what} must be 1 to 64 characters allowed in a URI (RFC 3986)`)
  return text
}
