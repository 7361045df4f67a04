import { invariant } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Random } from '../kernel/random.js'
import { kindOf, kindOfCode, packBorrowed, unpackBody, type MessageKind } from './body.js'
import { countEnd, type PeerCounters } from './counters.js'
import { FRAME_BYTES_MAX, frameBytes, headerBytes, noPad, parseFrame, TAG_BYTES, writeHeader, type FrameHeader, type ParsedFrame } from './frame.js'
import type { Body, MessageName } from './messages.js'
import type { Acknowledged, PeerChannel, PeerHandler } from './ports.js'
import { Refusal, refusalOf, type CloseReason } from './refusal.js'
import type { EndedBy } from './report.js'
import { SESSION_BYTES, sessionId } from './session.js'
import { FrameTags, type ChannelTags, type FrameTicket, type TagVault } from './tags.js'
import type { Link } from './transport.js'

export interface ChannelOptions {
  readonly self: KmeId
  readonly link: Link
  readonly handler: PeerHandler
  readonly vault: TagVault
  readonly random: Random
  readonly counters: PeerCounters
  readonly sendQueueBytesMax: number
  /** The peer's hello fits. Throws a Refusal to end this connection; may end an older one. Our own hello has perhaps not been made yet. */
  admit (hello: Body<'hello'>): void
  /** Hellos are exchanged, the handler knows the peer's; then, when its `onReady` has returned. */
  progress (step: 'resynchronising' | 'ready'): void
  /** Once, after the handler's `onClosed`. */
  ended (reason: CloseReason, text: string, by: EndedBy): void
}

/** A hello as the channel completes and reads it. */
type Hello = Body<'hello'> & { readonly connection: Uint8Array }
const CONNECTION_BYTES = 16

/** Room for one received frame behind its session ID. Shared: a frame is checked and decoded (copied) before anything else can run. */
const scratch = new Uint8Array(SESSION_BYTES + FRAME_BYTES_MAX)

/**
 * One connection to one neighbour: hello, strict numbers, tags, schemas, a bounded queue. Holds no socket and no timer, so the
 * same code runs over TLS and in a simulation. Any fault of the peer ends the connection; the engine's outbox resends over
 * the next. `onClosed` of the handler follows each `onReady`, once, and comes only then.
 */
export class Channel implements PeerChannel {
  readonly remote: KmeId
  readonly #o: ChannelOptions
  readonly #tags: ChannelTags
  readonly #isAcceptor: boolean
  #state: 'open' | 'ready' | 'closed' = 'open'
  #sent = 0
  #received = 0
  #ownIncarnation = 0
  #peersIncarnation = 0
  #ownHello: Uint8Array = new Uint8Array()
  #outSession: Uint8Array = new Uint8Array()
  #inSession: Uint8Array = new Uint8Array()
  #isFull = false
  #before: Acknowledged | undefined

  constructor (options: ChannelOptions) {
    this.#o = options
    this.remote = options.link.remote
    this.#isAcceptor = options.link.role === 'acceptor'
    this.#tags = options.link.tags ?? new FrameTags(options.vault, options.handler.pads)
  }

  get isReady (): boolean { return this.#state === 'ready' }
  /** Of the peer, 0 before its hello. */
  get peersIncarnation (): number { return this.#peersIncarnation }

  /** The dialler speaks first; the acceptor answers, so that its hello is made after an older connection has ended. Either way the peer's is made after this. */
  start (): void {
    this.#before = this.#o.handler.acknowledged?.()
    if (!this.#isAcceptor) this.#guard(() => { this.#sendHello() })
  }

  send (name: MessageName, body: object): 'sent' | 'closed' | 'full' | 'no-pad' {
    const kind = kindOf(name)
    invariant(name !== 'hello', 'only the channel says hello')
    if (this.#state !== 'ready') return this.#unsent('closed')
    const bytes = packBorrowed(name, body), tagged = this.#isTagged(kind)
    const total = frameBytes({ source: this.#o.self, destination: this.remote, bodyBytes: bytes.length, tagged })
    const { bufferedBytes } = this.#o.link.transport
    // One frame always fits, or a bound below the largest frame would block for ever.
    if (bufferedBytes > 0 && bufferedBytes + total > this.#o.sendQueueBytesMax) return this.#full()
    const room = this.#roomWith(bytes, total) // Before a pad is taken, which may be a transaction: nothing else may pack meanwhile.
    const ticket = tagged ? this.#ticket(kind.vital) : undefined
    if (tagged && ticket === undefined) return this.#unsent('no-pad')
    return this.#write(kind, room, bytes.length, ticket) === undefined ? this.#full() : 'sent'
  }

  together (run: () => void): void {
    const { transport } = this.#o.link
    if (transport.together === undefined) run()
    else transport.together(run)
  }

  close (reason: string): void { this.end('closed', reason) }

  /** A frame has come. `bytes` are borrowed. @throws what a handler threw that is no refusal, after the connection was ended. */
  receive (bytes: Uint8Array): void {
    if (this.#state === 'closed') return
    this.#guard(() => { this.#accept(bytes) })
  }

  /** The transport has fewer bytes waiting: after a 'full' the handler is told once half of the queue is free. */
  drained (): void {
    if (!this.#isFull || this.#state !== 'ready' || this.#o.link.transport.bufferedBytes > this.#o.sendQueueBytesMax / 2) return
    this.#isFull = false
    this.#guard(() => { this.#o.handler.onWritable?.() })
  }

  /** Ends the connection from this side. */
  end (reason: CloseReason, text: string): void {
    if (this.#state === 'closed') return
    const wasReady = this.#forget()
    this.#o.link.transport.close(reason, text)
    this.#finish(wasReady, reason, text, 'us')
  }

  /** The transport has ended. */
  transportClosed (reason: CloseReason, text: string): void {
    if (this.#state === 'closed') return
    this.#finish(this.#forget(), reason, text, 'peer')
  }

  #forget (): boolean {
    const wasReady = this.#state === 'ready'
    this.#state = 'closed'
    this.#tags.drop()
    return wasReady
  }

  #finish (wasReady: boolean, reason: CloseReason, text: string, by: EndedBy): void {
    countEnd(this.#o.counters, reason)
    if (wasReady) this.#o.handler.onClosed(reason)
    this.#o.ended(reason, text, by)
  }

  /** A refusal ends the connection; anything else is a bug, which ends it too and then goes on to the supervisor. */
  #guard (run: () => void): void {
    try {
      run()
    } catch (error) {
      const refusal = refusalOf(error)
      if (refusal === undefined) {
        this.end('internal', 'an internal fault of this KME')
        throw error
      }
      this.end(refusal.reason, refusal.message)
    }
  }

  #accept (bytes: Uint8Array): void {
    const frame = parseFrame(bytes, this.#o.link.version)
    const kind = this.#checkHeader(frame.header)
    const body = this.#isTagged(kind) ? this.#authenticated(bytes, frame) : bytes.subarray(frame.bodyAt, frame.tagAt)
    this.#received++
    const decoded = unpackBody(kind.name, body)
    this.#o.counters.received[kind.name]++
    this.#o.counters.receivedBytes += bytes.length
    if (kind.name === 'hello') this.#onHello(decoded as Hello, frame.header, bytes)
    else this.#o.handler.onMessage(kind.name, decoded)
  }

  /** Everything that can be known without the tag, from who sent it to its place in the order. */
  #checkHeader (header: FrameHeader): MessageKind {
    if (header.source !== this.remote) throw new Refusal('address', `a frame says it comes from ${header.source}, the certificate says ${this.remote}`)
    if (header.destination !== this.#o.self) throw new Refusal('not-routable', `a frame is for ${header.destination}, and this KME (${this.#o.self}) forwards none`)
    if (header.fromAcceptor === this.#isAcceptor) throw new Refusal('direction', 'a frame of our own direction came back')
    if (header.number <= this.#received) throw new Refusal('replayed', `frame number ${header.number} after ${this.#received}`)
    if (header.number !== this.#received + 1) throw new Refusal('gap', `frame number ${header.number} after ${this.#received}`)
    const kind = kindOfCode(header.type)
    if (this.#isTagged(kind) !== header.tagged) throw new Refusal('malformed', `a message ${kind.name} ${this.#isTagged(kind) ? 'without' : 'with'} a tag`)
    if ((kind.name === 'hello') !== (this.#state === 'open')) throw new Refusal('order', this.#state === 'open' ? `a message ${kind.name} before hello` : 'a second hello')
    if (kind.name !== 'hello' && header.incarnation !== this.#peersIncarnation) throw new Refusal('incarnation', 'the incarnation changed within a connection')
    return kind
  }

  /** @returns the body, in the scratch memory, once the tag is verified. */
  #authenticated (bytes: Uint8Array, frame: ParsedFrame): Uint8Array {
    scratch.set(this.#inSession)
    scratch.set(bytes, SESSION_BYTES)
    const end = SESSION_BYTES + frame.tagAt
    this.#tags.verify(frame.header, scratch.subarray(0, end), scratch.subarray(end, end + TAG_BYTES))
    return scratch.subarray(SESSION_BYTES + frame.bodyAt, end)
  }

  #onHello (hello: Hello, header: FrameHeader, bytes: Uint8Array): void {
    if (hello.kme !== this.remote) throw new Refusal('address', `a hello of ${hello.kme}, the certificate says ${this.remote}`)
    if (hello.mine.incarnation !== header.incarnation) throw new Refusal('incarnation', 'header and body of the hello name two incarnations')
    if (hello.connection === undefined) throw new Refusal('schema', 'message hello refused: /connection: is missing')
    this.#peersIncarnation = header.incarnation
    const peersHello = bytes.slice()
    this.#o.admit(hello)
    // Before our handler acts on the peer's hello: both sides must compare what each knew until now.
    if (this.#isAcceptor) this.#sendHello()
    const { offered, version } = this.#o.link
    const [diallerHello, acceptorHello] = this.#isAcceptor ? [peersHello, this.#ownHello] : [this.#ownHello, peersHello]
    const transcript = { offered, version, diallerHello, acceptorHello }
    this.#outSession = sessionId(transcript, this.#isAcceptor)
    this.#inSession = sessionId(transcript, !this.#isAcceptor)
    this.#o.handler.onHello(hello, this.#before)
    this.#becomeReady()
  }

  #becomeReady (): void {
    if (this.#state !== 'open') return // The handler or the transport has ended it meanwhile.
    this.#state = 'ready'
    this.#o.counters.connections++
    this.#o.progress('resynchronising')
    this.#o.handler.onReady(this)
    if (this.isReady) this.#o.progress('ready')
  }

  #sendHello (): void {
    const body: Hello = { ...this.#o.handler.hello() as Body<'hello'>, connection: this.#o.random.bytes(CONNECTION_BYTES) }
    const bytes = packBorrowed('hello', body), { remote: destination } = this
    const room = this.#roomWith(bytes, frameBytes({ source: this.#o.self, destination, bodyBytes: bytes.length, tagged: false }))
    invariant(body.kme === this.#o.self, 'our hello names this KME')
    this.#ownIncarnation = body.mine.incarnation
    const frame = this.#write(kindOf('hello'), room, bytes.length, undefined)
    if (frame === undefined) throw new Refusal('network', 'the hello could not be sent')
    this.#ownHello = frame
  }

  /** Memory for a frame of `total` bytes behind its session ID, with the body in its place. */
  #roomWith (body: Uint8Array, total: number): Uint8Array {
    const room = new Uint8Array(SESSION_BYTES + total)
    room.set(body, SESSION_BYTES + headerBytes(this.#o.self, this.remote))
    return room
  }

  /** @returns the frame that was sent, or undefined if the transport did not take it: then its number is free again, its pad is not. */
  #write (kind: MessageKind, out: Uint8Array, bodyBytes: number, ticket: FrameTicket | undefined): Uint8Array | undefined {
    const header: FrameHeader = {
      version: this.#o.link.version, type: kind.code, tagged: ticket !== undefined, fromAcceptor: this.#isAcceptor, source: this.#o.self,
      destination: this.remote, incarnation: this.#ownIncarnation, number: this.#sent + 1, bodyBytes,
      hashKey: ticket?.hashKey ?? noPad, pad: ticket === undefined ? noPad : { block: ticket.pad.block, offset: ticket.pad.offset },
    }
    out.set(this.#outSession)
    const frame = out.subarray(SESSION_BYTES)
    writeHeader(header, frame)
    if (ticket !== undefined) {
      const end = out.length - TAG_BYTES
      this.#tags.seal(ticket, out.subarray(0, end), out.subarray(end))
    }
    const sentBytes = frame.length
    const kept = kind.name === 'hello' ? frame.slice() : frame
    if (!this.#o.link.transport.send(frame)) return undefined
    this.#sent++
    this.#o.counters.sent[kind.name]++
    this.#o.counters.sentBytes += sentBytes
    return kept
  }

  #isTagged (kind: MessageKind): boolean { return kind.tagged || (this.#tags.isForAll && kind.name !== 'hello') }

  #ticket (vital: boolean): FrameTicket | undefined {
    const before = this.#tags.taken
    const ticket = this.#tags.ticket(vital)
    this.#o.counters.padsUsed += this.#tags.taken - before
    return ticket
  }

  #full (): 'full' {
    this.#isFull = true
    return this.#unsent('full')
  }

  #unsent<T extends 'closed' | 'full' | 'no-pad'> (answer: T): T {
    this.#o.counters.unsent[answer]++
    return answer
  }
}
