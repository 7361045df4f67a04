/** What a pool needs from outside. The runtime plugs the real parts in; sim/ plugs simulated ones. */
import type { KeyHandle, NativeVault, SealerHandle } from '../device/native.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { Random } from '../kernel/random.js'
import type { Clock } from '../kernel/time.js'
import type { Kv, KvWriter } from '../store/kv.js'
import type { FrameRef } from './rows.js'

/** Keys of sealed records: erased with the slot that holds them (src/store/seal-keys.ts). */
export interface RecordKeys {
  /** The sealer for new records of a pool and the slot number that goes into their headers. */
  sealer (pool: string): { readonly sealer: SealerHandle, readonly slot: number }
  /** The subkey that opens a record, found by its header. The handle stays owned by the store. */
  opener (record: Uint8Array): KeyHandle
  /** Books `count` records of a slot in, or out, in the transaction that stores or removes them. */
  added (tx: KvWriter, slot: number, count: number): void
  removed (tx: KvWriter, slot: number, count: number): void
  /** Wraps a key for a row, and back. */
  wrap (key: KeyHandle): Uint8Array
  unwrap (wrapped: Uint8Array): KeyHandle
}

/** This process start, flushed before use. `known` tells whether this store ever started with that number and nonce. */
export interface Incarnation {
  readonly storeId: Uint8Array
  readonly number: number
  readonly nonce: Uint8Array
  known (number: number, nonce: Uint8Array): boolean
}

export type PoolEvent =
  | { readonly type: 'pool.stock', readonly freeBytes: number, readonly maxBytes: number }
  | { readonly type: 'pool.ready' } | { readonly type: 'pool.away' }
  | { readonly type: 'pool.suspended', readonly reason: string }
  | { readonly type: 'pool.voided', readonly reason: string }
  /** It is about to be void: grants of its keys that other pools carried are taken back. */
  | { readonly type: 'pool.voiding', readonly pool: string }
  | { readonly type: 'pool.exhausted' }
  /** An operator here or at the other KME holds the pool, or nobody does any more (''). */
  | { readonly type: 'pool.held', readonly reason: string }
  /** The other KME's operator holds a link, or has released it. */
  | { readonly type: 'link.heldThere', readonly link: number, readonly held: boolean }
  /** The other KME's operator voided keys; `incident` names the act there and here. */
  | { readonly type: 'keys.voided', readonly pool: string, readonly incident: string, readonly reason: string, readonly keys: number, readonly associations: number, readonly stretches: number, readonly spread: VoidSpread }
  | { readonly type: 'link.mismatch', readonly link: number, readonly inARow: number }
  | { readonly type: 'link.confirmed', readonly link: number }
  /** The other KME proposed frames of this link that we lack: a device that gives key by its name can be asked for them. */
  | { readonly type: 'frames.wanted', readonly link: number, readonly frames: readonly FrameRef[] }
  /** The peer says that this store is a copy or was rolled back. The pool is void and has another identity; an operator must look. */
  | { readonly type: 'store.rolledBack', readonly reason: string }
  | { readonly type: 'security', readonly event: string, readonly detail: string }

/** What of a void that the other KME told may concern named grants over other pools (src/pool/void-desk.ts). */
export interface VoidSpread {
  /** Key IDs (UUIDs) that were granted by this KME: void wherever they are. */
  readonly mine: readonly string[]
  /** Key IDs of this pool's own lane that may have been granted further. */
  readonly cut: readonly string[]
  /** Everything cut of this pool within a time. */
  readonly window: { readonly fromMs: number, readonly toMs: number } | undefined
  /** Associations of our masters in this pool that are dead. */
  readonly associations: readonly { readonly generation: number, readonly number: number, readonly master: string }[]
}

export interface PoolLimits {
  readonly keyTtlMs: number, readonly fetchTtlMs: number, readonly runwayMs: number, readonly leaseMs: number
  readonly leaseMinBytes: number, readonly leaseMaxBytes: number, readonly peerAbsenceMaxMs: number
  readonly blockCloseMs: number, readonly missingFrameMs: number
  readonly authReserveBytes: number, readonly authFloorBytes: number
  readonly associationsPerSae: number, readonly associationsPerEpoch: number
  readonly epochBlocksMax: number, readonly epochAgeMaxMs: number
  /** The pool takes no more from its links while it holds this much. */
  readonly maxStockBytes: number
}

export const defaultPoolLimits: PoolLimits = {
  keyTtlMs: 86_400_000, fetchTtlMs: 3_600_000, runwayMs: 60_000, leaseMs: 1_000, leaseMinBytes: 1_024, leaseMaxBytes: 63_488,
  peerAbsenceMaxMs: 30_000, blockCloseMs: 2_000, missingFrameMs: 30_000, authReserveBytes: 16_384, authFloorBytes: 2_048,
  associationsPerSae: 64, associationsPerEpoch: 60_000, epochBlocksMax: 2 ** 30, epochAgeMaxMs: 90 * 86_400_000,
  maxStockBytes: 100_000 * 32,
}

export interface PoolDeps {
  readonly self: KmeId
  readonly remote: KmeId
  /** Name of the pool in the store, where it is not the remote KME's ID: a relayed pool. */
  readonly poolId?: string
  readonly kv: Kv
  readonly clock: Clock
  /** Milliseconds this store has been in use, over all starts; never goes back. */
  readonly ageMs: () => number
  readonly random: Random
  readonly vault: NativeVault
  readonly keys: RecordKeys
  readonly incarnation: Incarnation
  readonly limits: PoolLimits
  /** Why this store has a new identity (a copy, restored, zeroized), or '': then nothing of its old stock is opened or used. */
  readonly disowned: string
  /** Runs `fn` after the events that are being handled now: a group commit gathers what they bring. */
  readonly soon: (fn: () => void) => void
  readonly emit: (event: PoolEvent) => void
  /** A broken store or invariant: the process must end. Never returns to the caller's path. */
  readonly fatal: (error: unknown) => void
  /** Our own policy for an association that a peer's master wants to open with our slaves: '' or the reason to refuse. */
  readonly admit: (master: SaeId, slaves: readonly SaeId[]) => string
  /** SAEs served here, for the peer; and what the peer announced. */
  readonly ownSaes: () => { generation: number, saes: readonly SaeId[] }
  readonly announced: (remote: KmeId, saes: readonly SaeId[]) => void
  /** 32-byte head of the audit chain, exchanged each minute. */
  readonly auditHead: () => { records: number, head: Uint8Array }
}
