/**
 * The seams of the control channel: what carries it (a tunnel through neighbours), what makes it safe (TLS 1.3 with both KME
 * certificates) and who knows the way (the router).
 */
import type { KmeId } from '../../kernel/ids.js'
import type { Cancel } from '../../kernel/time.js'
import type { CloseReason } from '../refusal.js'
import type { Link, TransportEvents } from '../transport.js'

/** KMEs from this one to the destination, both included. */
export type Path = readonly KmeId[]

/** The router, from here: ways to a KME as they are now. */
export interface PathSource {
  /** Best first, each without loops, from this KME to the destination, both included; [] when there is no way. */
  paths (destination: KmeId): readonly Path[]
  /** Whether every link of a path works as far as the router knows. Asked for each session at each change; absent: it is usable while it is among `paths`. */
  isUsable? (path: Path): boolean
}

/** Another way for a session whose path is broken: not that one if there is a choice; undefined while there is none. */
export type OtherWay = (broken: Path) => Path | undefined

/** Why a tunnel ended. */
export type TunnelEnd = (reason: CloseReason, text: string) => void

/** What an end of a tunnel is told. */
export interface TunnelEvents {
  /** The next bytes in order, owned by the receiver, who calls `consumed` when it has dealt with them. */
  data (bytes: Uint8Array): void
  /** `send` takes bytes again after it refused. */
  writable (): void
  /** Once, when the tunnel ended otherwise than by `end`. */
  ended: TunnelEnd
}

/**
 * One end of a session between two KMEs: bytes arrive in order and once, or the session ends. Nothing of it is safe by
 * itself: nodes on the path may read, change, repeat and drop what they like.
 */
export interface Tunnel {
  readonly remote: KmeId
  /** As it is now: it may move. */
  readonly path: Path
  /** Takes 1 to TUNNEL_BYTES_MAX bytes, which it owns from then on; false while the window is full. */
  send (bytes: Uint8Array): boolean
  /** One piece of `data` was dealt with: the other side may send one more. */
  consumed (): void
  /** Asks the other end for a sign of life; without one the path counts as broken after the probe time. */
  probe (): void
  /**
   * Both ends are sure of each other: from now on a broken path does not end the tunnel, its opener takes another one. @param key
   * MOVE_KEY_BYTES bytes that only the two ends know, wiped here.
   */
  allowMoves (key: Uint8Array): void
  end (text: string): void
}

/** Outcome of securing one tunnel: exactly one of the two. The link's remote is from the verified certificate. */
export interface SecureEvents {
  opened (link: Link): TransportEvents
  failed (reason: CloseReason, text: string): void
}

/**
 * Makes a link out of a tunnel: TLS (tls-layer.ts), or a keyed stand-in for it in simulations. The certificate of the far end
 * must name `tunnel.remote`. Attaches itself to the tunnel's events within the call.
 */
export interface EndToEnd {
  secure (attach: (events: TunnelEvents) => Tunnel, role: 'dialler' | 'acceptor', remote: KmeId, on: SecureEvents): Cancel
  /** Takes renewed certificate files into use for new sessions. @throws KmeError `CERTIFICATE_INVALID`; the old ones stay. */
  reload (): void
}
