import { createPrivateKey, sign, verify, X509Certificate, type KeyObject } from 'node:crypto'
import { readBytes, readCertificates, toPem } from '../crypto/pem.js'
import type { TrustStore } from '../crypto/trust.js'
import { KmeError } from '../kernel/errors.js'
import type { JudgeCertificate, Signer } from './ports.js'

/** In front of everything that is signed: a signature for one purpose is worth nothing for another (TLS 1.3 has its own, RFC 8446, 4.4.3). */
const DOMAIN = new TextEncoder().encode('qkme link state 1\0')

const inDomain = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(DOMAIN.length + bytes.length)
  out.set(DOMAIN)
  out.set(bytes, DOMAIN.length)
  return out
}

/** The hash that goes with a key: none for EdDSA, SHA-384 for P-384, else SHA-256. ECDSA signatures are r and s as they are (IEEE P1363). */
const algorithmOf = (key: KeyObject): string | null => {
  if (key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyType === 'ed448') return null
  return key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256'
}

/**
 * Signs with the key of this KME's peer certificate. OpenSSL keeps the private key; the copy made here is wiped.
 *
 * @throws KmeError `CERTIFICATE_INVALID` naming the file, or saying that key and certificate do not fit.
 */
export const createSigner = (certificateFile: string, keyFile: string): Signer => {
  const certificate = readCertificates(certificateFile)[0]!.node
  const pem = readBytes(keyFile, 'private key')
  try {
    const key = createPrivateKey(pem)
    if (!certificate.checkPrivateKey(key)) throw new KmeError('CERTIFICATE_INVALID', `the key ${keyFile} is not that of the certificate ${certificateFile}`)
    const algorithm = algorithmOf(key)
    return { certificate: new Uint8Array(certificate.raw), sign: (bytes) => new Uint8Array(sign(algorithm, inDomain(bytes), { key, dsaEncoding: 'ieee-p1363' })) }
  } catch (cause) {
    if (cause instanceof KmeError) throw cause
    throw new KmeError('CERTIFICATE_INVALID', `the private key in ${keyFile} cannot be used: ${(cause as Error).message}`, { cause })
  } finally {
    pem.fill(0)
  }
}

/** Judges certificates by the trust store of KMEs: the same that lets neighbours in. */
export const createJudge = (trust: Pick<TrustStore, 'check'>): JudgeCertificate => (der) => {
  const verdict = trust.check(toPem('CERTIFICATE', Uint8Array.from(der).buffer))
  if (!verdict.ok) return { refused: verdict.message, isPending: verdict.reason === 'ocsp-pending' }
  const key = new X509Certificate(der).publicKey
  const algorithm = algorithmOf(key)
  return {
    kme: verdict.id, validUntilMs: verdict.validUntilMs,
    verify: (bytes, signature) => {
      try {
        return verify(algorithm, inDomain(bytes), { key, dsaEncoding: 'ieee-p1363' }, signature)
      } catch {
        return false // A signature of another form than the key makes.
      }
    },
  }
}
