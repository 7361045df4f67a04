/**
 * The one place that loads @peculiar/x509: its container of algorithms needs the reflection polyfill first,
 * and it must sign and verify with Node's own WebCrypto. Everything else imports certificate classes from here.
 */
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

x509.cryptoProvider.set(webcrypto)

export { x509 }

/** Object identifiers that qkme reads or writes (RFC 5280, clause 4.2). */
export const oid = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  crlReason: '2.5.29.21',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** Upper-case hex without leading zero octets: the form in which serial numbers are compared and stored. */
export const normalSerial = (hex: string): string => {
  const digits = hex.toUpperCase().replace(/^(00)+(?=..)/, '')
  return digits.length % 2 === 0 ? digits : `0${digits}`
}
