import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { KmeError } from '../kernel/errors.js'
import { x509 } from './x509.js'

/** One certificate in both views: Node's for signatures and names, the parsed DER for extensions. */
export interface Certificate {
  readonly pem: string
  readonly node: X509Certificate
  readonly parsed: x509.X509Certificate
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/** How much of a certificate is read: far above any real one, far below what would hurt. */
const pemBytesMax = 64 * 1024
const fileBytesMax = 16 * 1024 * 1024

/**
 * Parses one certificate in PEM form.
 *
 * @throws KmeError `CERTIFICATE_INVALID` if it is not exactly one well-formed certificate.
 */
export const parseCertificate = (pem: string): Certificate => {
  if (pem.length > pemBytesMax) throw new KmeError('CERTIFICATE_INVALID', `a certificate of ${pem.length} characters is too long`)
  const blocks = pem.match(certificateBlock)
  if (blocks?.length !== 1) throw new KmeError('CERTIFICATE_INVALID', `expected one PEM certificate, found ${blocks?.length ?? 0}`)
  try {
    const node = new X509Certificate(blocks[0])
    return { pem: blocks[0], node, parsed: new x509.X509Certificate(node.raw) }
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', 'the certificate is not well-formed', { cause })
  }
}

/**
 * Reads every certificate of a PEM file, in order.
 *
 * @throws KmeError `CERTIFICATE_INVALID` naming the file if it cannot be read or holds none.
 */
export const readCertificates = (path: string): Certificate[] => {
  const text = readText(path, 'certificate')
  const blocks = text.match(certificateBlock) ?? []
  if (blocks.length === 0) throw new KmeError('CERTIFICATE_INVALID', `${path}: no PEM certificate in this file`)
  try {
    return blocks.map(parseCertificate)
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `${path}: ${(cause as Error).message}`, { cause })
  }
}

/**
 * Reads a file that holds certificates, CRLs or a key as raw bytes.
 *
 * @throws KmeError `CERTIFICATE_INVALID` naming the file and what was expected in it.
 */
export const readBytes = (path: string, what: string): Buffer => {
  try {
    const bytes = readFileSync(path)
    if (bytes.length > fileBytesMax) throw new Error(`${bytes.length} bytes are more than ${fileBytesMax}`)
    return bytes
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `${what} file ${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

const readText = (path: string, what: string): string => readBytes(path, what).toString('latin1')

/** Encodes DER as PEM (RFC 7468): lines of 64 characters under `-----BEGIN <label>-----`. */
export const toPem = (label: string, der: ArrayBuffer): string =>
  `-----BEGIN ${label}-----\n${(Buffer.from(der).toString('base64').match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`
