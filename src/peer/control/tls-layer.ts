import { X509Certificate } from 'node:crypto'
import { connect, TLSSocket, type PeerCertificate } from 'node:tls'
import type { KmeId } from '../../kernel/ids.js'
import type { Clock } from '../../kernel/time.js'
import { reasonOfError } from '../client.js'
import { clientContext, type PeerCredentials } from '../credentials.js'
import { Refusal, type CloseReason } from '../refusal.js'
import type { Link } from '../transport.js'
import { supportedVersions } from '../versions.js'
import { MOVE_KEY_BYTES } from './move-proof.js'
import type { EndToEnd, SecureEvents, TunnelEvents, Tunnel } from './ports.js'
import { SessionTags, TAG_KEYS_BYTES } from './session-tags.js'
import { TlsTransport } from './tls-transport.js'
import { TunnelStream } from './tunnel-stream.js'

export interface TlsLayerOptions {
  readonly credentials: PeerCredentials
  readonly clock: Clock
  /** From the first byte of the handshake until both certificates are accepted. */
  readonly handshakeTimeoutMs: number
  /** How long a last word may take to leave. */
  readonly closeTimeoutMs: number
}

/** Names in ALPN (RFC 7301), which the handshake protects: no other use of these certificates can be taken for a control channel. */
const prefix = 'qkme-control.'
const controlProtocols = supportedVersions.map((version) => `${prefix}${version}`)
const versionOf = (name: string | false | null): number | undefined => supportedVersions.find((version) => `${prefix}${version}` === name)

const EXPORTER_LABEL = 'EXPORTER-qkme-control-tags'
const MOVE_LABEL = 'EXPORTER-qkme-control-move'

/**
 * TLS 1.3 with both KME certificates, end to end over a tunnel. Each end must show a certificate of the KME CA that names the
 * very KME at the other end of the tunnel; the same checks as between neighbours, but for the host name, which a tunnel has not.
 *
 * @throws KmeError `CERTIFICATE_INVALID` if the certificate files cannot be used.
 */
export const createTlsEndToEnd = (options: TlsLayerOptions): EndToEnd => {
  let secureContext = clientContext(options.credentials)
  return {
    reload: () => { secureContext = clientContext(options.credentials) },
    secure: (attach, role, remote, on) => {
      const attempt = new Handshake(options, attach, role, remote, on, secureContext)
      return () => { attempt.giveUp() }
    },
  }
}

/** From the open tunnel until the link is open or has failed. */
class Handshake {
  readonly #stream: TunnelStream
  readonly #socket: TLSSocket
  readonly #cancelTimeout: () => void
  #transport: TlsTransport | undefined
  #isOver = false

  constructor (private readonly o: TlsLayerOptions, attach: (events: TunnelEvents) => Tunnel, private readonly role: 'dialler' | 'acceptor',
    private readonly remote: KmeId, private readonly on: SecureEvents, secureContext: ReturnType<typeof clientContext>) {
    this.#stream = new TunnelStream(attach, (reason, text) => { this.#lost(reason, text) })
    const both = { secureContext, rejectUnauthorized: true, ALPNProtocols: controlProtocols }
    // A server-side socket made by itself accepts any certificate, so #secured judges it with the full check of its path.
    this.#socket = role === 'dialler'
      ? connect({ ...both, socket: this.#stream, checkServerIdentity: this.#checkIdentity })
      : new TLSSocket(this.#stream, { ...both, isServer: true, requestCert: true })
    this.#socket.once(role === 'dialler' ? 'secureConnect' : 'secure', () => { this.#secured() })
    this.#socket.on('error', (error) => { this.#lost(...reasonOfError(error)) })
    this.#socket.on('_tlsError', (error: Error) => { this.#lost(...reasonOfError(error)) })
    this.#socket.once('close', () => { this.#lost('network', 'the handshake was broken off') })
    this.#stream.on('error', (error) => { this.#lost('network', error.message) })
    this.#cancelTimeout = o.clock.after(o.handshakeTimeoutMs, () => { this.#lost('connect-timeout', `no session with ${remote} within ${o.handshakeTimeoutMs} ms`) })
  }

  giveUp (): void {
    if (this.#isOver) return
    this.#end()
    this.#destroy()
  }

  #end (): void {
    this.#isOver = true
    this.#cancelTimeout()
  }

  #destroy (): void {
    this.#socket.destroy()
    this.#stream.destroy()
  }

  /** Before the link is open this is the attempt's failure, afterwards the link's end. */
  #lost (reason: CloseReason, text: string): void {
    if (this.#transport !== undefined) {
      this.#transport.ended(reason, text)
      this.#stream.destroy()
      return
    }
    if (this.#isOver) return
    this.#end()
    this.#destroy()
    this.on.failed(reason, text)
  }

  readonly #checkIdentity = (_host: string, certificate: PeerCertificate): Error | undefined =>
    this.#checkKme(new X509Certificate(certificate.raw).toString())

  #checkKme (pem: string): Refusal | undefined {
    const result = this.o.credentials.trust.check(pem)
    if (!result.ok) return new Refusal('certificate', `certificate refused: ${result.message}`)
    if (result.id !== this.remote) return new Refusal('certificate', `the certificate is of ${result.id}, the tunnel leads to ${this.remote}`)
    return undefined
  }

  #secured (): void {
    if (this.#isOver) return
    const version = versionOf(this.#socket.alpnProtocol)
    if (version === undefined) { this.#lost('version', 'no common version of the control channel'); return }
    const pem = this.#socket.getPeerX509Certificate()?.toString() ?? ''
    const fault = this.#checkKme(pem)
    if (fault !== undefined) { this.#lost(fault.reason, fault.message); return }
    this.#end()
    const { role, remote } = this
    const keys = this.#socket.exportKeyingMaterial(TAG_KEYS_BYTES, EXPORTER_LABEL, Buffer.alloc(0))
    this.#stream.allowMoves(this.#socket.exportKeyingMaterial(MOVE_KEY_BYTES, MOVE_LABEL, Buffer.alloc(0)))
    const transport = this.#transport = new TlsTransport(this.#socket, this.o.clock, this.o.closeTimeoutMs)
    const link: Link = {
      transport, role, remote, version, offered: `${prefix}${version}`, tags: new SessionTags(keys, role === 'dialler'),
      recheck: () => this.#checkKme(pem)?.message ?? '',
    }
    transport.attach(this.on.opened(link))
  }
}
