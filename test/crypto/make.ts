/** Certificates and lists of any shape, right or wrong, for tests. */
import { webcrypto } from 'node:crypto'
import { toPem, parseCertificate, type Certificate } from '../../src/crypto/pem.js'
import { oid, x509 } from '../../src/crypto/x509.js'
import type { Clock } from '../../src/kernel/time.js'

export const dayMs = 86_400_000
export const nowMs = Date.UTC(2026, 5, 1)

/** A clock that stands still until told otherwise. */
export class StillClock implements Clock {
  timers: { atMs: number, fn: () => void }[] = []
  constructor (public nowMs_: number = nowMs) {}
  wallMs (): number { return this.nowMs_ }
  monoMs (): number { return this.nowMs_ }
  after (delayMs: number, fn: () => void): () => void {
    const timer = { atMs: this.nowMs_ + delayMs, fn }
    this.timers.push(timer)
    return () => { this.timers = this.timers.filter((other) => other !== timer) }
  }

  advance (byMs: number): void {
    this.nowMs_ += byMs
    const due = this.timers.filter((timer) => timer.atMs <= this.nowMs_)
    this.timers = this.timers.filter((timer) => timer.atMs > this.nowMs_)
    for (const timer of due) timer.fn()
  }
}

export interface Made { readonly keys: webcrypto.CryptoKeyPair, readonly certificate: Certificate, readonly pem: string }

export interface Shape {
  readonly name?: string
  readonly issuer?: Made
  readonly ca?: boolean
  readonly pathLength?: number
  readonly keyUsage?: number
  readonly usages?: readonly string[]
  readonly uris?: readonly string[]
  readonly dns?: readonly string[]
  readonly commonNames?: readonly string[]
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
  readonly serial?: string
  readonly extra?: readonly x509.Extension[]
  readonly rsaBits?: number
  readonly hash?: string
}

let serial = 0x1000

export const make = async (shape: Shape): Promise<Made> => {
  const algorithm = shape.rsaBits === undefined
    ? { name: 'ECDSA', namedCurve: 'P-256', hash: shape.hash ?? 'SHA-256' }
    : { name: 'RSASSA-PKCS1-v1_5', modulusLength: shape.rsaBits, publicExponent: Uint8Array.of(1, 0, 1), hash: shape.hash ?? 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as webcrypto.CryptoKeyPair
  const subject = new x509.Name((shape.commonNames ?? [shape.name ?? 'test']).map((cn) => ({ CN: [{ utf8String: cn }] })))
  const names = [...(shape.uris ?? []).map((value) => ({ type: 'url' as const, value })), ...(shape.dns ?? []).map((value) => ({ type: 'dns' as const, value }))]
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: shape.serial ?? (serial++).toString(16), subject,
    issuer: shape.issuer?.certificate.parsed.subjectName ?? subject,
    notBefore: new Date(shape.notBeforeMs ?? nowMs - dayMs), notAfter: new Date(shape.notAfterMs ?? nowMs + 100 * dayMs),
    publicKey: keys.publicKey, signingKey: (shape.issuer?.keys ?? keys).privateKey,
    signingAlgorithm: shape.issuer === undefined ? algorithm : { name: 'ECDSA', namedCurve: 'P-256', hash: shape.hash ?? 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(shape.ca === true, shape.pathLength, true),
      new x509.KeyUsagesExtension(shape.keyUsage ?? (shape.ca === true ? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign : x509.KeyUsageFlags.digitalSignature), true),
      ...shape.usages === undefined ? [] : [new x509.ExtendedKeyUsageExtension([...shape.usages])],
      ...names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)],
      ...shape.extra ?? [],
    ],
  })
  const pem = certificate.toString('pem')
  return { keys, certificate: parseCertificate(pem), pem }
}

export const makeCa = (name: string, shape: Shape = {}): Promise<Made> => make({ name, ca: true, ...shape })

export const makeSae = (issuer: Made, id: string, shape: Shape = {}): Promise<Made> =>
  make({ issuer, name: id, uris: [`urn:qkme:sae:${id}`], usages: [oid.clientAuth], ...shape })

export interface ListShape {
  readonly revoked?: readonly string[]
  readonly thisUpdateMs?: number
  readonly nextUpdateMs?: number | null
  readonly number?: number
  readonly extra?: readonly x509.Extension[]
  readonly entryExtra?: readonly x509.Extension[]
  /** Signs with another key than the issuer's. */
  readonly signedBy?: Made
}

/** PEM of a list of `issuer`. */
export const makeCrl = async (issuer: Made, shape: ListShape = {}): Promise<string> => {
  const crl = await x509.X509CrlGenerator.create({
    issuer: issuer.certificate.parsed.subjectName,
    thisUpdate: new Date(shape.thisUpdateMs ?? nowMs - dayMs),
    ...shape.nextUpdateMs === null ? {} : { nextUpdate: new Date(shape.nextUpdateMs ?? nowMs + 10 * dayMs) },
    entries: (shape.revoked ?? []).map((serialNumber) => ({ serialNumber, revocationDate: new Date(nowMs - dayMs), extensions: [...shape.entryExtra ?? []] })),
    extensions: [new x509.Extension(oid.crlNumber, false, Buffer.of(0x02, 0x01, shape.number ?? 1)), ...shape.extra ?? []],
    signingKey: (shape.signedBy ?? issuer).keys.privateKey, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  })
  return toPem('X509 CRL', crl.rawData)
}
