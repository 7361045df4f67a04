import type { KmeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import type { KeyConstraint } from '../pool/extensions.js'
import { classText, type PoolClass } from './pool-class.js'
import type { RelayedEntry, RelayedPools } from './pools.js'

/** What may come by itself. */
export interface AutomaticLimits {
  /** onDemand: when an SAE asks for keys with it. all: with every KME of the network, ahead of demand. */
  readonly open: 'never' | 'onDemand' | 'all'
  /** Pools that a far KME opens are taken. */
  readonly accept: boolean
  /** Only with these; empty: with every KME that has a certificate of the KME CA. */
  readonly kmes: readonly KmeId[]
  /** The least class: what is opened without another demand, and what is accepted at least. */
  readonly paths: number
  readonly hybrid: boolean
  readonly stockBytes: number
  /** Pools that came by themselves, at once. */
  readonly poolsMax: number
  /** A pool that nobody uses for so long ends. */
  readonly idleMs: number
}

export interface AutomaticPorts {
  readonly self: KmeId
  readonly clock: Clock
  readonly pools: RelayedPools
  /** Far KMEs of which routing knows, the nearest first. Neighbours with a link are none of them. */
  readonly known: () => readonly KmeId[]
  /** So many node-disjoint ways that lead there now, or why there are not so many. */
  readonly ways: (kme: KmeId, paths: number) => readonly (readonly KmeId[])[] | string
  readonly isConnected: (kme: KmeId) => boolean
  /** A control channel is wanted, or not any more. */
  readonly openChannel: (kme: KmeId) => void
  readonly closeChannel: (kme: KmeId, why: string) => void
  /** Channels that are wanted. */
  readonly channels: () => readonly KmeId[]
  /** For the log. */
  readonly say: (what: string, fields: Readonly<Record<string, string>>) => void
}

/** `ways`: over which it was called, and since when; '' while there is none. */
interface Use { sinceMs: number, seen: number, openedMs: number, isOpen: boolean, farIsKept: boolean, ways: string, waysSinceMs: number }
/** `ways`: nobody answered over these; over others it may be tried at once. Undefined if the far end itself refused. */
interface Refused { untilMs: number, waitMs: number, reason: string, ways: string | undefined }

/** A refusal of a far KME is believed for so long, doubled for each in a row. */
const REFUSED_MIN_MS = 15_000
const REFUSED_MAX_MS = 3_600_000
const REFUSED_KEPT = 4_096
/** A channel on which no pool came about is closed after this time. */
const EMPTY_CHANNEL_MS = 30_000
/** A new pool that its far end has not opened by then, over ways that stood all the time, is given up: a dead line on them is seen before that, with common keep-alives. */
const UNANSWERED_MS = 60_000
/** A KME that is away may deliver from a pool for its time without us, from when it has noticed: what it gave out must be here for those who fetch it. */
const AWAY_MARGIN_MS = 60_000
/** Pools of different classes with one KME that may come by themselves: there are 16 classes, and two KMEs must not take all room. */
const OF_ONE_KME_MAX = 4
/** How many pools are opened ahead of demand in one look. */
const OPENED_AT_ONCE = 4

const mayBeWith = ({ kmes }: AutomaticLimits, self: KmeId, kme: KmeId): boolean => kme !== self && (kmes.length === 0 || kmes.includes(kme))

/** Whether a pool that came by itself in an earlier start may come back beside `count` others. */
export const comesBack = (l: AutomaticLimits, self: KmeId, kme: KmeId, count: number): boolean =>
  mayBeWith(l, self, kme) && (l.accept || l.open !== 'never') && count < l.poolsMax

/** Relayed pools that nobody wrote down: opened when they are wanted, accepted by policy, bounded, closed when nobody uses them. */
export class AutomaticPools {
  private readonly uses = new Map<string, Use>()
  private readonly refusals = new Map<string, Refused>()
  private readonly emptySinceMs = new Map<KmeId, number>()
  /** Pools of others that were refused, for operators. */
  readonly counters = { opened: 0, accepted: 0, declined: 0, closed: 0 }

  constructor (private readonly l: AutomaticLimits, private readonly p: AutomaticPorts) {}

  /** Those that came by themselves. */
  get count (): number { return this.p.pools.list().filter((entry) => !entry.isKept).length }

  private mayBeWith (kme: KmeId): boolean { return mayBeWith(this.l, this.p.self, kme) }
  private isFullWith (kme: KmeId): boolean { return this.p.pools.with(kme).filter((entry) => !entry.isKept).length >= OF_ONE_KME_MAX }
  /** What other KMEs may take: where our SAEs' demands open pools, a quarter of the room is theirs. */
  private get acceptedMax (): number { return this.l.poolsMax - (this.l.open === 'never' ? 0 : Math.floor(this.l.poolsMax / 4)) }

  /** An SAE demands keys with a far KME that no pool can ever give. @returns whether a pool for them is on its way. */
  wanted (kme: KmeId, demand: KeyConstraint): boolean {
    if (this.l.open === 'never' || demand.route === 'direct' || !this.mayBeWith(kme)) return false
    return this.open(kme, { paths: Math.max(this.l.paths, demand.minPaths ?? 1), hybrid: this.l.hybrid || demand.hybrid === true })
  }

  private open (kme: KmeId, cls: PoolClass): boolean {
    const { p } = this, refused = this.refusals.get(nameOf(kme, cls))
    if (p.pools.find(kme, cls) !== undefined) return true
    if (this.count >= this.l.poolsMax || this.isFullWith(kme) || this.mustWait(refused, kme, cls)) return false
    p.say('a relayed pool opens by itself', { kme, class: classText(cls) })
    p.pools.add(kme, cls, this.l.stockBytes, false)
    this.counters.opened++
    p.openChannel(kme)
    return true
  }

  /** There is no way, or a refusal still counts. */
  private mustWait (refused: Refused | undefined, kme: KmeId, { paths }: PoolClass): boolean {
    const ways = this.waysTo(kme, paths)
    return ways === '' || (refused !== undefined && this.p.clock.monoMs() < refused.untilMs && (refused.ways === undefined || refused.ways === ways))
  }

  private waysTo (kme: KmeId, paths: number): string {
    const ways = this.p.ways(kme, paths)
    return typeof ways === 'string' ? '' : JSON.stringify(ways)
  }

  /** Whether a KME with which we have no pool may call. */
  mayCall (kme: KmeId): boolean { return this.p.pools.with(kme).length > 0 || (this.l.accept && this.mayBeWith(kme)) }

  /** A far KME opens a pool that we do not have. @returns '' if we have it now, or why not, in words for the operator there. */
  invite (kme: KmeId, cls: PoolClass): string {
    const { l, p } = this
    const why = this.whyNot(kme, cls)
    if (why !== '') {
      this.counters.declined++
      p.say('a relayed pool was refused', { kme, class: classText(cls), reason: why })
      return why
    }
    this.counters.accepted++
    p.say('a relayed pool is accepted', { kme, class: classText(cls) })
    p.pools.add(kme, cls, l.stockBytes, false)
    return ''
  }

  private whyNot (kme: KmeId, cls: PoolClass): string {
    const { l, p } = this, ours = p.pools.with(kme)
    const mine = ours.length === 0 ? `${p.self} has no relayed pool with ${kme}` : `${p.self} has with ${kme} only ${ours.map((entry) => classText(entry.cls)).join(' and ')}`
    if (!l.accept) return `${mine}, and accepts none by itself (network.relay.automatic.accept)`
    if (!this.mayBeWith(kme)) return `${mine}, and accepts none from it (network.relay.automatic.kmes)`
    if (cls.paths < l.paths || (l.hybrid && !cls.hybrid)) return `${p.self} accepts nothing below ${classText(l)} (network.relay.automatic)`
    if (this.isFullWith(kme)) return `${p.self} has ${OF_ONE_KME_MAX} pools with ${kme} that came by themselves already`
    return this.count < this.acceptedMax ? '' : `${p.self} has ${this.count} pools that came by themselves, and takes no more from others (network.relay.automatic.poolsMax)`
  }

  /** A pool is open at both ends. */
  opened (entry: RelayedEntry, farIsKept: boolean): void {
    this.refusals.delete(nameOf(entry.remote, entry.cls))
    Object.assign(this.use(entry), { openedMs: this.p.clock.monoMs(), isOpen: true, farIsKept })
  }

  /** The far end does not have it, or has left it: a pool of our own accord ends, one of the configuration waits. */
  refused (entry: RelayedEntry, reason: string, ways?: string): void {
    const name = nameOf(entry.remote, entry.cls), waitMs = Math.min(REFUSED_MAX_MS, (this.refusals.get(name)?.waitMs ?? REFUSED_MIN_MS / 2) * 2)
    if (this.refusals.size >= REFUSED_KEPT && !this.refusals.has(name)) this.refusals.delete(this.refusals.keys().next().value as string)
    this.refusals.set(name, { untilMs: this.p.clock.monoMs() + waitMs, waitMs, reason, ways })
    this.p.say('the far end has no such relayed pool', { kme: entry.remote, class: classText(entry.cls), reason })
    if (!entry.isKept) this.drop(entry, reason)
  }

  /** The far end ended it because nobody uses it. */
  left (entry: RelayedEntry, reason: string): void {
    if (entry.isKept) { this.refused(entry, reason); entry.pool.leave(reason) } else this.drop(entry, reason)
  }

  /** Why the far end has not that pool, in its words; '' if it has not said so. */
  note (entry: RelayedEntry): string { return this.refusals.get(nameOf(entry.remote, entry.cls))?.reason ?? '' }

  private drop (entry: RelayedEntry, reason: string): void {
    this.counters.closed++
    this.uses.delete(entry.id)
    this.p.pools.drop(entry, reason)
  }

  // --- time -------------------------------------------------------------------------------------------------------------

  /** Looks for pools that nobody uses, for KMEs to open pools with, and for channels without pools. Call it about once a second. */
  tick (): void {
    for (const entry of this.p.pools.list()) if (!entry.isKept) this.closeIfIdle(entry)
    if (this.l.open === 'all') this.openAhead()
    this.closeEmpty()
  }

  private use (entry: RelayedEntry): Use {
    let use = this.uses.get(entry.id)
    if (use === undefined) this.uses.set(entry.id, use = { sinceMs: this.p.clock.monoMs(), seen: -1, openedMs: -Infinity, isOpen: false, farIsKept: false, ways: '', waysSinceMs: Infinity })
    return use
  }

  private closeIfIdle (entry: RelayedEntry): void {
    const nowMs = this.p.clock.monoMs(), use = this.use(entry), { account, meta } = entry.pool.core
    // What came back from the far side counts, too: its SAEs use the pool as ours do.
    const seen = account.delivered + account.leased + meta.horizonTheirs
    if (seen !== use.seen) { use.seen = seen; use.sinceMs = nowMs }
    if (!use.isOpen && this.isUnanswered(entry, use)) { this.refused(entry, `${entry.remote} takes no call, or does not answer`, use.ways); return }
    if (nowMs - use.sinceMs < this.l.idleMs) return
    if (!this.p.isConnected(entry.remote)) {
      if (nowMs - entry.pool.lastReadyMs >= entry.pool.core.deps.limits.peerAbsenceMaxMs + AWAY_MARGIN_MS) this.drop(entry, 'unused, and its KME away')
      return
    }
    if (nowMs - use.openedMs < Math.min(this.l.idleMs, AWAY_MARGIN_MS)) return // What was given out alone is fetched now.
    // One of both ends decides; what is wanted ahead of demand, or written down at the other end, stays.
    if (this.p.self < entry.remote && !use.farIsKept && this.l.open !== 'all') this.drop(entry, 'nobody uses it')
  }

  /** A line that is dead and not seen to be so is no answer: the time counts anew when ways change, and not while there is none. */
  private isUnanswered (entry: RelayedEntry, use: Use): boolean {
    const nowMs = this.p.clock.monoMs(), ways = this.waysTo(entry.remote, entry.cls.paths)
    if (ways !== use.ways) Object.assign(use, { ways, waysSinceMs: nowMs })
    return ways !== '' && nowMs - Math.max(use.sinceMs, use.waysSinceMs) >= UNANSWERED_MS && entry.pool.stockBytes() === 0
  }

  private openAhead (): void {
    const cls = { paths: this.l.paths, hybrid: this.l.hybrid }
    let opened = 0
    for (const kme of this.p.known()) {
      if (opened >= OPENED_AT_ONCE || this.count >= this.l.poolsMax) return
      if (this.mayBeWith(kme) && this.p.pools.with(kme).length === 0 && this.open(kme, cls)) opened++
    }
  }

  private closeEmpty (): void {
    const nowMs = this.p.clock.monoMs(), { emptySinceMs } = this
    for (const kme of this.p.channels()) {
      if (this.p.pools.with(kme).length > 0) { emptySinceMs.delete(kme); continue }
      const sinceMs = emptySinceMs.get(kme) ?? nowMs
      emptySinceMs.set(kme, sinceMs)
      if (nowMs - sinceMs < EMPTY_CHANNEL_MS) continue
      emptySinceMs.delete(kme)
      this.p.closeChannel(kme, 'no relayed pool needs it')
    }
  }
}

const nameOf = (kme: KmeId, cls: PoolClass): string => `${kme}\n${classText(cls)}`
