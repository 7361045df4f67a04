import { existsSync } from 'node:fs'
import { KmeError, invariant } from '../kernel/errors.js'
import type { Clock } from '../kernel/time.js'
import { loadCrls } from './crl.js'
import { readCertificates, toPem } from './pem.js'
import { appendJournal, caPaths, readJournal, readPrivateKey, replaceFile, signingOf, type CaName, type JournalEntry, type RevocationReason } from './pki-files.js'
import { normalSerial, oid, x509 } from './x509.js'

interface CrlContext { readonly folder: string, readonly clock: Clock }

const dayMs = 86_400_000
const backdateMs = 60_000

/**
 * Signs the CA's list anew from its journal and replaces the file in one step. Its number is one above the last one's.
 *
 * @param days How long it holds, at most until the CA expires.
 * @returns nextUpdate.
 */
export const writeCrl = async (pki: CrlContext, ca: CaName, days: number): Promise<number> => {
  const paths = caPaths(pki.folder, ca)
  const [authority] = readCertificates(paths.certificate)
  invariant(authority !== undefined, 'readCertificates returns at least one')
  const signer = await readPrivateKey(paths.key)
  const thisUpdateMs = pki.clock.wallMs() - backdateMs
  const nextUpdateMs = Math.min(thisUpdateMs + days * dayMs, authority.parsed.notAfter.getTime())
  const before = existsSync(paths.crl) ? (await loadCrls([paths.crl], [authority]))[0]?.number ?? 0n : 0n
  const crl = await x509.X509CrlGenerator.create({
    issuer: authority.parsed.subjectName,
    thisUpdate: new Date(thisUpdateMs), nextUpdate: new Date(nextUpdateMs),
    entries: readJournal(paths.journal).filter((e) => e.event === 'revoked').map(crlEntry),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(authority.parsed.publicKey),
      new x509.Extension(oid.crlNumber, false, derInteger(before + 1n)),
    ],
    signingKey: signer.keys.privateKey, signingAlgorithm: signingOf(signer.curve),
  })
  // The library would write the label "CRL", which OpenSSL does not know (RFC 7468, clause 6).
  replaceFile(paths.crl, toPem('X509 CRL', crl.rawData), 0o644)
  return nextUpdateMs
}

/**
 * Revokes a certificate by its serial number and rewrites the CA's list. Revoking twice changes nothing.
 *
 * @throws KmeError `NOT_FOUND` if this CA never issued that serial.
 */
export const revokeCertificate = async (pki: CrlContext, ca: CaName, serialHex: string, reason: RevocationReason, crlDays: number): Promise<void> => {
  const paths = caPaths(pki.folder, ca)
  const serial = normalSerial(serialHex)
  const entries = readJournal(paths.journal)
  if (!entries.some((e) => e.event === 'issued' && normalSerial(e.serial) === serial)) throw new KmeError('NOT_FOUND', `the ${ca} CA in ${pki.folder} issued no certificate with serial ${serial}`)
  if (!entries.some((e) => e.event === 'revoked' && normalSerial(e.serial) === serial)) {
    appendJournal(paths.journal, { event: 'revoked', serial, at: new Date(pki.clock.wallMs()).toISOString(), reason })
  }
  await writeCrl(pki, ca, crlDays)
}

const crlEntry = (entry: Extract<JournalEntry, { event: 'revoked' }>): x509.X509CrlEntryParams => ({
  serialNumber: entry.serial,
  revocationDate: new Date(entry.at),
  // RFC 5280, clause 5.3.1: "unspecified" is said by leaving the reason out.
  ...entry.reason === 'unspecified' ? {} : { reason: x509.X509CrlReason[entry.reason] },
})

/** DER INTEGER of a positive number below 2^159. */
const derInteger = (value: bigint): Uint8Array => {
  const hex = value.toString(16)
  const even = hex.length % 2 === 0 ? hex : `0${hex}`
  const magnitude = Buffer.from(even, 'hex')
  const content = (magnitude[0] as number) >= 0x80 ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude
  return Buffer.concat([Buffer.of(0x02, content.length), content])
}
