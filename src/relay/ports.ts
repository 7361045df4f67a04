/** What the relay needs of the rest: pools, ways, the store's keys. The runtime plugs in the real parts, sim/ simulated ones. */
import type { NativeVault } from '../device/native.js'
import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Clock } from '../kernel/time.js'
import type { Body, MessageName } from '../peer/messages.js'
import type { RecordKeys } from '../pool/ports.js'
import type { RelayAccess } from '../pool/relay-access.js'
import type { RelayLimits } from './limits.js'
import type { FrameMemory } from './memory.js'

/** A pool with a neighbour, and the way to it. */
export interface NeighbourLane {
  readonly access: RelayAccess
  /** On the tagged channel between neighbours. False if it was not taken: nothing is queued. */
  send<N extends MessageName> (name: N, body: Body<N>): boolean
}

/** A relayed pool, and the control channel to its other end. */
export interface RelayedPool {
  readonly remote: KmeId
  /** Its name in the store, for sealing. */
  readonly poolId: string
  /** Number of the link in its frames' names. */
  readonly link: number
  /** The control channel is ready. */
  readonly isReady: boolean
  /** It takes joined blocks: it is not at its bound. */
  readonly hasRoom: boolean
  /** Bytes that it lacks to its target; 0 if it wants none. */
  wantedBytes (): number
  /** Takes joined frames into stock, as a device's batch (Pool.ingest); `then` when they are durable. */
  ingest (records: Uint8Array, meta: ArrayLike<number>, count: number, then: () => void): void
  /** Whether frames of that job are in the store already: a name is used once. */
  hasJob (job: Uint8Array): boolean
  /** On the control channel. */
  send<N extends MessageName> (name: N, body: Body<N>): boolean
  /** How many node-disjoint paths each of its blocks takes, and whether a hybrid stream lies over it. */
  readonly paths: number
  readonly hybrid: boolean
}

/** A link of a path, in the direction of the pads. */
export interface PathHop { readonly from: KmeId, readonly to: KmeId }
export interface RelayQuery { readonly disjoint: number, readonly excludeHops: readonly PathHop[], readonly avoid: readonly KmeId[] }

/** The router, from here. */
export interface RelayRoutes {
  /** Exactly `disjoint` paths from this KME, or why there are not so many. */
  paths (destination: KmeId, query: RelayQuery): readonly (readonly KmeId[])[] | string
  /** Whether a link of these nodes is known to be down. */
  isBroken (nodes: readonly KmeId[]): boolean
  /** '' or why this KME does not pass a job on along these nodes. */
  mayForward (nodes: readonly KmeId[]): string
}

/** Hybrid streams between two ends (src/hybrid). */
export interface RelayHybrid {
  /** The exchange to use for new blocks with that KME now, or undefined while there is none. */
  current (remote: KmeId): Uint8Array | undefined
  /** Whether both ends have that exchange. */
  has (remote: KmeId, exchange: Uint8Array): boolean
  /** Seals one frame of a job under the stream of that exchange: each frame has a name of its own in it. @returns bytes of the record. */
  seal (remote: KmeId, exchange: Uint8Array, job: Uint8Array, frame: number, sealing: SealWith): number
}

/** How the shares of one frame are joined: the vault seals their xor, under a hybrid stream if there is one. */
export interface SealWith {
  readonly sealer: number, readonly header: Uint8Array, readonly blocks: Uint32Array, readonly offsets: Uint32Array
  readonly length: number, readonly out: Uint8Array
}

export interface RelayPorts {
  readonly self: KmeId
  readonly vault: NativeVault
  readonly keys: RecordKeys
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly limits: RelayLimits
  readonly routes: RelayRoutes
  readonly hybrid: RelayHybrid | undefined
  /** Number of this process start, for record headers. */
  readonly start: number
  neighbour (kme: KmeId): NeighbourLane | undefined
  /** An alarm for operators and the audit trail. */
  security (event: string, subject: string, detail: string): void
}

/** The same within the relay. */
export interface DeskPorts extends RelayPorts { readonly memory: FrameMemory }
