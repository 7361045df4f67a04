import type { LinkContext } from '../../machines/link.js'
import type { PoolContext } from '../../machines/pool.js'
import type { PeerContext } from '../../machines/peer.js'
import { timeToEmptyMs } from '../../machines/forecast.js'
import type { AlertList } from '../admin/alerts.js'
import type {
  AccountView, AdminPort, DeviceView, FrameHeaderView, HealthView, IncidentView, LinkView, NewSae, PeerView, PoolView, ReleaseView, SaePage, SaeView, StatusView, TopologyView, VoidRequest, VoidView,
} from '../admin/port.js'
import type { Config } from '../config/schema.js'
import { deviceKinds } from '../config/schema-links.js'
import { readFrameHeaders } from '../device/frame-headers.js'
import { KmeError } from '../kernel/errors.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { LogLevel } from '../kernel/log.js'
import type { Clock } from '../kernel/time.js'
import type { PeerManager } from '../peer/manager.js'
import { accountOf } from '../pool/accounts.js'
import type { LocalPool } from '../pool/local-pool.js'
import type { Pool } from '../pool/pool.js'
import { addSae, changeSae, getSae, listSaes, type SaeRow } from '../store/saes.js'
import type { Incidents } from './incidents.js'
import type { Keyspace } from './keyspace.js'
import type { LinkPath } from './link-path.js'
import type { NetworkPath } from './network-path.js'
import { partIds } from './parts.js'
import type { LogRoot } from './pino-log.js'
import type { Registration } from './registration.js'
import type { SessionRegistry } from './sessions.js'
import type { Supervisor } from './supervisor.js'

/** Of the authentication reserve, for one message. */
const TAG_PAD_BYTES = 16

export interface OperationsDeps {
  readonly config: Config
  readonly version: string
  readonly clock: Clock
  readonly startedMs: number
  readonly keyspace: Keyspace
  readonly supervisor: () => Supervisor
  readonly peers: PeerManager
  readonly link: (id: number) => LinkPath
  readonly sessions: SessionRegistry
  readonly alerts: AlertList
  readonly incidents: Incidents
  readonly registration: Registration
  readonly logs: LogRoot
  readonly network: () => NetworkPath | undefined
  /** The registry changed in this SAE: cached identities and decisions are void. */
  readonly registryChanged: (id: SaeId) => void
  /** Ends the process after a zeroization. */
  readonly end: () => void
}

const routeOf = ({ traits }: Pool | LocalPool): string =>
  traits.route === 'relayed' ? `relayed over ${traits.paths === 1 ? 'one path' : `${traits.paths} paths`}${traits.hybrid ? ', hybrid' : ''}` : traits.route

const iso = (ms: number): string => new Date(ms).toISOString()

const released = (still: string): ReleaseView => ({ done: true, still })

/** What operators may see and do, over the running parts. */
export class Operations implements AdminPort {
  constructor (private readonly d: OperationsDeps) {}

  private get pools_ (): (Pool | LocalPool)[] {
    return [...this.d.keyspace.now.all.values()]
  }

  status (): StatusView {
    const { d } = this
    const supervisor = d.supervisor()
    return {
      kme: d.config.kme.id, version: d.version, startedAt: iso(d.startedMs), uptimeS: Math.round((d.clock.wallMs() - d.startedMs) / 1_000),
      incarnation: d.keyspace.now.store.start.number, state: supervisor.state, parts: [...supervisor.board.list(), ...d.network()?.control.states() ?? []],
      pools: this.pools_.length, links: d.config.links.length, peers: d.config.peers.length, saes: d.sessions.size, alertsActive: d.alerts.activeCount,
    }
  }

  health (): HealthView {
    const { d } = this
    const reasons: string[] = []
    if (!d.keyspace.isOpen) reasons.push('the store is not open')
    else {
      if (!d.keyspace.accepting) reasons.push('the KME is stopping')
      if (d.supervisor().board.state('rest') !== 'listening') reasons.push('the REST server is not listening')
      const blocked = this.pools_.filter((p) => p.kind === 'direct').map((p) => [p.core.pool, p.core.held === '' ? p.blocked() : `held (${p.core.held})`] as const).filter(([, why]) => why !== '')
      for (const [pool, why] of blocked) reasons.push(`pool ${pool}: ${why}`)
      for (const p of this.pools_) if (p.kind === 'direct' && p.pads.left('mine') < TAG_PAD_BYTES) reasons.push(`pool ${p.core.pool}: no bits are left to authenticate messages`)
    }
    return { live: true, ready: reasons.length === 0, reasons }
  }

  pools (): PoolView[] { return this.pools_.map((pool) => this.poolView(pool)) }

  private poolView (pool: Pool | LocalPool): PoolView {
    const { core, lane } = pool
    const remote = core.deps.remote, id = partIds.pool(core.pool)
    const { board } = this.d.supervisor()
    const context = board.context(id) as PoolContext | undefined
    const stockBits = lane.freeBytes(core.ready || pool.kind === 'local') * 8
    const emptyMs = context === undefined ? Infinity : timeToEmptyMs(context.flow, stockBits)
    const blocks = [...core.blocks.values()].filter((b) => b.purpose === 'app')
    return {
      id, remote, state: board.state(id), local: pool.kind === 'local',
      stockBits, stockMaxBits: core.deps.limits.maxStockBytes * 8,
      supplyBitsPerS: Math.round(context?.flow.supplyBitsPerS ?? 0), consumptionBitsPerS: Math.round(context?.flow.consumptionBitsPerS ?? 0),
      timeToEmptyS: Number.isFinite(emptyMs) ? Math.round(emptyMs / 1_000) : null, route: routeOf(pool), note: this.noteOf(core.pool),
      lanes: [
        { lane: 0, own: true, blocks: blocks.filter((b) => b.owner === 'mine').length, leasedBytes: core.account.leased, horizon: core.meta.horizonMine, cursor: lane.cursorIndex },
        ...(pool.kind === 'local' ? [] : [{ lane: 0, own: false, blocks: blocks.filter((b) => b.owner === 'theirs').length, leasedBytes: 0, horizon: core.meta.horizonTheirs, cursor: 0 }]),
      ],
    }
  }

  /** What a relayed pool waits for, and whether it came by itself. */
  private noteOf (pool: string): string {
    const entry = this.d.keyspace.now.relayed.get(pool), network = this.d.network()
    if (entry === undefined || network === undefined) return ''
    return [entry.isKept ? '' : 'by itself', network.note(entry)].filter((text) => text !== '').join('; ')
  }

  links (): LinkView[] {
    const { config, supervisor, link } = this.d
    return config.links.map(({ id, peer }) => {
      const context = supervisor().board.context(partIds.link(id)) as LinkContext | undefined
      return {
        id: partIds.link(id), remote: peer, state: supervisor().board.state(partIds.link(id)), qber: link(id).lastQber,
        keyBitsPerS: Math.round(link(id).rate.perSecond() * 8), mismatchesInARow: context?.mismatches ?? 0, quarantineCause: context?.cause ?? null,
      }
    })
  }

  peers (): PeerView[] {
    const { config, supervisor, peers, keyspace } = this.d
    return config.peers.map(({ kme, url }) => {
      const status = peers.status(kme)
      const pool = keyspace.now.pools.get(kme)!
      const context = supervisor().board.context(partIds.peer(kme)) as PeerContext | undefined
      return {
        id: kme, state: supervisor().board.state(partIds.peer(kme)), url: url ?? null, attempt: (context as { attempt?: number } | undefined)?.attempt ?? 0,
        incarnation: status.incarnation === 0 ? null : status.incarnation, outbox: pool.core.outbox.size, reserveBytes: pool.pads.left('mine'), held: pool.core.held,
      }
    })
  }

  devices (): DeviceView[] {
    const { config, supervisor, link } = this.d
    return config.links.map((settings) => {
      const { id } = settings, { source, lastQber } = link(id), view = source?.view()
      const context = supervisor().board.context(partIds.device(id)) as { epoch?: string, reason?: string } | undefined
      return {
        id: partIds.device(id), link: partIds.link(id), state: supervisor().board.state(partIds.device(id)), epoch: context?.epoch ?? null,
        kind: deviceKinds.find((kind) => settings[kind] !== undefined) ?? '', qber: lastQber, waitingFrames: view?.waitingFrames ?? 0, quarantine: view?.quarantine ?? '',
        counters: source?.counters() ?? {}, lastFault: context?.reason === undefined || context.reason === '' ? null : context.reason,
      }
    })
  }

  saes (after: string | undefined, limit: number): SaePage {
    const { keyspace, config } = this.d
    const registered = new Map(listSaes(keyspace.now.store.kv).map((row) => [row.id, row]))
    const ids = [...new Set([...registered.keys(), ...config.saes.map((s) => s.id)])].sort().filter((id) => after === undefined || id > after)
    const page = ids.slice(0, limit).map((id) => this.saeView(id, registered.get(id)))
    return { saes: page, next: ids.length > limit ? page.at(-1)?.id ?? null : null }
  }

  private saeView (id: SaeId, row: SaeRow | undefined): SaeView {
    const { keyspace, config, sessions } = this.d, kme = keyspace.now.directory.whereIs(id) ?? config.kme.id
    return {
      id, kme, state: row?.status === 'requested' ? 'requested' : kme === config.kme.id ? sessions.stateName(id) : 'elsewhere',
      registeredAt: row === undefined ? null : iso(row.createdMs), note: row?.note ?? null,
      associations: this.pools_.reduce((sum, p) => sum + p.associations.countOf(id), 0),
    }
  }

  account (): AccountView {
    const pools = this.pools_.map((pool) => accountOf(pool))
    return { pools, differenceBits: pools.reduce((sum, p) => sum + p.differenceBits, 0) }
  }

  alerts (): ReturnType<AlertList['list']> { return this.d.alerts.list() }

  topology (): TopologyView {
    return this.d.network()?.routing.router.topology() ?? { self: this.d.config.kme.id, nodes: [{ kme: this.d.config.kme.id, saes: this.d.sessions.size, announced: null }], links: [], routes: [] }
  }

  // --- acts ---------------------------------------------------------------------------------------------------------

  async addSae (sae: NewSae): Promise<SaeView> {
    await this.storeActive(sae)
    this.decided(sae.id, false)
    return this.saeView(sae.id, getSae(this.d.keyspace.now.store.kv, sae.id))
  }

  /** The SAE is known when this returns, and on disk when the promise resolves: for one that is registered by its request, which is answered at once. */
  async registerNow (sae: NewSae): Promise<void> {
    const stored = this.storeActive(sae)
    if (getSae(this.d.keyspace.now.store.kv, sae.id)?.status === 'active') this.decided(sae.id, false)
    await stored
  }

  /** Seen in the store when this returns. */
  private storeActive ({ id, name }: NewSae): Promise<number> {
    const { kv } = this.d.keyspace.now.store, note = name === undefined ? {} : { note: name }
    return getSae(kv, id)?.status === 'requested' ? changeSae(kv, id, { status: 'active', ...note }) : addSae(kv, { id, status: 'active', createdMs: this.d.clock.wallMs(), ...note })
  }

  private decided (id: SaeId, suspended: boolean): void {
    this.d.sessions.register({ id, issuer: '', suspended })
    this.d.registration.settled(id)
    this.d.registryChanged(id)
  }

  async approveSae (id: SaeId): Promise<void> {
    if (getSae(this.d.keyspace.now.store.kv, id)?.status !== 'requested') throw new KmeError('NOT_FOUND', `SAE ${id} has not asked to be registered`)
    const kme = this.d.keyspace.now.directory.elsewhere(id)
    if (kme !== undefined) throw new KmeError('BAD_REQUEST', `SAE ${id} is served by ${kme}: remove it there, or, if it is yours all the same, qkme sae add`)
    await this.change(id, 'active')
  }

  suspendSae (id: SaeId): Promise<void> { return this.change(id, 'suspended') }
  resumeSae (id: SaeId): Promise<void> { return this.change(id, 'active') }

  /** An SAE of the configuration has no row until an operator first acts on it. */
  private async change (id: SaeId, status: 'active' | 'suspended' | 'revoked'): Promise<void> {
    const { keyspace, config, clock } = this.d
    const { kv } = keyspace.now.store
    if (getSae(kv, id) !== undefined) await changeSae(kv, id, { status })
    else if (config.saes.some((s) => s.id === id && (s.kme === undefined || s.kme === config.kme.id))) await addSae(kv, { id, status, createdMs: clock.wallMs() })
    else throw new KmeError('NOT_FOUND', `SAE ${id} is not known here`)
    this.decided(id, status === 'suspended')
  }

  async removeSae (id: SaeId): Promise<void> {
    await this.change(id, 'revoked')
    this.d.sessions.tell(id, { type: 'session.revoke', reason: 'removed by an operator' })
    for (const pool of this.pools_) {
      pool.associations.removeSae(id)
      pool.named?.offers.removeMaster(id)
    }
  }

  private poolById (id: string): Pool | LocalPool {
    const pool = this.pools_.find((p) => p.core.pool === id || partIds.pool(p.core.pool) === id)
    if (pool === undefined) throw new KmeError('NOT_FOUND', `there is no pool ${id}`)
    return pool
  }

  async replenish (id: string): Promise<void> {
    const problem = this.poolById(id).replenish()
    if (problem !== '') throw new KmeError('BUSY', problem)
  }

  async resumePool (id: string): Promise<ReleaseView> {
    const { core } = this.poolById(id), part = partIds.pool(core.pool)
    if (!this.d.supervisor().board.send(part, { type: 'pool.resume' })) throw new KmeError('BUSY', `pool ${id} is not running`)
    return released(core.held === '' ? '' : `on hold (${core.held}): it ends by qkme peer release at each KME that holds it`)
  }

  frameHeaders (id: string): FrameHeaderView[] {
    const device = this.d.config.links.find((l) => partIds.device(l.id) === id || String(l.id) === id)
    if (device === undefined) throw new KmeError('NOT_FOUND', `there is no device ${id}`)
    const { source } = this.d.link(device.id)
    if (source === undefined) throw new KmeError('BUSY', `device ${id} is not open`)
    return readFrameHeaders(source)
  }

  async releaseLink (id: string): Promise<ReleaseView> {
    const link = this.tellLink(id, 'link.release'), { peer } = this.d.config.links.find((l) => l.id === link)!
    await this.d.incidents.note('release', `link ${link}`, '')
    return released(this.d.link(link).heldThere ? `held by ${peer} until it is released there` : '')
  }

  async holdLink (id: string, reason: string): Promise<void> {
    const link = this.tellLink(id, 'link.hold')
    await this.d.incidents.note('hold', `link ${link} (with ${this.d.config.links.find((l) => l.id === link)!.peer})`, reason)
  }

  async holdPeer (peer: KmeId, reason: string): Promise<void> {
    for (const pool of this.poolsWithPeer(peer)) pool.holds.hold(reason)
    await this.d.incidents.note('hold', `peer ${peer}`, reason)
  }

  async releasePeer (peer: KmeId): Promise<ReleaseView> {
    const pools = this.poolsWithPeer(peer)
    for (const pool of pools) pool.holds.hold('')
    await this.d.incidents.note('release', `peer ${peer}`, '')
    const there = pools.find((pool) => pool.holds.there !== '')?.holds.there
    return released(there === undefined ? '' : `held by ${peer} (${there}) until it is released there`)
  }

  /** Direct and relayed ones. */
  private poolsWithPeer (peer: KmeId): Pool[] {
    const pools = this.pools_.flatMap((p) => p.kind !== 'local' && p.core.deps.remote === peer ? [p as Pool] : [])
    if (pools.length === 0) throw new KmeError('NOT_FOUND', `there is no pool with ${peer}`)
    return pools
  }

  voidKeys (request: VoidRequest): Promise<VoidView> { return this.d.incidents.void(request) }
  incidents (): IncidentView[] { return this.d.incidents.list() }
  incident (id: string): IncidentView { return this.d.incidents.get(id) }

  private tellLink (id: string, type: string): number {
    const link = this.d.config.links.find((l) => partIds.link(l.id) === id || String(l.id) === id)
    if (link === undefined) throw new KmeError('NOT_FOUND', `there is no link ${id}`)
    if (!this.d.supervisor().board.send(partIds.link(link.id), { type })) throw new KmeError('BUSY', `link ${id} is not running`)
    return link.id
  }

  async restartPart (part: string): Promise<void> {
    if (!this.d.supervisor().lost.includes(part)) throw new KmeError('NOT_FOUND', `${part} is not a part that was given up`)
    this.d.supervisor().restartPart(part)
  }

  async retirePeer (peer: KmeId): Promise<void> {
    for (const pool of this.poolsWithPeer(peer)) pool.void('retired by an operator')
    await this.d.keyspace.now.store.kv.flushed()
  }

  async zeroize (): Promise<void> {
    await this.d.keyspace.zeroize()
    this.d.end()
  }

  logLevels (): Record<string, LogLevel> { return this.d.logs.levels() }

  setLogLevels (levels: Readonly<Record<string, LogLevel>>): void {
    try {
      this.d.logs.setLevels(levels)
    } catch (cause) { throw new KmeError('BAD_REQUEST', (cause as Error).message, { cause }) }
  }
}
