import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Clock } from '../kernel/time.js'
import type { PeerCounters } from './counters.js'
import type { PeerLimits } from './limits.js'
import type { PeerHandler } from './ports.js'
import type { CloseReason } from './refusal.js'
import type { TagVault } from './tags.js'
import type { Dialler, Listen } from './transport.js'

/** Where the connection with one peer stands; the highest of what is true. `backing off` belongs to whoever dials. */
export type PeerState = 'disconnected' | 'connecting' | 'authenticating' | 'resynchronising' | 'ready'

/** Told at each change of the state. */
export type PeerEvent =
  | { readonly type: 'peer.connecting' } | { readonly type: 'peer.authenticating' }
  | { readonly type: 'peer.resynchronising' } | { readonly type: 'peer.ready' }
  | { readonly type: 'peer.disconnected', readonly reason: CloseReason, readonly text: string }

export interface PeerStatus {
  readonly state: PeerState
  readonly role: 'dialler' | 'acceptor' | undefined
  /** Of the peer, 0 while it is not connected. */
  readonly incarnation: number
  readonly bufferedBytes: number
  /** Why the last connection or attempt ended; '' when there was none. */
  readonly lastEnd: CloseReason | ''
  readonly counters: PeerCounters
}

export interface PeerConfig {
  readonly id: KmeId
  /** wss://host:port/qkme/peer; absent if only the peer dials. */
  readonly url?: string
}

export interface PeerManagerOptions {
  readonly self: KmeId
  readonly peers: readonly PeerConfig[]
  /** Undefined refuses a peer for the time being. */
  readonly handlerFor: (remote: KmeId) => PeerHandler | undefined
  readonly vault: TagVault
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly limits: PeerLimits
  /** Two processes call as this peer, again and again; or no more of it for some time. */
  readonly twice?: (remote: KmeId, isNow: boolean) => void
  readonly dialler: Dialler
  /** Absent: this KME only dials. */
  readonly listen?: Listen
}
