import { extendedUsages } from './identity.js'
import type { Certificate } from './pem.js'
import { normalSerial, oid, x509 } from './x509.js'

/** What a person wants to know of a certificate. */
export interface CertificateInfo {
  readonly subject: string
  readonly issuer: string
  readonly serialHex: string
  readonly notBefore: string
  readonly notAfter: string
  readonly isCa: boolean
  readonly usages: readonly string[]
  readonly names: readonly string[]
  readonly keyType: string
  readonly fingerprint: string
}

const usageNames: Readonly<Record<string, string>> = { [oid.serverAuth]: 'serverAuth', [oid.clientAuth]: 'clientAuth' }

/** Describes a certificate without judging it. */
export const inspectCertificate = (certificate: Certificate): CertificateInfo => {
  const { parsed, node } = certificate
  const key = node.publicKey
  const detail = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyDetails?.modulusLength ?? ''
  const san = parsed.getExtension(x509.SubjectAlternativeNameExtension)
  return {
    subject: parsed.subject, issuer: parsed.issuer, serialHex: normalSerial(parsed.serialNumber),
    notBefore: parsed.notBefore.toISOString(), notAfter: parsed.notAfter.toISOString(), isCa: node.ca,
    usages: (extendedUsages(parsed) ?? []).map((usage) => usageNames[usage] ?? usage),
    names: (san?.names.items ?? []).map((name) => `${name.type}:${name.value}`),
    keyType: `${key.asymmetricKeyType ?? 'unknown'} ${detail}`.trim(),
    fingerprint: node.fingerprint256,
  }
}

