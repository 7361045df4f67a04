import type { KmeId } from '../kernel/ids.js'
import type { PeerCredentials } from './credentials.js'
import { FRAME_BYTES_MAX } from './frame.js'
import { closeCodes, closeText, reasonOfCode, type CloseReason } from './refusal.js'
import type { AcceptEvents, Link, Listen, Listener, Transport, TransportEvents } from './transport.js'
import { chooseVersion, normalOffer, protocolName } from './versions.js'
import type { PeerApp, PeerRequest, PeerResponse, PeerSocket, PeerUpgradeContext, TlsServer } from './ws-library.js'

export interface TlsListenOptions {
  /** src/http/tls-app.ts. */
  readonly server: TlsServer
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly credentials: PeerCredentials
  readonly sendQueueBytesMax: number
  /** Sockets open at a time, whatever they have said so far. */
  readonly socketsMax: number
}

/** Where the peer port speaks WebSocket; everything else is 404. */
export const PEER_PATH = '/qkme/peer'

/** A caller has this long for its TLS handshake and its request. */
const upgradeTimeoutS = 12

/** Renewals that connections outlive: those of the oldest are cut then, and come back under the newest. */
const doorsMax = 4

/** What travels with a socket from the upgrade on. */
interface Caller { readonly remote: KmeId, readonly pem: string, readonly offered: string, readonly version: number, transport?: ServerTransport }

interface Door { readonly app: PeerApp, readonly listening: { readonly port: number, close (): void } }

/**
 * The peer port: WebSockets over mutual TLS 1.3. TLS refuses certificates of another CA; `trust` refuses those of the KME CA
 * that are revoked, expired or name no KME; `admit` refuses KMEs that are no neighbours. All of it before the upgrade.
 */
export const createTlsListen = (options: TlsListenOptions): Listen => async (on) => {
  if (options.port !== 0) await options.server.assertPortFree(options.host, options.port)
  const first = openDoor(options, on, options.port)
  const { port } = first.listening
  const doors = [options.port === 0 ? listenAgain(options, first) : first]
  const newest = (): Door => doors.at(-1) as Door
  const listener: Listener = {
    port,
    reload: () => {
      // Both listen for a moment (SO_REUSEPORT); connections of the old one live on under their old certificate.
      const before = newest()
      doors.push(openDoor(options, on, port))
      before.listening.close()
      if (doors.length > doorsMax) doors.shift()?.app.close()
    },
    stop: () => { for (const { app } of doors.splice(0)) app.close() },
  }
  return listener
}

const openDoor = (options: TlsListenOptions, on: AcceptEvents, port: number): Door => {
  const { certificateFile, keyFile, caFile } = options.credentials
  const app = options.server.createTlsApp({ certificateFile, keyFile, caFile, allowTls12: false, idleTimeoutS: upgradeTimeoutS })
  limitSockets(app, options.socketsMax)
  app.ws<Caller>(PEER_PATH, {
    maxPayloadLength: FRAME_BYTES_MAX, maxBackpressure: options.sendQueueBytesMax + FRAME_BYTES_MAX, closeOnBackpressureLimit: false,
    idleTimeout: 0, compression: 0, sendPingsAutomatically: false, // keepalive.ts does it, by our clock.
    upgrade: (res, req, context) => { upgrade(options, on, res, req, context) },
    open: (socket) => { opened(options, on, socket) },
    message: (socket, message, isBinary) => { socket.getUserData().transport?.message(message, isBinary) },
    ping: (socket) => { socket.getUserData().transport?.heard() },
    pong: (socket) => { socket.getUserData().transport?.heard() },
    drain: (socket) => { socket.getUserData().transport?.drained() },
    close: (socket, code, reason) => { socket.getUserData().transport?.ended(code, Buffer.from(reason).toString('latin1')) },
  })
  app.any('/*', (res) => { res.writeStatus('404 Not Found').end(`this is the peer port of a KME: WebSockets on ${PEER_PATH} only\n`, true) })
  return { app, listening: options.server.listenTls(app as never, options.host, port) }
}

/** The library shares a port (SO_REUSEPORT) only if it was asked for by number: without this a free port could never be reloaded. */
const listenAgain = (options: TlsListenOptions, { app, listening }: Door): Door => {
  listening.close()
  return { app, listening: options.server.listenTls(app as never, options.host, listening.port) }
}

const limitSockets = (app: PeerApp, socketsMax: number): void => {
  let sockets = 0
  app.filter((res, change) => {
    sockets += change
    if (change > 0 && sockets > socketsMax) res.close()
  })
}

const upgrade = (options: TlsListenOptions, on: AcceptEvents, res: PeerResponse, req: PeerRequest, context: PeerUpgradeContext): void => {
  const turnAway = (status: string, reason: CloseReason, text: string): void => {
    on.turnedAway(reason, text)
    res.writeStatus(status).end(`${text}\n`, true)
  }
  const pem = res.getX509Certificate()
  const caller = options.credentials.trust.check(pem)
  if (!caller.ok) { turnAway('401 Unauthorized', 'certificate', `certificate refused: ${caller.message}`); return }
  const refused = on.admit(caller.id)
  if (refused !== '') { turnAway('403 Forbidden', 'not-a-peer', refused); return }
  const offered = req.getHeader('sec-websocket-protocol')
  const version = chooseVersion(offered)
  if (version === undefined) { turnAway('426 Upgrade Required', 'version', `${caller.id} offers no version of the peer protocol that this KME speaks`); return }
  const data: Caller = { remote: caller.id, pem, version, offered: normalOffer(offered) }
  res.upgrade(data, req.getHeader('sec-websocket-key'), protocolName(version), '', context)
}

const opened = (options: TlsListenOptions, on: AcceptEvents, socket: PeerSocket<Caller>): void => {
  const caller = socket.getUserData()
  const transport = new ServerTransport(socket)
  caller.transport = transport
  const link: Link = {
    transport, remote: caller.remote, role: 'acceptor', offered: caller.offered, version: caller.version,
    recheck: () => {
      const result = options.credentials.trust.check(caller.pem)
      return !result.ok ? `certificate refused: ${result.message}` : result.id === caller.remote ? '' : 'the certificate names another KME now'
    },
  }
  transport.attach(on.accepted(link))
}

/** A socket of the library as transport. The socket must not be touched after its `close` handler. */
class ServerTransport implements Transport {
  #socket: PeerSocket<Caller> | undefined
  #events: TransportEvents | undefined

  constructor (socket: PeerSocket<Caller>) { this.#socket = socket }

  get bufferedBytes (): number { return this.#socket?.getBufferedAmount() ?? 0 }

  attach (events: TransportEvents): void { this.#events = events }

  send (bytes: Uint8Array): boolean {
    const answer = this.#socket?.send(bytes, true, false)
    return answer === 0 || answer === 1
  }

  together (run: () => void): void {
    if (this.#socket === undefined) run()
    else this.#socket.cork(run)
  }

  ping (): void { this.#socket?.ping() }

  close (reason: CloseReason, text: string): void {
    const socket = this.#socket
    if (socket === undefined) return
    this.#socket = undefined // Before: the library calls `ended` from within.
    if (socket.getBufferedAmount() > 0 || reason === 'network') socket.close()
    else socket.end(closeCodes[reason], closeText(text))
  }

  message (message: ArrayBuffer, isBinary: boolean): void {
    if (this.#socket === undefined) return
    if (isBinary) { this.#events?.frame(new Uint8Array(message)); return }
    this.close('malformed', 'a text message')
    this.#events?.closed('malformed', 'a text message')
  }

  heard (): void { if (this.#socket !== undefined) this.#events?.heard() }

  drained (): void { if (this.#socket !== undefined) this.#events?.drained() }

  ended (code: number, text: string): void {
    if (this.#socket === undefined) return
    this.#socket = undefined
    this.#events?.closed(reasonOfCode(code), `the peer closed with ${code} ${closeText(text)}`.trim())
  }
}
