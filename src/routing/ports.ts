/**
 * The seams of routing. Above it stand relay and key service (`Routing`), below it the neighbour channels, the clock, chance
 * and the certificates (`RoutingPorts`). Nothing here knows a socket, a store or a pool, so that whole networks run in one process.
 */
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'

/** Whether a link can carry relayed blocks now. `degraded`: it can, but something about it is wrong (QBER, no fresh key). */
export type LinkState = 'up' | 'degraded' | 'down'

/** What this KME knows of its own link to a neighbour. Tell it whenever it changes, or each second: routing smooths it. */
export interface NeighbourReport {
  /** Key of our own lane with the neighbour, which our relay could spend. */
  readonly stockBytes: number
  /** Sustained rate at which our own lane fills. */
  readonly bytesPerS: number
  readonly state: LinkState
}

/** What a KME offers to the network beside its links. */
export interface Capabilities {
  /** Relays blocks of others. */
  readonly transit: boolean
  /** Makes hybrid keys (ML-KEM-768) as the end of a path. */
  readonly hybrid: boolean
}

/** A directed hop, from the KME that pads to the one that takes the pad off. */
export interface Hop { readonly from: KmeId, readonly to: KmeId }

export interface PathQuery {
  /** How many paths that share no node but their two ends; 1 when left out. At most PATHS_MAX. */
  readonly disjoint?: number
  /** Nodes that no path may pass, beyond those that the configuration forbids. */
  readonly excludeNodes?: readonly KmeId[]
  /** Links (either direction) that no path may use: a job failed there just now. */
  readonly excludeHops?: readonly Hop[]
  /** Nodes that a path passes only if every other way is much worse: they refused lately. */
  readonly avoid?: readonly KmeId[]
  /** Most hops of a path; HOPS_MAX when left out. */
  readonly hopsMax?: number
}

/** One way. `nodes` begins with this KME and ends with the destination; neighbours in it share a link. */
export interface RoutePath {
  readonly nodes: readonly KmeId[]
  /** Sum over its hops, see cost.ts. Only for comparing. */
  readonly cost: number
  /** It was configured, not computed. */
  readonly isStatic: boolean
}

/**
 * Why there is no path. `self`: the destination is this KME. `unknown`: nobody announces it. `unreachable`: no way of usable
 * links. `forbidden`: only ways through nodes that are forbidden, excluded, or relay nothing. `static`: a configured route is
 * broken and no other is allowed. `disjoint`: fewer disjoint paths than asked for. `too-long`: only longer ways than `hopsMax`.
 */
export type NoPathReason = 'self' | 'unknown' | 'unreachable' | 'forbidden' | 'static' | 'disjoint' | 'too-long'

export type PathAnswer =
  /** Cheapest first; exactly as many as asked for. */
  | { readonly ok: true, readonly paths: readonly RoutePath[] }
  /** `available`: how many disjoint paths there are. `message`: a sentence for people. */
  | { readonly ok: false, readonly reason: NoPathReason, readonly available: number, readonly message: string }

/**
 * What may have changed. `topology`: links or costs, ask for paths again. `saes`: where SAEs are (`kme`: whose list). Told
 * after the event, at most once per turn for a burst of changes.
 */
export type RoutingChange = { readonly topology: boolean, readonly saes: readonly KmeId[] }

/** What relay, key service and operators ask. All answers come from memory at once. */
export interface Routing {
  readonly self: KmeId
  /** Paths from this KME. Loop-free; each passes only links that both of their ends announce as usable. */
  paths (destination: KmeId, query?: PathQuery): PathAnswer
  /** Whether a peer may ask us to pass a block on along these nodes: loop-free, we are in it, the next hop is our neighbour and up. '' or the reason. */
  mayForward (nodes: readonly KmeId[]): string
  /** The KME that serves an SAE: configuration, own registry, then who announced it first. */
  locate (sae: SaeId): KmeId | undefined
  /** SAEs that a KME announces and that are located there. */
  saesOf (kme: KmeId): readonly SaeId[]
  /** Undefined while nobody (or not it itself) announces the KME. */
  capabilities (kme: KmeId): Capabilities | undefined
  /** Calls `on` after each change. */
  subscribe (on: (change: RoutingChange) => void): Cancel
}

/** Signs what this KME announces. Replaced as a whole when the certificate is renewed. */
export interface Signer {
  /** DER of our certificate. */
  readonly certificate: Uint8Array
  /** Over the bytes with the domain of link-state announcements in front. */
  sign (bytes: Uint8Array): Uint8Array
}

/** A certificate that was judged. */
export interface Credential {
  readonly kme: KmeId
  /** After this wall time it must be judged again. */
  readonly validUntilMs: number
  /** Whether the signature over the bytes (with the domain in front) is its key's. Must not throw. */
  verify (bytes: Uint8Array, signature: Uint8Array): boolean
}

/** Judges certificates of other KMEs: chain, dates, revocation, the one KME ID. `refused` says why not; `isPending`: not yet, a responder is being asked. Must not throw. */
export type JudgeCertificate = (der: Uint8Array) => Credential | { readonly refused: string, readonly isPending?: boolean }

export type SendResult = 'sent' | 'closed' | 'full' | 'no-pad'

/** What routing found out about somebody, for the security log. `about` is a KME or SAE ID. */
export type RoutingAlarm = (event: 'routing.forged' | 'routing.saeClaimedTwice' | 'routing.identityTwice' | 'routing.flooding', about: string, detail: string) => void

export interface RoutingPorts {
  readonly clock: Clock
  readonly random: Random
  readonly signer: Signer
  readonly judge: JudgeCertificate
  /** Sends a packet over the tagged channel to a neighbour; nothing is queued unless 'sent'. `packet` is not used again. */
  readonly send: (neighbour: KmeId, packet: Uint8Array) => SendResult
  readonly alarm: RoutingAlarm
}

/** The longest path that is ever used: 32 nodes. */
export const HOPS_MAX = 31
/** Disjoint paths at most. */
export const PATHS_MAX = 8
