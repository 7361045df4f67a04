import { createPrivateKey, randomUUID, webcrypto } from 'node:crypto'
import { appendFileSync, closeSync, existsSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { KmeError } from '../kernel/errors.js'
import { makeFolders } from '../kernel/folders.js'
import { readBytes, toPem } from './pem.js'

/** The three certificate authorities of a development PKI; who is accepted by which door never overlaps. */
export const caNames = ['sae', 'kme', 'operator'] as const
export type CaName = (typeof caNames)[number]

export interface CaPaths { readonly certificate: string, readonly key: string, readonly crl: string, readonly journal: string }
export interface LeafPaths { readonly certificate: string, readonly key: string }

export const caPaths = (folder: string, ca: CaName): CaPaths => ({
  certificate: join(folder, `${ca}-ca.crt`),
  key: join(folder, `${ca}-ca.key`),
  crl: join(folder, `${ca}-ca.crl`),
  journal: join(folder, `${ca}-ca.jsonl`),
})

/** `<folder>/<kind>/<id>/<role>.crt` and `.key`; an ID is escaped so that it can never leave its folder. */
export const leafPaths = (folder: string, kind: CaName, id: string, role: string): LeafPaths => {
  const name = encodeURIComponent(id).replace(/[.*'()!~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  const base = join(folder, kind, name, role)
  return { certificate: `${base}.crt`, key: `${base}.key` }
}

/** One line of a CA's journal: what was issued and what was revoked, in order. Lines are only ever appended. */
export type JournalEntry =
  | { readonly event: 'issued', readonly serial: string, readonly profile: string, readonly id: string, readonly notAfter: string }
  | { readonly event: 'revoked', readonly serial: string, readonly at: string, readonly reason: RevocationReason }

export const revocationReasons = ['unspecified', 'keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation', 'privilegeWithdrawn'] as const
export type RevocationReason = (typeof revocationReasons)[number]

export const appendJournal = (path: string, entry: JournalEntry): void => {
  appendFileSync(path, `${JSON.stringify(entry)}\n`, { mode: 0o600, flush: true })
}

/** @throws KmeError `CERTIFICATE_INVALID` naming file and line of a damaged journal: a CRL made from half of it would free the other half. */
export const readJournal = (path: string): JournalEntry[] => {
  const text = readBytes(path, 'CA journal').toString('utf8')
  return text.split('\n').flatMap((line, index) => {
    if (line === '') return []
    try {
      return [JSON.parse(line) as JournalEntry]
    } catch (cause) {
      throw new KmeError('CERTIFICATE_INVALID', `${path}:${index + 1}: this line of the CA journal is damaged; restore the file from a backup`, { cause })
    }
  })
}

/** Creates a file that must not exist yet, with its folders (0700), flushed. */
export const createFile = (path: string, data: string | Uint8Array, mode: number): void => {
  makeFolders(dirname(path), 0o700)
  if (existsSync(path)) throw new KmeError('CERTIFICATE_INVALID', `${path} exists already and is not overwritten`)
  writeFlushed(path, data, mode)
}

/** Replaces a file in one step: a reader sees the old one or the new one, whole. */
export const replaceFile = (path: string, data: string | Uint8Array, mode: number): void => {
  const next = `${path}.${randomUUID().slice(0, 8)}.new`
  writeFlushed(next, data, mode)
  renameSync(next, path)
}

const writeFlushed = (path: string, data: string | Uint8Array, mode: number): void => {
  const file = openSync(path, 'wx', mode)
  try {
    writeSync(file, typeof data === 'string' ? Buffer.from(data) : data)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

export const curves = ['P-256', 'P-384'] as const
export type Curve = (typeof curves)[number]

/** Signature parameters that go with a curve (RFC 5480; SHA-384 with P-384). */
export const signingOf = (curve: Curve): { name: 'ECDSA', namedCurve: Curve, hash: string } =>
  ({ name: 'ECDSA', namedCurve: curve, hash: curve === 'P-256' ? 'SHA-256' : 'SHA-384' })

export const newKeyPair = async (curve: Curve): Promise<webcrypto.CryptoKeyPair> =>
  await webcrypto.subtle.generateKey(signingOf(curve), true, ['sign', 'verify'])

/** PKCS #8 PEM of a private key. The DER is wiped; the text is the caller's to drop at once. */
export const privateKeyPem = async (key: webcrypto.CryptoKey): Promise<string> => {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  const pem = toPem('PRIVATE KEY', der)
  new Uint8Array(der).fill(0)
  return pem
}

/**
 * Reads an EC private key for signing, with its curve.
 *
 * @throws KmeError `CERTIFICATE_INVALID` naming the file if it is no EC key on P-256 or P-384.
 */
export const readPrivateKey = async (path: string): Promise<{ keys: webcrypto.CryptoKeyPair, curve: Curve }> => {
  const pem = readBytes(path, 'private key')
  try {
    const privateKey = createPrivateKey(pem)
    const curve = curves.find((c) => privateKey.asymmetricKeyDetails?.namedCurve === (c === 'P-256' ? 'prime256v1' : 'secp384r1'))
    if (curve === undefined) throw new Error('it is not an EC key on P-256 or P-384')
    const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' })
    const jwk = privateKey.export({ format: 'jwk' })
    const { subtle } = webcrypto
    const signing = await subtle.importKey('pkcs8', pkcs8, signingOf(curve), false, ['sign'])
    const verifying = await subtle.importKey('jwk', { kty: 'EC', crv: curve, x: jwk.x as string, y: jwk.y as string }, signingOf(curve), true, ['verify'])
    pkcs8.fill(0)
    return { keys: { privateKey: signing, publicKey: verifying }, curve }
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `private key file ${path}: ${(cause as Error).message}`, { cause })
  } finally {
    pem.fill(0)
  }
}

