import { X509Certificate } from 'node:crypto'
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from 'node:tls'
import { WebSocket, type ClientOptions } from 'ws'
import type { Clock } from '../kernel/time.js'
import { clientContext, type PeerCredentials } from './credentials.js'
import { FRAME_BYTES_MAX } from './frame.js'
import { closeCodes, closeText, reasonOfCode, Refusal, type CloseReason } from './refusal.js'
import type { DialEvents, Dialler, Link, PeerAddress, Transport, TransportEvents } from './transport.js'
import { normalOffer, offeredProtocols, versionOf } from './versions.js'

export interface TlsDialOptions {
  readonly credentials: PeerCredentials
  readonly clock: Clock
  readonly connectTimeoutMs: number
  /** How long the other side may take to answer a close before the socket is cut. */
  readonly closeTimeoutMs: number
}

/**
 * Dials neighbours over mutual TLS 1.3. The server must show a certificate of the KME CA for the host name that was dialled
 * (RFC 9525) which names the very KME that is configured for this URL. No compression, no redirects, no resumption: each
 * connection checks the certificate anew.
 *
 * @throws KmeError `CERTIFICATE_INVALID` if the certificate files cannot be used.
 */
export const createTlsDialler = (options: TlsDialOptions): Dialler => {
  let secureContext = clientContext(options.credentials)
  return {
    reload: () => { secureContext = clientContext(options.credentials) },
    dial: (peer, on) => {
      if (!isSecureUrl(peer.url)) {
        on.failed('connect-failed', `the URL of ${peer.id} must have the form wss://host:port/path`)
        return () => {}
      }
      const attempt = new Attempt(options, peer, on, secureContext)
      return () => { attempt.giveUp() }
    },
  }
}

/** Anything else would be dialled without TLS, or not at all. The library refuses fragments. */
const isSecureUrl = (text: string): boolean => URL.canParse(text) && new URL(text).protocol === 'wss:' && !text.includes('#')

/** From the dial until the WebSocket is open or has failed. */
class Attempt {
  readonly #socket: WebSocket
  readonly #cancelTimeout: () => void
  #isOver = false

  constructor (private readonly o: TlsDialOptions, private readonly peer: PeerAddress, private readonly on: DialEvents, secureContext: unknown) {
    // The library hands all of it to tls.connect; its types know only some and give checkServerIdentity another shape.
    const options = {
      secureContext, rejectUnauthorized: true, checkServerIdentity: this.#checkIdentity,
      perMessageDeflate: false, maxPayload: FRAME_BYTES_MAX, followRedirects: false, closeTimeout: o.closeTimeoutMs,
      // Masks keep scripts in browsers from forging traffic of proxies (RFC 6455, 10.3). Here TLS leads from KME to KME: a mask of zeros,
      // which the library does not apply, saves a pass over each frame.
      generateMask: () => {},
    }
    this.#socket = new WebSocket(peer.url, [...offeredProtocols], options as unknown as ClientOptions)
    this.#cancelTimeout = o.clock.after(o.connectTimeoutMs, () => {
      this.#fail('connect-timeout', `no connection within ${o.connectTimeoutMs} ms`)
    })
    this.#socket.once('unexpected-response', (request, response) => {
      request.destroy()
      this.#fail(reasonOfStatus(response.statusCode ?? 0), `the peer answered HTTP ${response.statusCode ?? 0}`)
    })
    this.#socket.on('error', (error) => { this.#fail(...reasonOfError(error)) })
    this.#socket.once('open', () => { this.#opened() })
  }

  giveUp (): void {
    if (this.#isOver) return
    this.#end()
    this.#socket.terminate()
  }

  #end (): void {
    this.#isOver = true
    this.#cancelTimeout()
  }

  #fail (reason: CloseReason, text: string): void {
    if (this.#isOver) return
    this.#end()
    this.#socket.terminate()
    this.on.failed(reason, text)
  }

  readonly #checkIdentity = (host: string, certificate: PeerCertificate): Error | undefined =>
    checkServerIdentity(host, certificate) ?? this.#checkKme(new X509Certificate(certificate.raw).toString())

  /** Undefined if the certificate is acceptable now and names the configured peer. */
  #checkKme (pem: string): Error | undefined {
    const result = this.o.credentials.trust.check(pem)
    if (!result.ok) return new Refusal('certificate', `certificate refused: ${result.message}`)
    if (result.id !== this.peer.id) return new Refusal('certificate', `the certificate is of ${result.id}, this URL is configured for ${this.peer.id}`)
    return undefined
  }

  #opened (): void {
    if (this.#isOver) return
    const version = versionOf(this.#socket.protocol)
    if (version === undefined) { this.#fail('version', 'the peer chose no version of the protocol'); return }
    const pem = pemOf(this.#socket)
    const fault = this.#checkKme(pem)
    if (fault !== undefined) { this.#fail('certificate', fault.message); return }
    this.#end()
    const transport = new ClientTransport(this.#socket)
    const link: Link = {
      transport, version, remote: this.peer.id, role: 'dialler', offered: normalOffer(offeredProtocols.join(',')),
      recheck: () => this.#checkKme(pem)?.message ?? '',
    }
    transport.attach(this.on.opened(link))
  }
}

// ws keeps its socket in a field that its types do not show; there is no other way to it.
const tlsOf = (socket: WebSocket): TLSSocket | null => (socket as unknown as { readonly _socket: TLSSocket | null })._socket

const pemOf = (socket: WebSocket): string => tlsOf(socket)?.getPeerX509Certificate()?.toString() ?? ''

const reasonOfStatus = (status: number): CloseReason =>
  status === 401 ? 'certificate' : status === 403 ? 'not-a-peer' : status === 426 ? 'version' : 'connect-failed'

/** What kind of fault an error of TLS or the socket is, and how to say it. */
export const reasonOfError = (error: Error): [CloseReason, string] => {
  if (error instanceof Refusal) return [error.reason, error.message]
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const isIdentity = /^(ERR_TLS|CERT_|DEPTH_|UNABLE_TO|SELF_SIGNED|HOSTNAME|INVALID_(CA|PURPOSE)|ERR_SSL)/.test(code)
  if (/subprotocol/i.test(error.message)) return ['version', error.message]
  return [isIdentity ? 'certificate' : 'connect-failed', code === '' ? error.message : `${code}: ${error.message}`]
}

/** An open `ws` socket as transport. */
class ClientTransport implements Transport {
  #events: TransportEvents | undefined
  #isClosed = false

  constructor (private readonly socket: WebSocket) {}

  get bufferedBytes (): number { return this.socket.bufferedAmount }

  attach (events: TransportEvents): void {
    this.#events = events
    if (this.#isClosed) return // The events' owner has closed it while it was made known.
    this.socket.on('message', (data, isBinary) => {
      if (this.#isClosed) return
      if (!isBinary) { this.close('malformed', 'a text message'); events.closed('malformed', 'a text message'); return }
      events.frame(data as Buffer)
    })
    for (const name of ['ping', 'pong'] as const) this.socket.on(name, () => { if (!this.#isClosed) events.heard() })
    this.socket.on('close', (code, text) => { this.#ended(reasonOfCode(code), `the peer closed with ${code} ${closeText(text.toString())}`.trim()) })
    this.socket.on('error', (error) => { this.#ended('network', error.message) })
  }

  send (bytes: Uint8Array): boolean {
    if (this.#isClosed || this.socket.readyState !== WebSocket.OPEN) return false
    this.socket.send(bytes, { binary: true, compress: false }, () => { if (!this.#isClosed) this.#events?.drained() })
    return true
  }

  together (run: () => void): void {
    const tls = tlsOf(this.socket)
    tls?.cork()
    try { run() } finally { tls?.uncork() }
  }

  ping (): void {
    if (!this.#isClosed && this.socket.readyState === WebSocket.OPEN) this.socket.ping()
  }

  close (reason: CloseReason, text: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // A peer that does not read would never see the close frame behind what it has not read. 1006 is never sent.
    if (this.socket.bufferedAmount > 0 || reason === 'network') this.socket.terminate()
    else this.socket.close(closeCodes[reason], closeText(text))
  }

  #ended (reason: CloseReason, text: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#events?.closed(reason, text)
  }
}
