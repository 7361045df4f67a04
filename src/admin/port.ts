/**
 * What an operator may ask of a running KME, and nothing else. The runtime implements it; the routes
 * (src/admin/routes.ts) have checked who asks, with which role, and the form of the request. Everything here is JSON as
 * it stands: numbers with their unit in the name, bits as numbers, times as ISO 8601 text. No key bytes.
 */
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { LogLevel, Severity } from '../kernel/log.js'

export interface StatusView {
  readonly kme: KmeId, readonly version: string, readonly startedAt: string, readonly uptimeS: number
  readonly incarnation: number
  /** State of the root supervisor, and of every part under it. */
  readonly state: string
  readonly parts: readonly PartView[]
  readonly pools: number, readonly links: number, readonly peers: number, readonly saes: number
  readonly alertsActive: number
}
export interface PartView { readonly id: string, readonly state: string, readonly restarts: number }

/** `live`: the process works on its events. `ready`: a request for keys can succeed. Each no has a reason. */
export interface HealthView { readonly live: boolean, readonly ready: boolean, readonly reasons: readonly string[] }

export interface PoolView {
  readonly id: string, readonly remote: KmeId, readonly state: string, readonly local: boolean
  readonly stockBits: number, readonly stockMaxBits: number
  readonly supplyBitsPerS: number, readonly consumptionBitsPerS: number
  /** Forecast; null when the stock does not shrink. */
  readonly timeToEmptyS: number | null
  /** Where its key comes from: direct, over so many disjoint paths, hybrid or not, or made here. */
  readonly route: string
  /** Why the relay brings nothing just now; '' for every other pool. */
  readonly note: string
  readonly lanes: readonly { readonly lane: number, readonly own: boolean, readonly blocks: number, readonly leasedBytes: number, readonly horizon: number, readonly cursor: number }[]
}
export interface LinkView {
  readonly id: string, readonly remote: KmeId, readonly state: string, readonly qber: number | null
  /** Why no key is taken from it: what was found out, `operator` (held here) or `held-there` (held at the other KME). */
  readonly keyBitsPerS: number, readonly mismatchesInARow: number, readonly quarantineCause: string | null
}
/** What was held here is released; `still`: who holds it besides, and what ends that, or ''. */
export interface ReleaseView { readonly done: true, readonly still: string }
export interface PeerView {
  readonly id: KmeId, readonly state: string, readonly url: string | null, readonly attempt: number
  readonly incarnation: number | null, readonly outbox: number, readonly reserveBytes: number
  /** Why nothing is served with it, by an operator here or there; '' if it is. */
  readonly held: string
}
export interface DeviceView {
  readonly id: string, readonly link: string, readonly state: string, readonly epoch: string | null
  /** Which group of the link's settings it is: ring, corFiles, … */
  readonly kind: string
  readonly qber: number | null
  /** Frames that wait to be taken; '' or why nothing is taken. */
  readonly waitingFrames: number, readonly quarantine: string
  readonly counters: Readonly<Record<string, number>>, readonly lastFault: string | null
}
/** One frame header of a device, as it came: never payload, and no checksum, which depends on it. */
export interface FrameHeaderView {
  readonly sequence: number, readonly epoch: number, readonly deviceBlock: string, readonly offset: number, readonly payloadBytes: number
  readonly flags: readonly string[], readonly qber: number | null, readonly at: string
}
export interface SaeView {
  readonly id: SaeId, readonly kme: KmeId, readonly state: string, readonly registeredAt: string | null
  /** Its name for people; of one that asks to be registered, who vouches for it. */
  readonly note: string | null
  readonly associations: number
}
export interface SaePage { readonly saes: readonly SaeView[], readonly next: string | null }

/** One direction of a link as the KME at its beginning announces it: lower bounds. `cost` null: nothing can go this way now. */
export interface HopView { readonly stockBytes: number, readonly bytesPerS: number, readonly state: string, readonly cost: number | null }
/**
 * The network as this KME knows it from announcements (docs/routing.md). `announced`: that of a KME's links, `ageS` seconds old, record `sequence` of start
 * `incarnation` of its process; null: others name it, it says nothing itself.
 */
export interface TopologyView {
  readonly self: KmeId
  readonly nodes: readonly {
    readonly kme: KmeId, readonly saes: number
    readonly announced: { readonly incarnation: number, readonly sequence: number, readonly ageS: number, readonly transit: boolean, readonly hybrid: boolean } | null
  }[]
  readonly links: readonly { readonly a: KmeId, readonly b: KmeId, readonly state: string, readonly ab: HopView | null, readonly ba: HopView | null }[]
  /** The way that blocks go now; `problem`: why there is none. */
  readonly routes: readonly {
    readonly to: KmeId, readonly nodes: readonly KmeId[], readonly cost: number | null, readonly isStatic: boolean
    readonly disjointPaths: number, readonly problem: string | null
  }[]
}

/** I10: every bit is in one account. `difference` is ingested minus all others, and must be 0. */
export interface AccountView {
  readonly pools: readonly { readonly pool: string, readonly bits: Readonly<Record<string, number>>, readonly differenceBits: number }[]
  readonly differenceBits: number
}
export interface AlertView {
  readonly id: string, readonly subject: string, readonly severity: Severity, readonly message: string
  readonly active: boolean, readonly since: string, readonly clearedAt: string | null, readonly count: number
}

/** Keys that were given to a master and not fetched yet. One of `ids`, `sae`, `peer`, or a time; `peer` may stand with a time. */
export interface VoidRequest {
  readonly ids?: readonly string[], readonly sae?: SaeId, readonly peer?: KmeId
  readonly fromMs?: number, readonly toMs?: number
  readonly reason: string
  /** Says what would be void, and changes nothing. */
  readonly dryRun: boolean
}
export interface IncidentPoolView {
  readonly pool: string, readonly keys: number, readonly alreadyFetched: number, readonly associations: number, readonly stretches: number
  /** waiting: the KME at the other end has not confirmed; until it does, keys in question are not served here. */
  readonly state: 'done' | 'waiting'
}
/** What an operator did, here or at another KME (`origin`), about keys that others may know. */
export interface IncidentView {
  readonly id: string, readonly at: string, readonly kind: 'void' | 'hold' | 'release', readonly origin: KmeId, readonly what: string, readonly reason: string
  readonly state: 'done' | 'waiting', readonly pools: readonly IncidentPoolView[]
}
/** `unknown`: key IDs that no pool of this KME has made or been told of. */
export interface VoidView { readonly incident: IncidentView | null, readonly pools: readonly IncidentPoolView[], readonly unknown: readonly string[] }

export interface NewSae { readonly id: SaeId, readonly name?: string }

/**
 * Every method may throw KmeError; `NOT_FOUND` when the named thing is not there, `BUSY` when it cannot be done now.
 * A promise resolves when the effect is durable.
 */
export interface AdminPort {
  status (): StatusView
  health (): HealthView
  pools (): readonly PoolView[]
  links (): readonly LinkView[]
  peers (): readonly PeerView[]
  devices (): readonly DeviceView[]
  /** The newest frame headers of a device, oldest first. */
  frameHeaders (device: string): readonly FrameHeaderView[]
  /** In order of ID, those above `after`, at most `limit`. */
  saes (after: string | undefined, limit: number): SaePage
  account (): AccountView | Promise<AccountView>
  alerts (): readonly AlertView[]
  topology (): TopologyView

  addSae (sae: NewSae): Promise<SaeView>
  /** Registers an SAE that asked for it. */
  approveSae (id: SaeId): Promise<void>
  suspendSae (id: SaeId): Promise<void>
  resumeSae (id: SaeId): Promise<void>
  removeSae (id: SaeId): Promise<void>
  /** Asks for stock now instead of at the threshold. */
  replenish (pool: string): Promise<void>
  /** Ends a suspension of a pool, after whatever caused it is understood. */
  resumePool (pool: string): Promise<ReleaseView>
  /** Ends a quarantine: the link is on probation afterwards. */
  releaseLink (link: string): Promise<ReleaseView>
  /** Takes no key from a link any more, at both its ends, until it is released. */
  holdLink (link: string, reason: string): Promise<void>
  /** Serves no key with a KME, here and there, until it is released here. */
  holdPeer (peer: KmeId, reason: string): Promise<void>
  /** Ends a hold of this KME; one of the other KME ends there. */
  releasePeer (peer: KmeId): Promise<ReleaseView>
  /** Voids keys at every KME that could still serve them. */
  voidKeys (request: VoidRequest): Promise<VoidView>
  /** The newest first. */
  incidents (): readonly IncidentView[]
  incident (id: string): IncidentView
  /** Starts a part again that the supervisor has given up. */
  restartPart (part: string): Promise<void>
  /** Voids all stock with this peer, on both sides (design 3, copies). */
  retirePeer (peer: KmeId): Promise<void>
  /** Overwrites every key slot, wipes memory, tells devices and peers, and ends the process after the answer. */
  zeroize (): Promise<void>

  logLevels (): Readonly<Record<string, LogLevel>>
  setLogLevels (levels: Readonly<Record<string, LogLevel>>): void
}

/** Roles in rising order; each includes those before it. */
export const roles = ['view', 'operate', 'destroy'] as const
export type Role = (typeof roles)[number]
export const roleAllows = (has: Role, needs: Role): boolean => roles.indexOf(has) >= roles.indexOf(needs)

export interface Operator { readonly name: string, readonly role: Role }

/**
 * One act of an operator. Recorded before it is done (`outcome` 'begun') and after ('done', 'failed'), or once if it was
 * 'refused'. If recording 'begun' fails, the act is not done.
 */
export interface OperatorAct {
  readonly operator: string
  readonly role: Role | 'none'
  readonly from: 'socket' | 'https'
  /** The route, such as `DELETE /v1/saes/:id`. */
  readonly action: string
  readonly subject: string
  readonly outcome: 'begun' | 'done' | 'failed' | 'refused'
  /** Error code of a failure or refusal, or ''. */
  readonly code: string
}

/** Writes the audit record, durably before the promise resolves. */
export interface OperatorAudit { record (act: OperatorAct): Promise<void> }
