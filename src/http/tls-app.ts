import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { createSecureContext } from 'node:tls'
import { KmeError } from '../kernel/errors.js'
import { loadUws } from './uws.js'
import type { UwsApp, UwsListenSocket } from './uws-types.js'

/** One TLS door: who we are, and whose certificates are asked for. Files are PEM. */
export interface TlsDoor {
  /** Our certificate, followed by its intermediates. */
  readonly certificateFile: string
  readonly keyFile: string
  /** A client certificate is asked for and must come from one of these; a client without one is let in, unnamed. */
  readonly caFile: string
  /** TLS 1.2 besides 1.3 (ETSI GS QKD 014 allows it; RFC 9325 suites only). */
  readonly allowTls12: boolean
  /** Seconds after which an idle connection is closed; at most 960, in steps of 4. */
  readonly idleTimeoutS: number
}

// The library has no option for the lowest version. Its cipher list governs TLS 1.2 alone (the suites of 1.3 are
// fixed), so a list of suites that need a pre-shared key, which we never set, leaves nothing that a TLS 1.2
// handshake could agree on. TLS 1.1 and below are off in the library.
const TLS13_ONLY = 'ECDHE-PSK-CHACHA20-POLY1305'
const TLS12_SUITES = [
  'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305', 'ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256',
].join(':')

/**
 * Makes a TLS application without routes. Only src/http and the server part of src/peer use it.
 *
 * @throws KmeError `CERTIFICATE_INVALID` naming the file and the reason; `ADDON_MISSING`.
 * @see ETSI GS QKD 014 V1.1.1, clause 5.1; RFC 8446; RFC 9325
 */
export const createTlsApp = (door: TlsDoor): UwsApp => {
  checkDoor(door)
  const uws = loadUws()
  let app: UwsApp
  try {
    app = uws.SSLApp({
      cert_file_name: door.certificateFile, key_file_name: door.keyFile, ca_file_name: door.caFile,
      ssl_ciphers: door.allowTls12 ? TLS12_SUITES : TLS13_ONLY,
    })
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `TLS cannot be set up with ${door.certificateFile}, ${door.keyFile} and ${door.caFile}`, { cause })
  }
  app.setIdleTimeout(door.idleTimeoutS)
  app.setResponseTimeout(door.idleTimeoutS)
  return app
}

/** The library only says that it failed; OpenSSL says why. */
const checkDoor = (door: TlsDoor): void => {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (cause) {
      throw new KmeError('CERTIFICATE_INVALID', `cannot read ${path}: ${(cause as Error).message}`, { cause })
    }
  }
  const cert = read(door.certificateFile), key = read(door.keyFile), ca = read(door.caFile)
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    throw new KmeError('CERTIFICATE_INVALID', `certificate ${door.certificateFile} and key ${door.keyFile} do not fit: ${(cause as Error).message}`, { cause })
  } finally {
    key.fill(0)
  }
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) throw new KmeError('CERTIFICATE_INVALID', `${door.caFile} holds no PEM certificate`)
}

/**
 * Makes sure that a port is free, or finds a free one. The library listens with SO_REUSEPORT, so that a second process
 * on the same port would not be noticed: each would get some of the connections. And it sets that option only for a
 * port that is named, so that a port chosen by the system could never be taken over by another listener.
 *
 * @param port  0 finds one.
 * @returns the port.
 * @throws KmeError `PORT_TAKEN` if somebody listens there or we may not; `CONFIG_INVALID` if the address is not ours.
 */
export const claimPort = (host: string, port: number): Promise<number> => new Promise((resolve, reject) => {
  const probe = createServer()
  probe.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') reject(new KmeError('PORT_TAKEN', `port ${port} on ${host} is taken: stop the program that listens there, or choose another port`, { cause: error }))
    else if (error.code === 'EACCES') reject(new KmeError('PORT_TAKEN', `port ${port} on ${host} may not be opened by this user: choose a port above 1023`, { cause: error }))
    else reject(new KmeError('CONFIG_INVALID', `cannot listen on ${host} port ${port}: ${error.message}`, { cause: error }))
  })
  probe.listen({ host, port, exclusive: true }, () => {
    const found = (probe.address() as AddressInfo).port
    probe.close(() => { resolve(found) })
  })
})

/** `claimPort` for a port that is named already. */
export const assertPortFree = async (host: string, port: number): Promise<void> => { await claimPort(host, port) }

export interface Listening {
  readonly port: number
  /** Accepts no more; open connections stay. Calling it twice is harmless. */
  close (): void
}

/**
 * Starts to listen, also beside another listener of this process on the same port.
 *
 * @param port  From `claimPort`, so not 0.
 * @throws KmeError `PORT_TAKEN`.
 */
export const listenTls = (app: UwsApp, host: string, port: number): Listening => {
  const uws = loadUws()
  let socket: UwsListenSocket | false = false
  app.listen(host, port, (opened) => { socket = opened }) // Calls back before it returns.
  const opened = socket as UwsListenSocket | false
  if (opened === false) throw new KmeError('PORT_TAKEN', `cannot listen on ${host} port ${port}: it is taken, or the address is not ours`)
  let open = true
  return {
    port: uws.us_socket_local_port(opened),
    close: () => {
      if (open) uws.us_listen_socket_close(opened)
      open = false
    },
  }
}
