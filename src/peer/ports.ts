/**
 * The seams of the peer channel. Above it stands the pool engine (src/pool), below it a socket.
 * The channel knows order, numbers, tags and versions; the engine knows blocks, lanes and pads.
 */
import type { BlockHandle } from '../device/native.js'
import type { KmeId } from '../kernel/ids.js'
import type { MessageName } from './messages.js'

/** Where 16 bytes lie in the sender's lane of authentication blocks. Travels in the frame header. */
export interface PadRef { readonly block: number, readonly offset: number }

/** The same bytes in the arena: for `NativeVault.tag` and `verifyTag`. */
export interface PadBytes extends PadRef { readonly handle: BlockHandle }

/** The authentication reserve of one pool (design 6). Implemented by the engine. */
export interface AuthPads {
  /**
   * 16 fresh bytes of our own lane, durably spent already; or undefined when there are none. Below the floor only
   * `vital` messages get one.
   */
  take (vital: boolean): PadBytes | undefined
  /** The pad that a peer's header names. Each is accepted once and positions only rise; undefined refuses the frame. */
  open (ref: PadRef): PadBytes | undefined
}

/** One neighbour's authenticated, ordered channel, from the engine's side. */
export interface PeerChannel {
  readonly remote: KmeId
  /**
   * Sends a message or says why not: 'closed' (not ready), 'full' (the send queue is at its bound), 'no-pad' (the
   * authentication reserve is empty). Nothing is queued then; the engine's outbox resends.
   */
  send (name: MessageName, body: object): 'sent' | 'closed' | 'full' | 'no-pad'
  /** What is sent within `run` may leave in one piece. Absent: each message leaves by itself. */
  together? (run: () => void): void
  /** Ends the connection with a reason that goes to the log and, as a close code, to the peer. */
  close (reason: string): void
}

/** What a peer has acknowledged, and so has on its disk: messages of the outbox up to a number, openings of blocks up to a lane index. */
export interface Acknowledged {
  readonly messages: number
  readonly openings: number
  /** Whether the two had met before at all. */
  readonly isMet: boolean
}

/** What the engine gives the channel. Handlers throw KmeError `PROTOCOL` to end the connection. */
export interface PeerHandler {
  readonly pads: AuthPads
  /** Our hello's body, made anew for each connection. */
  hello (): object
  /** What the peer has acknowledged. Asked when a connection begins, and told again with its hello. */
  acknowledged? (): Acknowledged | undefined
  /**
   * The peer's hello, validated by its schema. After it (and ours sent) the channel is ready. `before`: what the peer had acknowledged
   * when this connection began. Connections may cross, and whoever dials makes its hello at once: the hello may have been on its way
   * while the peer acknowledged more over another one.
   */
  onHello (body: unknown, before?: Acknowledged): void
  /** A message whose tag and number were verified and whose body fits its schema. */
  onMessage (name: MessageName, body: unknown): void
  onReady (channel: PeerChannel): void
  onClosed (reason: string): void
  /** The send queue has room again after a 'full'. */
  onWritable? (): void
}
