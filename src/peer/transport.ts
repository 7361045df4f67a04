import type { KmeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import type { CloseReason } from './refusal.js'
import type { ChannelTags } from './tags.js'

/**
 * An open, ordered, message-keeping connection: a WebSocket (client.ts, server.ts) or a simulated one (sim/network.ts).
 * After `close` it tells nothing any more.
 */
export interface Transport {
  /** Takes the whole frame, or nothing (false). The bytes belong to the transport from then on. */
  send (bytes: Uint8Array): boolean
  /** What is sent within `run` leaves in as few writes as may be. Absent: nothing is gained by it. */
  together? (run: () => void): void
  /** Asks the other side for a sign of life. */
  ping (): void
  /** Tells the other side why, then ends the connection. With bytes still waiting it ends at once. */
  close (reason: CloseReason, text: string): void
  /** Bytes that were taken but have not left the process. */
  readonly bufferedBytes: number
}

/** What a transport tells. */
export interface TransportEvents {
  /** `bytes` are borrowed: valid during the call. */
  frame (bytes: Uint8Array): void
  /** Something other than a frame was heard (a pong or a ping). */
  heard (): void
  /** Fewer bytes are waiting than before. */
  drained (): void
  /** Once, when it ended otherwise than by `close`. */
  closed (reason: CloseReason, text: string): void
}

/** An open transport together with what is known of its far end from TLS and the upgrade request. */
export interface Link {
  readonly transport: Transport
  /** From the verified certificate, never from a header or a message. */
  readonly remote: KmeId
  readonly role: 'dialler' | 'acceptor'
  /** Versions offered by the dialler (normalOffer) and chosen by the acceptor. */
  readonly offered: string
  readonly version: number
  /** Makes the tags of this connection; absent: one-time tags from the pool's reserve, as between neighbours. */
  readonly tags?: ChannelTags
  /** Looks at the certificate again: '' or why it does not hold any more (expired, revoked, CRL out of date). */
  recheck (): string
}

/** One attempt ends in exactly one of these two. */
export interface DialEvents {
  opened (link: Link): TransportEvents
  failed (reason: CloseReason, text: string): void
}

export interface Dialler {
  /** Opens one connection to the peer. The result gives the attempt up: then neither event follows. */
  dial (peer: PeerAddress, on: DialEvents): Cancel
  /**
   * Takes new certificate files into use for new connections.
   * @throws KmeError `CERTIFICATE_INVALID`; what was in use stays in use.
   */
  reload (): void
}

export interface PeerAddress { readonly id: KmeId, readonly url: string }

export interface AcceptEvents {
  /** Before the upgrade: '' or why this KME has no business here. Nothing of the connection is kept then. */
  admit (remote: KmeId): string
  accepted (link: Link): TransportEvents
  /** A caller without a right to be here, for the security log. */
  turnedAway (reason: CloseReason, text: string): void
}

export interface Listener {
  readonly port: number
  /**
   * Takes new certificate files into use for new connections; those that are open stay.
   * @throws KmeError `CERTIFICATE_INVALID`, `PORT_TAKEN`; what was in use stays in use.
   */
  reload (): void
  /** No new connections from now on; what is still open is cut. */
  stop (): void
}

/** @throws KmeError `PORT_TAKEN`, `CERTIFICATE_INVALID`. */
export type Listen = (on: AcceptEvents) => Promise<Listener>
