import { lstatSync, unlinkSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { KmeError } from '../kernel/errors.js'

/** Bounds of both servers. Operators are few; a caller that is slow or many is cut off. */
const limits = { maxHeaderSize: 8_192, headersTimeout: 5_000, requestTimeout: 15_000, keepAliveTimeout: 5_000, connectionsCheckingInterval: 1_000 }
const CONNECTIONS_MAX = 64
const REQUESTS_PER_SOCKET_MAX = 1_000

const bound = <S extends Server>(server: S): S => {
  server.maxConnections = CONNECTIONS_MAX
  server.maxRequestsPerSocket = REQUESTS_PER_SOCKET_MAX
  server.on('clientError', (_error, socket) => { if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n'); else socket.destroy() })
  return server
}

const listening = (server: Server, where: string, start: () => void): Promise<void> => new Promise((resolve, reject) => {
  const failed = (error: NodeJS.ErrnoException): void => {
    reject(new KmeError(error.code === 'EADDRINUSE' ? 'PORT_TAKEN' : 'CONFIG_INVALID',
      error.code === 'EADDRINUSE' ? `${where} is taken: another process listens there` : `cannot listen on ${where}: ${error.message}`, { cause: error }))
  }
  server.once('error', failed)
  start()
  server.once('listening', () => {
    server.off('error', failed)
    resolve()
  })
})

/** Whether somebody answers on the socket. */
const isAlive = (path: string): Promise<boolean> => new Promise((resolve) => {
  const socket = connect(path)
  socket.once('connect', () => { socket.destroy(); resolve(true) })
  socket.once('error', () => { resolve(false) })
})

/** Removes what a process that was killed left behind; never what is not a socket, never one that answers. */
const clearStale = async (path: string): Promise<void> => {
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there === undefined) return
  if (!there.isSocket()) throw new KmeError('CONFIG_INVALID', `${path} is there and is not a socket: choose another path or remove it`)
  if (await isAlive(path)) throw new KmeError('PORT_TAKEN', `${path} is in use: another KME runs with this configuration`)
  unlinkSync(path)
}

/**
 * Listens on a Unix socket with mode 0600 (made with it: there is no moment at which others could connect).
 *
 * @throws KmeError `PORT_TAKEN` if another process answers there, `CONFIG_INVALID` if it cannot be made.
 */
export const listenUnix = async (path: string, handler: RequestListener): Promise<Server> => {
  if (Buffer.byteLength(path) > 107) throw new KmeError('CONFIG_INVALID', `the path of the admin socket is longer than 107 bytes: ${path}`)
  await clearStale(path)
  const server = bound(createServer(limits, handler))
  await listening(server, path, () => {
    const before = process.umask(0o177)
    try {
      server.listen(path)
    } finally {
      process.umask(before)
    }
  })
  return server
}

export interface HttpsOptions {
  readonly host: string
  readonly port: number
  /** PEM. Revocation is left to the operator check, which asks again for each request. */
  readonly cert: string | Buffer
  readonly key: string | Buffer
  readonly ca: string | Buffer
  /** A handshake failed: a client without or with a wrong certificate, or something that is not TLS. */
  readonly onRefused: (reason: string, address: string) => void
}

const tlsOf = ({ cert, key, ca }: Pick<HttpsOptions, 'cert' | 'key' | 'ca'>) =>
  ({ cert, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' as const })

/** An HTTPS server and how to give it new certificates while it runs: open connections keep theirs. */
export interface HttpsListener { readonly server: Server, readonly port: number, renew (tls: Pick<HttpsOptions, 'cert' | 'key' | 'ca'>): void }

/**
 * Listens with mutual TLS 1.3: a client without a certificate of the operator CA does not get through the handshake.
 *
 * @throws KmeError `PORT_TAKEN`, `CONFIG_INVALID`, or `CERTIFICATE_INVALID` if certificate and key do not fit.
 */
export const listenHttps = async (options: HttpsOptions, handler: RequestListener): Promise<HttpsListener> => {
  const certificateError = (cause: unknown): KmeError =>
    new KmeError('CERTIFICATE_INVALID', `the admin server's certificate and key cannot be used: ${cause instanceof Error ? cause.message : 'unknown reason'}`, { cause })
  let server: ReturnType<typeof createHttpsServer>
  try {
    server = bound(createHttpsServer({ ...tlsOf(options), ...limits }, handler))
  } catch (cause) {
    throw certificateError(cause)
  }
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    options.onRefused(error.code ?? error.message, socket.remoteAddress ?? '')
    socket.destroy()
  })
  await listening(server, `${options.host}:${options.port}`, () => { server.listen(options.port, options.host) })
  const address = server.address()
  return {
    server,
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    renew: (tls) => {
      try {
        server.setSecureContext(tlsOf(tls))
      } catch (cause) {
        throw certificateError(cause)
      }
    },
  }
}

/** The client's certificate as PEM, '' if there is none. */
export const clientPem = (request: IncomingMessage): string => {
  const certificate = (request.socket as TLSSocket).getPeerX509Certificate?.()
  return certificate?.toString() ?? ''
}
