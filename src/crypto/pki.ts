import type { webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import { existsSync } from 'node:fs'
import { KmeError, invariant } from '../kernel/errors.js'
import { isEntityId } from '../kernel/ids.js'
import type { Random } from '../kernel/random.js'
import type { Clock } from '../kernel/time.js'
import { parseCertificate, readCertificates } from './pem.js'
import {
  appendJournal, caNames, caPaths, createFile, leafPaths, newKeyPair, privateKeyPem, readPrivateKey, replaceFile, signingOf,
  type CaName, type Curve, type LeafPaths,
} from './pki-files.js'
import { writeCrl } from './pki-crl.js'
import { oid, x509 } from './x509.js'

/**
 * A small PKI for development, tests and closed sites: three CAs (SAE, KME, operator), each with a CRL. A site with a PKI
 * of its own uses that instead; qkme needs only the files.
 */
export interface PkiContext { readonly folder: string, readonly clock: Clock, readonly random: Random }

/** What a certificate is for; decides CA, usages and where the ID goes. */
export const profiles = {
  'sae': { ca: 'sae', role: 'client', usages: [oid.clientAuth], urn: 'urn:qkme:sae:' },
  'kme-server': { ca: 'kme', role: 'server', usages: [oid.serverAuth], urn: 'urn:qkme:kme:' },
  'kme-peer': { ca: 'kme', role: 'peer', usages: [oid.serverAuth, oid.clientAuth], urn: 'urn:qkme:kme:' },
  'operator': { ca: 'operator', role: 'client', usages: [oid.clientAuth], urn: 'urn:qkme:operator:' },
} as const satisfies Record<string, { ca: CaName, role: string, usages: string[], urn: string }>
export type Profile = keyof typeof profiles

export interface IssueRequest {
  readonly profile: Profile
  /** Goes into the SAN as a URI under the profile's URN, and into the CN for people. */
  readonly id: string
  /** DNS names and IP addresses of a server; `localhost`, 127.0.0.1 and ::1 when none are given. */
  readonly hosts?: readonly string[]
  /** Life in days from `notBeforeMs` on; 365. */
  readonly days?: number
  /** Start of validity; a minute ago, so that a slightly slow clock accepts it. */
  readonly notBeforeMs?: number
  /** true: a new certificate for the key that exists, replacing the file in one step. */
  readonly renew?: boolean
}

export interface Issued extends LeafPaths { readonly serialHex: string, readonly fingerprint: string, readonly notAfterMs: number }

const dayMs = 86_400_000
const backdateMs = 60_000

/**
 * Makes the three CAs with empty CRLs, keys 0600. CAs that exist are left as they are, so calling it again is harmless.
 *
 * @param days Life of the CAs and of their CRLs, so that a forgotten development PKI does not stop by a stale list first.
 * @returns the CAs that were made.
 */
export const createPki = async (pki: PkiContext, options: { days?: number, curve?: Curve, organization?: string } = {}): Promise<CaName[]> => {
  const made: CaName[] = []
  for (const ca of caNames) {
    const paths = caPaths(pki.folder, ca)
    if (existsSync(paths.certificate) && existsSync(paths.crl)) continue
    await createCa(pki, ca, options.days ?? 3650, options.curve ?? 'P-256', options.organization ?? 'qkme')
    made.push(ca)
  }
  return made
}

const createCa = async (pki: PkiContext, ca: CaName, days: number, curve: Curve, organization: string): Promise<void> => {
  const paths = caPaths(pki.folder, ca)
  const keys = await newKeyPair(curve)
  const notBeforeMs = pki.clock.wallMs() - backdateMs
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(pki.random),
    name: new x509.Name([{ O: [{ utf8String: organization }] }, { CN: [{ utf8String: `qkme ${ca === 'kme' || ca === 'sae' ? ca.toUpperCase() : ca} CA` }] }]),
    notBefore: new Date(notBeforeMs), notAfter: new Date(notBeforeMs + days * dayMs),
    signingAlgorithm: signingOf(curve), keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  createFile(paths.key, await privateKeyPem(keys.privateKey), 0o600)
  createFile(paths.certificate, `${certificate.toString('pem')}\n`, 0o644)
  createFile(paths.journal, '', 0o600)
  await writeCrl(pki, ca, days)
}

/**
 * Issues a certificate and writes it with its key (0600) under `<folder>/<sae|kme|operator>/<id>/`.
 *
 * @throws KmeError `CERTIFICATE_INVALID` if the CA is missing, the files exist (without `renew`) or the CA would expire first;
 *   `BAD_REQUEST` if the ID has not the form of an ID.
 */
export const issueCertificate = async (pki: PkiContext, request: IssueRequest): Promise<Issued> => {
  if (!isEntityId(request.id)) throw new KmeError('BAD_REQUEST', `ID "${request.id}" must be 1 to 64 characters allowed in a URI (RFC 3986)`)
  const profile = profiles[request.profile]
  const ca = caPaths(pki.folder, profile.ca)
  if (!existsSync(ca.key)) throw new KmeError('CERTIFICATE_INVALID', `no CA in ${pki.folder}: run "qkme pki init --folder ${pki.folder}" first`)
  const [authority] = readCertificates(ca.certificate)
  invariant(authority !== undefined, 'readCertificates returns at least one')
  const signer = await readPrivateKey(ca.key)
  const paths = leafPaths(pki.folder, profile.ca, request.id, profile.role)
  const renew = request.renew === true
  if (!renew && existsSync(paths.certificate)) throw new KmeError('CERTIFICATE_INVALID', `${paths.certificate} exists already; use --renew to replace the certificate and keep its key`)
  const keys = renew ? (await readPrivateKey(paths.key)).keys : await newKeyPair(signer.curve)
  const notBeforeMs = request.notBeforeMs ?? pki.clock.wallMs() - backdateMs
  const notAfterMs = notBeforeMs + (request.days ?? 365) * dayMs
  if (notAfterMs > authority.parsed.notAfter.getTime()) throw new KmeError('CERTIFICATE_INVALID', `the ${profile.ca} CA expires at ${authority.parsed.notAfter.toISOString()}, before this certificate would; choose fewer days`)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(pki.random),
    subject: new x509.Name([{ CN: [{ utf8String: request.id }] }]),
    issuer: authority.parsed.subjectName,
    notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs),
    publicKey: keys.publicKey, signingKey: signer.keys.privateKey, signingAlgorithm: signingOf(signer.curve),
    extensions: await leafExtensions(request, keys.publicKey, authority.parsed.publicKey),
  })
  const parsed = parseCertificate(certificate.toString('pem'))
  const issued = { ...paths, serialHex: parsed.node.serialNumber, fingerprint: parsed.node.fingerprint256, notAfterMs }
  // Journal first: a certificate that nobody wrote down could never be revoked.
  appendJournal(ca.journal, { event: 'issued', serial: issued.serialHex, profile: request.profile, id: request.id, notAfter: new Date(notAfterMs).toISOString() })
  if (!renew) createFile(paths.key, await privateKeyPem(keys.privateKey), 0o600)
  const write = renew ? replaceFile : createFile
  write(paths.certificate, `${certificate.toString('pem')}\n`, 0o644)
  return issued
}

const leafExtensions = async (request: IssueRequest, subjectKey: webcrypto.CryptoKey, issuerKey: x509.PublicKey): Promise<x509.Extension[]> => {
  const profile = profiles[request.profile]
  const isServer = (profile.usages as readonly string[]).includes(oid.serverAuth)
  const hosts = isServer ? request.hosts ?? ['localhost', '127.0.0.1', '::1'] : []
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([...profile.usages]),
    new x509.SubjectAlternativeNameExtension([
      { type: 'url', value: profile.urn + request.id },
      ...hosts.map((host) => ({ type: isIP(host) === 0 ? 'dns' as const : 'ip' as const, value: host })),
    ]),
    await x509.SubjectKeyIdentifierExtension.create(subjectKey),
    await x509.AuthorityKeyIdentifierExtension.create(issuerKey),
  ]
}

/** 127 random bits: positive, at most 20 octets, not to be guessed (RFC 5280, clause 4.1.2.2). */
const newSerial = (random: Random): string => {
  const bytes = Buffer.from(random.bytes(16))
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40
  return bytes.toString('hex')
}
