import { isEntityId } from '../kernel/ids.js'
import { oid, x509 } from './x509.js'

/**
 * Where the ID of an SAE, a KME or an operator sits in its certificate. The first of the allowed places that
 * holds a candidate decides; two candidates in that place refuse the certificate.
 */
export interface IdentityRule {
  /** SAN entries of type URI that begin with this are candidates; the ID is the rest. '' turns the place off. */
  readonly uriPrefix: string
  /** Whether a SAN entry of type DNS may be the ID when there is no URI candidate. */
  readonly dns: boolean
  /** Whether the subject's common name may be the ID when there is no SAN candidate. */
  readonly cn: boolean
}

export type IdentityResult =
  | { readonly ok: true, readonly id: string }
  | { readonly ok: false, readonly message: string }

const refuse = (message: string): IdentityResult => ({ ok: false, message })

/**
 * Finds the one ID in a certificate. The SAN is read entry by entry from its DER: a printed SAN cannot be split
 * safely, because an entry may itself contain the separators (CVE-2021-44532).
 *
 * @returns the ID, which has the form of an SAE ID, or why there is none.
 * @see ETSI GS QKD 014 V1.1.1, clause 5.1 (the KME confirms the SAE ID from the certificate)
 */
export const identityOf = (certificate: x509.X509Certificate, rule: IdentityRule): IdentityResult => {
  const sanExtensions = certificate.getExtensions(x509.SubjectAlternativeNameExtension)
  if (sanExtensions.length > 1) return refuse('the certificate has more than one subjectAltName extension')
  const names = sanExtensions[0]?.names.items ?? []
  const uris = names.filter((n) => n.type === 'url' && rule.uriPrefix !== '' && n.value.startsWith(rule.uriPrefix))
  if (uris.length > 0) return single(uris.map((n) => n.value.slice(rule.uriPrefix.length)), `URI names under ${rule.uriPrefix}`)
  const dnsNames = rule.dns ? names.filter((n) => n.type === 'dns') : []
  if (dnsNames.length > 0) return single(dnsNames.map((n) => n.value), 'DNS names')
  const commonNames = rule.cn ? certificate.subjectName.getField('CN') : []
  if (commonNames.length > 0) return single(commonNames, 'common names')
  return refuse(`the certificate names nobody: expected ${expectation(rule)}`)
}

const single = (candidates: readonly string[], place: string): IdentityResult => {
  const [id] = candidates
  if (candidates.length !== 1 || id === undefined) return refuse(`the certificate has ${candidates.length} ${place}, so its ID is ambiguous`)
  if (!isEntityId(id)) return refuse(`the ID found among the ${place} is not 1 to 64 characters allowed in a URI (RFC 3986)`)
  return { ok: true, id }
}

const expectation = (rule: IdentityRule): string => [
  ...rule.uriPrefix === '' ? [] : [`one SAN URI ${rule.uriPrefix}<ID>`],
  ...rule.dns ? ['one SAN DNS name'] : [],
  ...rule.cn ? ['one subject CN'] : [],
].join(', or ') || 'nothing, because every place is turned off'

/** Usages of the extended key usage extension; undefined when the certificate has none (which allows every use). */
export const extendedUsages = (certificate: x509.X509Certificate): readonly string[] | undefined => {
  const extension = certificate.getExtension<x509.ExtendedKeyUsageExtension>(oid.extendedKeyUsage)
  return extension === null ? undefined : extension.usages.map(String)
}
