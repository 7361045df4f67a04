import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { TrustStore } from '../crypto/trust.js'
import { KmeError } from '../kernel/errors.js'

/** Files in PEM form with which this KME shows itself to its neighbours, and by which it knows them. */
export interface PeerCredentials {
  readonly certificateFile: string
  readonly keyFile: string
  /** The CA of KME certificates, and of nobody else's. */
  readonly caFile: string
  /** Judges a neighbour's certificate beyond what TLS does: revocation, usages, the one KME ID in it. */
  readonly trust: Pick<TrustStore, 'check'>
}

/** TLS of the peer port and of dialling: nothing below 1.3 (RFC 8446), whose suites are all of one strength class. */
export const peerCiphers = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256'

/**
 * Reads the files for dialling. The copy of the private key made here is wiped; OpenSSL keeps its own.
 *
 * @throws KmeError `CERTIFICATE_INVALID` naming the file or saying that key and certificate do not fit.
 */
export const clientContext = (credentials: PeerCredentials): SecureContext => {
  const cert = read(credentials.certificateFile), ca = read(credentials.caFile), key = read(credentials.keyFile)
  try {
    return createSecureContext({ cert, ca, key, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: peerCiphers })
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `certificate ${credentials.certificateFile} and key ${credentials.keyFile} cannot be used: ${(cause as Error).message}`, { cause })
  } finally {
    key.fill(0)
  }
}

const read = (path: string): Buffer => {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}
