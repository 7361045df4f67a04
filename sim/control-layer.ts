import { createHash } from 'node:crypto'
import type { KmeId } from '../src/kernel/ids.js'
import type { Clock } from '../src/kernel/time.js'
import { TUNNEL_BYTES_MAX } from '../src/peer/messages.js'
import type { EndToEnd, Tunnel, TunnelEvents } from '../src/peer/control/ports.js'
import { makeClose, makeRecord, RecordReader } from '../src/peer/control/records.js'
import { SessionTags, TAG_KEYS_BYTES } from '../src/peer/control/session-tags.js'
import { Refusal, type CloseReason } from '../src/peer/refusal.js'
import type { Transport, TransportEvents } from '../src/peer/transport.js'
import { supportedVersions } from '../src/peer/versions.js'

/** The tag keys of two KMEs in one run: what certificates and a key exchange give real ones. */
const keysOf = (secret: string, dialler: KmeId, acceptor: KmeId): Uint8Array =>
  new Uint8Array(createHash('sha512').update(`${secret}\0${dialler}\0${acceptor}`).digest().subarray(0, TAG_KEYS_BYTES))

const moveKeyOf = (secret: string, dialler: KmeId, acceptor: KmeId): Uint8Array => new Uint8Array(createHash('sha256').update(`${secret}\0move\0${dialler}\0${acceptor}`).digest())

/**
 * Stands for TLS in simulations: the same records and tags, keyed by a secret of the run, without a handshake and without
 * secrecy. Whoever does not know the secret can forge nothing; a node in between that changes a byte is found out by the tag.
 *
 * @param secret The same at both ends; another one is a wrong certificate.
 */
export const createSimEndToEnd = (self: KmeId, secret: string, clock: Clock): EndToEnd => ({
  reload: () => {},
  secure: (attach, role, remote, on) => {
    const transport = new PlainTransport(attach, (reason, text) => { on.failed(reason, text) })
    const [dialler, acceptor] = role === 'dialler' ? [self, remote] : [remote, self]
    const keys = keysOf(secret, dialler, acceptor)
    transport.allowMoves(moveKeyOf(secret, dialler, acceptor))
    const version = supportedVersions[0] as number
    const cancel = clock.after(0, () => {
      if (transport.isClosed) return
      transport.attach(on.opened({ transport, role, remote, version, offered: 'sim', tags: new SessionTags(keys, role === 'dialler'), recheck: () => '' }))
    })
    return () => {
      cancel()
      if (!transport.isAttached) transport.close('closed', 'the attempt was given up')
    }
  },
})

/** Records straight on a tunnel. What comes before the link is open waits: at most a window of pieces. */
class PlainTransport implements Transport {
  readonly #tunnel: Tunnel
  readonly #reader: RecordReader
  readonly #early: Uint8Array[] = []
  #events: TransportEvents | undefined
  #waiting = new Uint8Array()
  isClosed = false

  constructor (attach: (events: TunnelEvents) => Tunnel, private readonly failed: (reason: CloseReason, text: string) => void) {
    this.#tunnel = attach({
      data: (bytes) => { if (this.#events === undefined) this.#early.push(bytes); else this.#read(bytes) },
      writable: () => {
        this.#flush()
        this.#events?.drained()
      },
      ended: (reason, text) => { this.#ended(reason, text) },
    })
    this.#reader = new RecordReader({
      frame: (bytes) => { this.#events?.frame(bytes) },
      ping: () => {
        this.#write(makeRecord('pong'))
        this.#events?.heard()
      },
      pong: () => { this.#events?.heard() },
      close: (reason, text) => { this.#ended(reason, `the peer closed: ${text}`) },
    })
  }

  allowMoves (key: Uint8Array): void { this.#tunnel.allowMoves(key) }

  get isAttached (): boolean { return this.#events !== undefined }
  get bufferedBytes (): number { return this.#waiting.length }

  attach (events: TransportEvents): void {
    this.#events = events
    for (const bytes of this.#early.splice(0)) this.#read(bytes)
  }

  send (bytes: Uint8Array): boolean {
    if (this.isClosed) return false
    this.#write(makeRecord('frame', bytes))
    return !this.isClosed
  }

  ping (): void { if (!this.isClosed) this.#write(makeRecord('ping')) }

  close (reason: CloseReason, text: string): void {
    if (this.isClosed) return
    if (this.#waiting.length === 0) this.#write(makeClose(reason, text))
    this.#stop()
    this.#tunnel.end(text)
  }

  #ended (reason: CloseReason, text: string): void {
    if (this.isClosed) return
    this.#stop()
    this.#tunnel.end(text)
    if (this.#events === undefined) this.failed(reason, text)
    else this.#events.closed(reason, text)
  }

  #stop (): void {
    this.isClosed = true
    this.#waiting = new Uint8Array()
    this.#reader.stop()
  }

  #read (bytes: Uint8Array): void {
    if (this.isClosed) return
    this.#tunnel.consumed()
    try {
      this.#reader.push(bytes)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.close(error.reason, error.message)
      this.#events?.closed(error.reason, error.message)
    }
  }

  #write (record: Uint8Array): void {
    this.#waiting = Buffer.concat([this.#waiting, record])
    this.#flush()
  }

  #flush (): void {
    while (this.#waiting.length > 0 && this.#tunnel.send(this.#waiting.slice(0, TUNNEL_BYTES_MAX))) this.#waiting = this.#waiting.subarray(TUNNEL_BYTES_MAX)
  }
}
