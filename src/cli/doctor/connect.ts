import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls'
import { isIP } from 'node:net'
import { identityOf } from '../../crypto/identity.js'
import { parseCertificate, toPem } from '../../crypto/pem.js'
import { wordsFor, wordsForServer } from './alerts.js'
import { failed, ok, warning, type SaeAccess, type Step } from './report.js'

const portOf = (url: URL): number => url.port === '' ? 443 : Number(url.port)
/** URL writes IPv6 addresses in brackets, sockets do not. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')

/** Whether anything listens there at all. */
export const checkNetwork = (access: SaeAccess): Promise<Step> => new Promise((resolve) => {
  const socket = connectTcp({ host: hostOf(access.url), port: portOf(access.url), timeout: access.timeoutMs })
  const end = (step: Step): void => { socket.destroy(); resolve(step) }
  socket.on('connect', () => { end(ok('network', `${access.url.host} answers (${socket.remoteAddress ?? 'unknown address'})`)) })
  socket.on('timeout', () => { end(failed('network', `no answer from ${access.url.host} within ${access.timeoutMs / 1_000} s`, 'a firewall may drop the packets; check that the port is open')) })
  socket.on('error', (error) => { const words = wordsFor(error); end(failed('network', `${access.url.host}: ${words.message}`, words.advice)) })
})

/**
 * Shakes hands and judges the KME's certificate. The chain is judged by TLS itself; it is only not allowed to end the
 * connection, so that the reason can be told. Nothing but the handshake is sent here.
 */
export const checkTls = (access: SaeAccess): Promise<Step[]> => new Promise((resolve) => {
  const host = hostOf(access.url)
  const socket = connectTls({
    host, port: portOf(access.url), timeout: access.timeoutMs, rejectUnauthorized: false, minVersion: 'TLSv1.2',
    ...isIP(host) === 0 ? { servername: host } : {},
    cert: readFileSync(access.certificateFile), key: readFileSync(access.keyFile), ca: readFileSync(access.caFile),
  })
  const end = (steps: Step[]): void => { socket.destroy(); resolve(steps) }
  socket.on('secureConnect', () => { end(judgeServer(socket, access)) })
  socket.on('timeout', () => { end([failed('tls', `the handshake did not end within ${access.timeoutMs / 1_000} s`, 'what answers there may not speak TLS; check the port')]) })
  socket.on('error', (error) => { const words = wordsFor(error); end([failed('tls', words.message, words.advice)]) })
})

const judgeServer = (socket: TLSSocket, access: SaeAccess): Step[] => {
  if (!socket.authorized) {
    // Node gives the verification code itself here, although its type says Error.
    const reason = socket.authorizationError as unknown as string | { code?: string }
    const words = wordsForServer(typeof reason === 'string' ? reason : reason.code ?? String(reason), access.caFile, hostOf(access.url))
    return [failed('tls', words.message, words.advice)]
  }
  const version = ok('tls', `${socket.getProtocol() ?? 'TLS'}, ${socket.getCipher().name}; the KME's certificate is good`)
  return [version, kmeStep(socket.getPeerCertificate(), access.kme)]
}

/** 014, clause 5.1: the SAE confirms the KME ID from the certificate. */
const kmeStep = (peer: PeerCertificate, expected: string | undefined): Step => {
  const certificate = parseCertificate(toPem('CERTIFICATE', new Uint8Array(peer.raw).buffer))
  const identity = identityOf(certificate.parsed, { uriPrefix: 'urn:qkme:kme:', dns: false, cn: true })
  if (!identity.ok) return warning('identity', `the KME's certificate: ${identity.message}`, 'the standard wants the SAE to confirm the KME ID; have the certificate issued with it')
  if (expected !== undefined && identity.id !== expected) return failed('identity', `the certificate there is of KME "${identity.id}", not "${expected}"`, 'check the URL: this is another KME')
  return ok('identity', `it is KME "${identity.id}"${expected === undefined ? ' (not compared: give --kme)' : ''}`)
}
