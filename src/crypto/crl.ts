import { createHash } from 'node:crypto'
import { KmeError } from '../kernel/errors.js'
import { readBytes, type Certificate } from './pem.js'
import { normalSerial, oid, x509 } from './x509.js'

/** One verified CRL, tied to the very CA certificate whose key signed it. */
export interface Crl {
  readonly file: string
  /** SHA-256 of the CA certificate, hex with colons, as `Certificate.node.fingerprint256` has it. */
  readonly issuerFingerprint: string
  readonly thisUpdateMs: number
  /** After this instant the list says nothing any more, and its CA's certificates are refused. */
  readonly nextUpdateMs: number
  /** Revoked serial numbers (normalSerial). */
  readonly revoked: ReadonlySet<string>
  /** crlNumber, where the list has one: a smaller number than before is a rollback. */
  readonly number: bigint | undefined
}

/** Critical extensions that are understood. A delta CRL or a list of a part of the certificates is not a whole list. */
const understood: ReadonlySet<string> = new Set([oid.crlNumber, oid.authorityKeyIdentifier])
const understoodInEntries: ReadonlySet<string> = new Set([oid.crlReason])

/**
 * Loads and verifies CRL files (PEM or DER, one list each).
 *
 * @param files Paths.
 * @param authorities The configured CA certificates: only their lists are accepted.
 * @throws KmeError `CERTIFICATE_INVALID` naming the file for: unreadable, not a CRL, unknown issuer, wrong signature, issuer
 *   without cRLSign, no nextUpdate, an unknown critical extension (delta and partial lists among them).
 * @see RFC 5280, clauses 5 and 6.3
 */
export const loadCrls = async (files: readonly string[], authorities: readonly Certificate[]): Promise<Crl[]> => {
  const lists: Crl[] = []
  for (const file of files) lists.push(await loadCrl(file, authorities))
  return lists
}

/** Digest of the files' contents: a reload happens when it differs. Unreadable files count as a content of their own. */
export const digestOfFiles = (files: readonly string[]): string => {
  const hash = createHash('sha256')
  for (const file of files) {
    try {
      const bytes = readBytes(file, 'trust')
      hash.update(`${file}\0${bytes.length}\0`).update(bytes)
    } catch (error) {
      hash.update(`${file}\0${(error as Error).message}\0`)
    }
  }
  return hash.digest('hex')
}

const invalid = (file: string, why: string, cause?: unknown): KmeError =>
  new KmeError('CERTIFICATE_INVALID', `CRL file ${file}: ${why}`, cause === undefined ? {} : { cause })

const loadCrl = async (file: string, authorities: readonly Certificate[]): Promise<Crl> => {
  const list = parseCrl(file, readBytes(file, 'CRL'))
  const issuer = await issuerOf(file, list, authorities)
  checkExtensions(file, list)
  if (list.nextUpdate === undefined) throw invalid(file, 'it has no nextUpdate, so nothing says until when it holds')
  return {
    file,
    issuerFingerprint: issuer.node.fingerprint256,
    thisUpdateMs: list.thisUpdate.getTime(),
    nextUpdateMs: list.nextUpdate.getTime(),
    revoked: new Set(list.entries.map((entry) => normalSerial(entry.serialNumber))),
    number: crlNumber(file, list),
  }
}

const parseCrl = (file: string, bytes: Buffer): x509.X509Crl => {
  try {
    const text = bytes.subarray(0, 4096).toString('latin1')
    if (!text.includes('-----BEGIN')) return new x509.X509Crl(bytes)
    const blocks = [...bytes.toString('latin1').matchAll(/-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g)]
    if (blocks.length !== 1) throw new Error(`expected one PEM block X509 CRL, found ${blocks.length}`)
    return new x509.X509Crl(Buffer.from(blocks[0]?.[1] as string, 'base64'))
  } catch (cause) {
    throw invalid(file, `not a certificate revocation list: ${(cause as Error).message}`, cause)
  }
}

const issuerOf = async (file: string, list: x509.X509Crl, authorities: readonly Certificate[]): Promise<Certificate> => {
  const issuerName = Buffer.from(list.issuerName.toArrayBuffer())
  const named = authorities.filter((ca) => issuerName.equals(Buffer.from(ca.parsed.subjectName.toArrayBuffer())))
  if (named.length === 0) throw invalid(file, `its issuer "${list.issuer}" is none of the configured CAs`)
  for (const ca of named) {
    if (!await verifies(list, ca)) continue
    const usage = ca.parsed.getExtension<x509.KeyUsagesExtension>(oid.keyUsage)
    if (usage !== null && (usage.usages & x509.KeyUsageFlags.cRLSign) === 0) throw invalid(file, `the CA "${list.issuer}" may not sign CRLs (no cRLSign)`)
    return ca
  }
  throw invalid(file, `its signature is not by the CA "${list.issuer}"`)
}

const verifies = async (list: x509.X509Crl, ca: Certificate): Promise<boolean> => {
  try {
    // The key alone, not the certificate: the library would take the hash of the certificate's own signature.
    return await list.verify({ publicKey: ca.parsed.publicKey })
  } catch {
    return false // A malformed signature is one that does not verify; the caller names the file.
  }
}

const checkExtensions = (file: string, list: x509.X509Crl): void => {
  for (const extension of list.extensions) {
    if (extension.critical && !understood.has(extension.type)) throw invalid(file, `critical extension ${extension.type} is not supported (delta and partial lists are not)`)
  }
  for (const entry of list.entries) {
    const unknown = entry.extensions.find((e) => e.critical && !understoodInEntries.has(e.type))
    if (unknown !== undefined) throw invalid(file, `the entry of serial ${entry.serialNumber} has the critical extension ${unknown.type}, which is not supported`)
  }
}

/** The INTEGER inside the extension's value (RFC 5280, clause 5.2.3: up to 20 octets). */
const crlNumber = (file: string, list: x509.X509Crl): bigint | undefined => {
  const extension = list.getExtension(oid.crlNumber)
  if (extension === null) return undefined
  const der = Buffer.from(extension.value)
  if (der[0] !== 0x02 || der[1] !== der.length - 2 || der.length < 3 || der.length > 23) throw invalid(file, 'its crlNumber is malformed')
  return BigInt(`0x${der.subarray(2).toString('hex')}`)
}
