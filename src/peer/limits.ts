/** Bounds and times of one peer connection. Every queue and wait of src/peer ends at one of these. */
export interface PeerLimits {
  /** Bytes that may wait for a slow peer; a message that would exceed them is answered 'full'. A single frame always may. */
  readonly sendQueueBytesMax: number
  /** From the start of a dial until the WebSocket is open. */
  readonly connectTimeoutMs: number
  /** From the open WebSocket until the peer's hello is accepted. */
  readonly helloTimeoutMs: number
  /** A ping goes out when nothing was heard for this long. */
  readonly pingAfterMs: number
  /** A connection on which nothing was heard for this long is dead. */
  readonly idleTimeoutMs: number
  /** How often the certificate of a living connection is checked again (expiry, revocation). */
  readonly recheckMs: number
  /** The KME with the higher ID waits this long for the other to dial before it does so itself. */
  readonly graceMs: number
  /** Reconnecting: first and longest wait, and how long a connection must live to be forgiven its failures. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  readonly stableMs: number
}

export const defaultPeerLimits: PeerLimits = {
  sendQueueBytesMax: 1_048_576,
  connectTimeoutMs: 10_000, helloTimeoutMs: 5_000, pingAfterMs: 5_000, idleTimeoutMs: 20_000, recheckMs: 60_000,
  graceMs: 3_000, backoffMinMs: 250, backoffMaxMs: 30_000, stableMs: 10_000,
}

/** Times of the signs of life of a connection: a peer that is silent so long is asked, and given up after twice as long. */
export const signsOfLife = (keepAliveMs: number): Pick<PeerLimits, 'pingAfterMs' | 'idleTimeoutMs'> => ({ pingAfterMs: keepAliveMs, idleTimeoutMs: 2 * keepAliveMs })

/** Bytes of a frame's body. */
export const BODY_BYTES_MAX = 262_144
