import { createPrivateKey, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import { KmeError } from '../kernel/errors.js'
import { isSelfSigned, label, refused, type Refused } from './chain.js'
import { loadCrls, type Crl } from './crl.js'
import { extendedUsages } from './identity.js'
import { readBytes, readCertificates, type Certificate } from './pem.js'
import { oid } from './x509.js'

/** One thing to know before the TLS side of a KME is started: what is wrong and the way out. */
export interface TlsFinding { readonly level: 'error' | 'warning', readonly message: string }

export interface TlsCheckInput {
  /** What this end is, for the messages: "rest", "peering", "admin.https". */
  readonly what: string
  readonly certificateFile: string
  readonly keyFile: string
  /** CA file for the *other* side's certificates. */
  readonly caFile: string
  readonly crlFiles: readonly string[]
  readonly crlRequired: boolean
  readonly usages: readonly ('clientAuth' | 'serverAuth')[]
  /** Host names or addresses that clients use; '0.0.0.0' and '::' say nothing and are skipped. */
  readonly hosts: readonly string[]
  readonly warnDays: number
  readonly nowMs: number
}

const dayMs = 86_400_000

/**
 * Checks the TLS files of one listener as far as one side can: certificate and key match, dates, usages, names, the CA file and
 * the CRLs. Never throws for what it checks: a fault is a finding.
 */
export const checkTls = async (input: TlsCheckInput): Promise<TlsFinding[]> => {
  const findings: TlsFinding[] = []
  const attempt = async (step: () => TlsFinding[] | Promise<TlsFinding[]>): Promise<void> => {
    try {
      findings.push(...await step())
    } catch (error) {
      if (!(error instanceof KmeError)) throw error
      findings.push({ level: 'error', message: `${input.what}: ${error.message}` })
    }
  }
  await attempt(() => checkOwn(input))
  await attempt(() => checkAuthorities(input))
  return findings
}

const checkOwn = (input: TlsCheckInput): TlsFinding[] => {
  const [certificate] = readCertificates(input.certificateFile)
  if (certificate === undefined) return [] // readCertificates threw: not reached.
  const error = (message: string): TlsFinding => ({ level: 'error', message: `${input.what}: ${message}` })
  const findings: TlsFinding[] = []
  if (!certificate.node.checkPrivateKey(readKey(input.keyFile))) findings.push(error(`the key in ${input.keyFile} does not belong to the certificate in ${input.certificateFile}; configure the pair that was made together`))
  findings.push(...checkDates(input, certificate, `certificate ${input.certificateFile}`))
  if (certificate.node.ca) findings.push(error(`${input.certificateFile} is a CA certificate; issue one for this KME`))
  const usages = extendedUsages(certificate.parsed)
  for (const usage of input.usages) {
    if (usages !== undefined && !usages.includes(oid[usage])) findings.push(error(`${label(certificate)} lacks the extended key usage ${usage}; have it issued with it`))
  }
  for (const host of input.hosts) {
    if (host === '0.0.0.0' || host === '::' || host === '') continue
    const covered = isIP(host) === 0 ? certificate.node.checkHost(host, { subject: 'never' }) : certificate.node.checkIP(host)
    if (covered === undefined) findings.push(error(`${label(certificate)} does not name "${host}" (${certificate.node.subjectAltName ?? 'no names'}); clients will refuse it`))
  }
  return findings
}

const readKey = (path: string): KeyObject => {
  const pem = readBytes(path, 'private key')
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `${path} is not an unencrypted PEM private key`, { cause })
  } finally {
    pem.fill(0)
  }
}

const checkDates = (input: TlsCheckInput, certificate: Certificate, what: string): TlsFinding[] => {
  const finding = (level: 'error' | 'warning', message: string): TlsFinding[] => [{ level, message: `${input.what}: ${what} ${message}` }]
  const { notBefore, notAfter } = certificate.parsed
  if (input.nowMs < notBefore.getTime()) return finding('error', `is valid only from ${notBefore.toISOString()}; check this machine's clock`)
  if (input.nowMs > notAfter.getTime()) return finding('error', `expired at ${notAfter.toISOString()}; renew it`)
  const days = Math.floor((notAfter.getTime() - input.nowMs) / dayMs)
  return days < input.warnDays ? finding('warning', `expires in ${days} days, at ${notAfter.toISOString()}; renew it`) : []
}

const checkAuthorities = async (input: TlsCheckInput): Promise<TlsFinding[]> => {
  const authorities = readCertificates(input.caFile)
  const findings = authorities.flatMap((ca) => [
    ...checkDates(input, ca, `CA ${label(ca)} in ${input.caFile}`),
    ...ca.node.ca ? [] : [{ level: 'error' as const, message: `${input.what}: ${label(ca)} in ${input.caFile} is not a CA certificate` }],
  ])
  if (!authorities.some(isSelfSigned)) findings.push({ level: 'error', message: `${input.what}: ${input.caFile} holds no self-signed root, so no path can end; add the root CA` })
  const crls = new Map((await loadCrls(input.crlFiles, authorities)).map((crl) => [crl.issuerFingerprint, crl]))
  for (const ca of authorities) {
    const refusal = checkList(input, ca, crls.get(ca.node.fingerprint256), authorities)
    if (refusal !== undefined) findings.push({ level: 'error', message: `${input.what}: ${refusal.message}` })
  }
  return findings
}

/** Missing or stale list of one CA, or an intermediate that is itself refused. */
const checkList = (input: TlsCheckInput, ca: Certificate, crl: Crl | undefined, authorities: readonly Certificate[]): Refused | undefined => {
  if (crl === undefined && input.crlRequired) return refused('crl-missing', `there is no CRL of ${label(ca)}: nothing it issued will be accepted; add its list to crlFiles or set crlRequired: false`)
  if (crl !== undefined && input.nowMs > crl.nextUpdateMs) return refused('crl-expired', `the CRL ${crl.file} expired at ${new Date(crl.nextUpdateMs).toISOString()}: nothing ${label(ca)} issued is accepted until a new list is there`)
  const issuer = isSelfSigned(ca) ? undefined : authorities.find((other) => other !== ca && ca.node.checkIssued(other.node))
  if (issuer === undefined && !isSelfSigned(ca)) return refused('unknown-issuer', `the issuer of the intermediate CA ${label(ca)} is not in ${input.caFile}; add it`)
  return undefined
}

