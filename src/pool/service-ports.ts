import type { NativeVault } from '../device/native.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import type { Kv, KvWriter } from '../store/kv.js'
import type { AnswerDetails } from './describe.js'
import type { ExtensionRegistry, KeyConstraint } from './extensions.js'
import type { KeyPool } from './key-pool.js'
import type { ReserveSettings } from './reserve.js'

/** One request in the audit trail (design 5). Numbers only: names are mapped by the sink. */
export interface AuditEntry {
  readonly kind: 'enc' | 'dec' | 'aborted' | 'refused'
  readonly caller: SaeId, readonly other: SaeId
  readonly association: number, readonly block: number, readonly place: number
  readonly sizeBytes: number, readonly number: number
  /** When it was, if that is known; else now. */
  readonly wallMs?: number | undefined
}

export interface AuditSink {
  /** Books a request; on disk within 100 ms. Returns the record's number. */
  record (entry: AuditEntry): number
  /** Books a request in the transaction that makes it true. */
  recordIn (tx: KvWriter, entry: AuditEntry): number
  /** False when the trail cannot be written: delivery stops (full disk). */
  healthy (): boolean
}

/** Who may share keys with whom, and where an SAE is served. */
export interface SaePolicy {
  whereIs (sae: SaeId): KmeId | undefined
  allowed (master: SaeId, slave: SaeId): boolean
  /** Do not tell a caller whether an unknown SAE exists (014 decision A1). */
  readonly confidentialNames: boolean
}

export interface KeySizes {
  readonly defaultBits: number, readonly minBits: number, readonly maxBits: number
  readonly maxPerRequest: number, readonly maxKeyCount: number, readonly maxSaeIds: number
  /** How long a request waits for a lease that is about to be there. */
  readonly leaseWaitMs: number
  /** IDs per SAE and second that are tried with pools other than the named one. */
  readonly foreignIdsPerS: number
}

export interface ServiceDeps {
  readonly self: KmeId
  readonly clock: Clock
  readonly vault: NativeVault
  readonly kv: Kv
  readonly soon: (fn: () => void) => void
  readonly fatal: (error: unknown) => void
  readonly security: (event: string, detail: string) => void
  /** Pools with that KME, the one to use first in front: direct, then relayed ones in the order of the configuration, then those that came by themselves. */
  readonly poolsWith: (kme: KmeId) => readonly KeyPool[]
  readonly pools: () => Iterable<KeyPool>
  /** No pool with that KME can ever meet the demand: whether one is being made (it opens by itself, or has just been opened). */
  readonly wanted: (kme: KmeId, demand: KeyConstraint) => boolean
  readonly policy: SaePolicy
  readonly sizes: KeySizes
  /** What is kept of each lane for chosen SAEs; nothing when left out. */
  readonly reserve?: ReserveSettings
  readonly extensions: ExtensionRegistry
  readonly details: AnswerDetails
  readonly audit: AuditSink
  /** False while the process stops: requests are refused with STOPPING. */
  readonly accepting: () => boolean
}
