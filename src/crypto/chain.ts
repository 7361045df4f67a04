import type { KeyObject } from 'node:crypto'
import type { Crl } from './crl.js'
import type { Certificate } from './pem.js'
import { normalSerial, oid, x509 } from './x509.js'

/** Why a certificate is not accepted. For logs, metrics and the audit trail; the caller on the wire learns nothing. */
export type RefusalReason =
  | 'missing' | 'malformed' | 'unknown-issuer' | 'expired' | 'not-yet-valid' | 'usage' | 'weak' | 'extension'
  | 'revoked' | 'crl-missing' | 'crl-expired' | 'ocsp-pending' | 'ocsp-missing' | 'identity' | 'pin'

export interface Refused { readonly ok: false, readonly reason: RefusalReason, readonly message: string }

export interface Path {
  readonly ok: true
  /** The CA that issued the leaf. */
  readonly issuer: Certificate
  /** The earliest instant at which anything along the path stops being valid: certificates and CRLs. */
  readonly validUntilMs: number
}

export interface PathInput {
  readonly authorities: readonly Certificate[]
  /** The list in force of each CA, by `node.fingerprint256`. */
  readonly crls: ReadonlyMap<string, Crl>
  /** Whether a CA without any list closes (default of the configuration) or passes. */
  readonly crlRequired: boolean
  readonly nowMs: number
}

const pathLengthMax = 8
const rsaBitsMin = 2048

/** Critical extensions whose rules are applied here. Anything else that is critical refuses, name constraints among them. */
const understood: ReadonlySet<string> = new Set([oid.keyUsage, oid.subjectAltName, oid.basicConstraints, oid.extendedKeyUsage])

export const refused = (reason: RefusalReason, message: string): Refused => ({ ok: false, reason, message })

/**
 * Validates the path from `leaf` to a self-signed certificate among the authorities. TLS did so at the handshake, but
 * TLS sessions resume for hours without looking again, and it knows nothing of the lists loaded since.
 *
 * @see RFC 5280, clause 6.1 (signatures, dates, basicConstraints, pathLen, keyUsage, critical extensions), 6.3 (revocation)
 */
export const validatePath = (leaf: Certificate, input: PathInput): Path | Refused => {
  let validUntilMs = Number.POSITIVE_INFINITY
  let firstIssuer: Certificate | undefined
  let certificate = leaf
  for (let depth = 0; depth < pathLengthMax; depth++) {
    const own = checkItself(certificate, depth, input.nowMs)
    if (own !== undefined) return own
    validUntilMs = Math.min(validUntilMs, certificate.parsed.notAfter.getTime())
    if (depth > 0 && isSelfSigned(certificate)) return { ok: true, issuer: firstIssuer ?? certificate, validUntilMs }
    const issuer = input.authorities.find((ca) => issued(ca, certificate))
    if (issuer === undefined) return refused('unknown-issuer', `no configured CA issued ${label(certificate)} (its issuer is "${certificate.parsed.issuer}")`)
    const revocation = checkRevocation(certificate, issuer, input)
    if (!revocation.ok) return revocation
    validUntilMs = Math.min(validUntilMs, revocation.validUntilMs)
    firstIssuer ??= issuer
    certificate = issuer
  }
  return refused('unknown-issuer', `the path of ${label(leaf)} is longer than ${pathLengthMax} certificates`)
}

/** A certificate as people know it. */
export const label = (certificate: Certificate): string =>
  `"${certificate.parsed.subject || '(no subject)'}" (serial ${normalSerial(certificate.parsed.serialNumber)})`

/** What never changes about a CA certificate, worked out once: signatures and parsing are most of the cost of a path. */
interface Fixed { readonly publicKey: KeyObject, selfSigned?: boolean, fault?: Refused | 'none' }
const fixedOf = new WeakMap<Certificate, Fixed>()
const fixed = (ca: Certificate): Fixed => {
  const known = fixedOf.get(ca) ?? { publicKey: ca.node.publicKey }
  fixedOf.set(ca, known)
  return known
}

export const isSelfSigned = (ca: Certificate): boolean => fixed(ca).selfSigned ??= issued(ca, ca)

const issued = (ca: Certificate, certificate: Certificate): boolean =>
  certificate.node.checkIssued(ca.node) && certificate.node.verify(fixed(ca).publicKey)

const checkItself = (certificate: Certificate, depth: number, nowMs: number): Refused | undefined => {
  const { parsed } = certificate
  if (nowMs < parsed.notBefore.getTime()) return refused('not-yet-valid', `${label(certificate)} is valid only from ${parsed.notBefore.toISOString()}`)
  if (nowMs > parsed.notAfter.getTime()) return refused('expired', `${label(certificate)} expired at ${parsed.notAfter.toISOString()}`)
  if (depth === 0) return checkStrength(certificate) ?? checkExtensions(certificate) ?? checkLeaf(certificate)
  const fault = fixed(certificate).fault ??= checkStrength(certificate) ?? checkExtensions(certificate) ?? checkAuthority(certificate) ?? 'none'
  return fault === 'none' ? checkPathLength(certificate, depth) : fault
}

const checkStrength = (certificate: Certificate): Refused | undefined => {
  const key = certificate.node.publicKey
  const bits = key.asymmetricKeyDetails?.modulusLength
  if (bits !== undefined && bits < rsaBitsMin) return refused('weak', `${label(certificate)} has an RSA key of ${bits} bits; at least ${rsaBitsMin} are needed`)
  const hash = certificate.parsed.signatureAlgorithm.hash?.name
  if (hash === 'SHA-1' || hash === 'MD5') return refused('weak', `${label(certificate)} is signed with ${hash}`)
  return undefined
}

const checkExtensions = (certificate: Certificate): Refused | undefined => {
  const seen = new Set<string>()
  for (const { type, critical } of certificate.parsed.extensions) {
    if (seen.has(type)) return refused('extension', `${label(certificate)} has extension ${type} twice`)
    if (critical && !understood.has(type)) return refused('extension', `${label(certificate)} has the critical extension ${type}, which is not supported`)
    seen.add(type)
  }
  return undefined
}

const checkLeaf = (certificate: Certificate): Refused | undefined => {
  if (certificate.node.ca) return refused('usage', `${label(certificate)} is a CA certificate, not one of an end entity`)
  const usage = certificate.parsed.getExtension<x509.KeyUsagesExtension>(oid.keyUsage)
  if (usage !== null && (usage.usages & x509.KeyUsageFlags.digitalSignature) === 0) return refused('usage', `${label(certificate)} may not sign (keyUsage without digitalSignature)`)
  return undefined
}

const checkAuthority = (certificate: Certificate): Refused | undefined => {
  if (!certificate.node.ca) return refused('usage', `${label(certificate)} is configured as a CA but is not one (basicConstraints)`)
  const usage = certificate.parsed.getExtension<x509.KeyUsagesExtension>(oid.keyUsage)
  if (usage !== null && (usage.usages & x509.KeyUsageFlags.keyCertSign) === 0) return refused('usage', `${label(certificate)} may not sign certificates (no keyCertSign)`)
  return undefined
}

/** `depth` is the CA's distance from the leaf: 1 issued the leaf, so depth - 1 CAs stand between them. */
const checkPathLength = (certificate: Certificate, depth: number): Refused | undefined => {
  const between = certificate.parsed.getExtension<x509.BasicConstraintsExtension>(oid.basicConstraints)?.pathLength
  if (between !== undefined && depth - 1 > between) return refused('usage', `${label(certificate)} allows only ${between} CAs below it`)
  return undefined
}

const checkRevocation = (certificate: Certificate, issuer: Certificate, input: PathInput): { readonly ok: true, readonly validUntilMs: number } | Refused => {
  const crl = input.crls.get(issuer.node.fingerprint256)
  if (crl === undefined) {
    return input.crlRequired
      ? refused('crl-missing', `no CRL of the CA "${issuer.parsed.subject}" is loaded, so nothing it issued is accepted`)
      : { ok: true, validUntilMs: Number.POSITIVE_INFINITY }
  }
  if (input.nowMs < crl.thisUpdateMs) return refused('crl-expired', `the CRL of "${issuer.parsed.subject}" (${crl.file}) holds only from ${new Date(crl.thisUpdateMs).toISOString()}`)
  if (input.nowMs > crl.nextUpdateMs) return refused('crl-expired', `the CRL of "${issuer.parsed.subject}" (${crl.file}) expired at ${new Date(crl.nextUpdateMs).toISOString()}; fetch a new one`)
  if (crl.revoked.has(normalSerial(certificate.parsed.serialNumber))) return refused('revoked', `${label(certificate)} is revoked`)
  return { ok: true, validUntilMs: crl.nextUpdateMs }
}
