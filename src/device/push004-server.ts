import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { readDeviceTls, type DeviceTls } from './device-https.js'

/** What is answered: an HTTP status and a JSON object without secrets. */
export interface PushAnswer { readonly http: number, readonly body: object }
export type PushHandler = (method: string, body: Uint8Array) => PushAnswer | Promise<PushAnswer>

export interface PushServerOptions {
  readonly host: string
  readonly port: number
  readonly basePath: string
  readonly tls: DeviceTls
  readonly deviceName?: string | undefined
  readonly handler: PushHandler
  /** A sign of life of a device whose certificate is good. */
  readonly heard: () => void
  /** The listener failed. */
  readonly failed: (reason: string) => void
}

const BODY_BYTES_MAX = 16_384
const limits = { maxHeaderSize: 8_192, headersTimeout: 5_000, requestTimeout: 15_000, keepAliveTimeout: 60_000, connectionsCheckingInterval: 1_000 }

const bad = (http: number, message: string): PushAnswer => ({ http, body: { message } })

/** The HTTPS side of a pushing device: certificates on both sides, bounded bodies in buffers that are wiped, JSON answers. */
export class PushServer {
  private readonly server: Server
  refused = 0

  /** @throws Error that names the file of TLS that cannot be read. */
  constructor (private readonly options: PushServerOptions) {
    this.server = createServer({ ...limits, ...readDeviceTls(options.tls), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' }, (request, response) => { this.serve(request, response) })
    this.server.maxConnections = 16
    this.server.on('tlsClientError', () => { this.refused++ })
    this.server.on('clientError', (_error, socket) => { socket.destroy() })
    this.server.on('error', (error) => { options.failed(`cannot listen on ${options.host}:${options.port}: ${error.message}`) })
    this.server.listen(options.port, options.host)
  }

  /** The port that is listened on; 0 before. */
  get port (): number {
    const address = this.server.address()
    return address === null || typeof address === 'string' ? 0 : address.port
  }

  close (): void {
    this.server.close()
    this.server.closeAllConnections()
  }

  private serve (request: IncomingMessage, response: ServerResponse): void {
    const { basePath, deviceName, handler, heard } = this.options
    const name = (request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined
    if (deviceName !== undefined && name !== deviceName) { this.refused++; this.refuse(response, bad(401, 'this certificate is not the device of this link')); return }
    heard()
    const path = request.url ?? ''
    const method = path.startsWith(`${basePath}/`) ? path.slice(basePath.length + 1) : ''
    if (request.method !== 'POST' || !['open-connect', 'key-material', 'close'].includes(method)) { this.refuse(response, bad(404, `POST ${basePath}/open-connect, /key-material or /close`)); return }
    const length = Number(request.headers['content-length'])
    if (!(length >= 2 && length <= BODY_BYTES_MAX)) { this.refuse(response, bad(413, `a Content-Length of 2 to ${BODY_BYTES_MAX} is needed`)); return }
    const body = new Uint8Array(length)
    let at = 0
    request.on('data', (part: Buffer) => {
      if (at + part.length <= length) body.set(part, at)
      at += part.length
      part.fill(0)
    })
    request.on('close', () => { if (!request.complete) body.fill(0) })
    request.on('end', () => {
      if (at !== length) { body.fill(0); this.refuse(response, bad(400, 'the body is not as long as its header says')); return }
      Promise.resolve(handler(method, body)).then((answer) => { this.answer(response, answer) }, () => { this.refuse(response, bad(500, 'internal error')) })
        .finally(() => { body.fill(0) })
    })
  }

  private answer (response: ServerResponse, { http, body }: PushAnswer): void {
    if (response.destroyed) return
    const text = JSON.stringify(body)
    response.writeHead(http, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...(http === 503 ? { 'retry-after': '1' } : {}) })
    response.end(text)
  }

  private refuse (response: ServerResponse, answer: PushAnswer): void {
    response.shouldKeepAlive = false
    this.answer(response, answer)
  }
}
