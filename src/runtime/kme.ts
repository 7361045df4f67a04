import { alertBegins, type AlertEdge } from '../../machines/part.js'
import { apiPageRoutes } from '../admin/api-page.js'
import { AdminHandler } from '../admin/handler.js'
import { AlertList } from '../admin/alerts.js'
import { MetricRegistry } from '../admin/metrics.js'
import { operatorCheck } from '../admin/operators.js'
import type { OperatorAudit, Role } from '../admin/port.js'
import { adminRoutes } from '../admin/routes.js'
import { AdminServer } from '../admin/server.js'
import type { Config } from '../config/schema.js'
import { checkRandomSource } from '../crypto/health.js'
import type { HttpCounters } from '../http/counters.js'
import { openApiDocument } from '../http/openapi.js'
import { KmeError } from '../kernel/errors.js'
import type { SaeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock, Soon } from '../kernel/time.js'
import type { PeerManager } from '../peer/manager.js'
import { joinParts } from '../peer/parts.js'
import type { PeerHandler } from '../peer/ports.js'
import { ExtensionRegistry } from '../pool/extensions.js'
import type { Pool } from '../pool/pool.js'
import type { PoolEvent } from '../pool/ports.js'
import { listSaes } from '../store/saes.js'
import type { StartServer } from './server-shell.js'
import { readHttpsTls } from './admin-tls.js'
import { AlertSenders } from './alert-senders.js'
import { registerMetrics } from './kme-metrics.js'
import { watchExpiry } from './expiry.js'
import { Incidents } from './incidents.js'
import { Keyspace } from './keyspace.js'
import { LinkPath } from './link-path.js'
import { registerNetworkMetrics } from './network-metrics.js'
import { NetworkPath } from './network-path.js'
import { Operations } from './operations.js'
import { createParts, partIds, poolPart } from './parts.js'
import { createPeers } from './peers-start.js'
import type { LogRoot } from './pino-log.js'
import { PoolPath } from './pool-path.js'
import { createRestStart, keyLimitsOf } from './rest-start.js'
import { Registration } from './registration.js'
import { registerRoutingMetrics } from './routing-metrics.js'
import { SessionRegistry } from './sessions.js'
import { createStoreEffects } from './store-shell.js'
import { Supervisor } from './supervisor.js'
import { openTrustStores, watchTrustStores, type TrustStores } from './trust-stores.js'
import { storeMachine } from '../../machines/store.js'

export interface KmeOptions {
  readonly config: Config
  readonly version: string
  readonly clock: Clock
  readonly soon: Soon
  readonly random: Random
  readonly logs: LogRoot
}

/** How long the end of the process waits for its last alerts to be sent. */
const ALERTS_GRACE_MS = 3_000

/** One life of a KME in this process: everything is made, started, stopped and thrown away together. */
export class Kme {
  readonly supervisor: Supervisor
  readonly keyspace: Keyspace
  private readonly log: Log
  private readonly peers: PeerManager
  private readonly links = new Map<number, LinkPath>()
  private readonly pools = new Map<string, PoolPath>()
  private readonly sessions: SessionRegistry
  private readonly alerts: AlertList
  private readonly senders: AlertSenders
  private readonly metrics = new MetricRegistry()
  private readonly operations: Operations
  private readonly incidents: Incidents
  private readonly registration: Registration
  private httpCounters: HttpCounters | undefined
  /** While the store is open, if this KME has a peer certificate. */
  private network: NetworkPath | undefined
  private readonly handlers = new WeakMap<Pool, PeerHandler>()
  private stopWatching: Cancel = () => {}

  /** @throws KmeError `CERTIFICATE_INVALID`, `ADDON_MISSING`, `MEMORY_NOT_LOCKED`, `RANDOM_FAILED`. */
  static async make (options: KmeOptions): Promise<Kme> {
    checkRandomSource(options.random)
    return new Kme(options, await openTrustStores(options.config, options.clock, options.random))
  }

  private constructor (private readonly o: KmeOptions, private readonly trust: TrustStores) {
    const { config, clock, random, logs } = o
    this.log = logs.log('runtime')
    this.alerts = new AlertList(clock)
    this.alerts.onEdge((view) => { this.log.warn(view.active ? 'alert begins' : 'alert ends', { alert: view.id, subject: view.subject, severity: view.severity, text: view.message }) })
    this.senders = new AlertSenders(config, clock, logs.log('runtime'))
    this.alerts.onEdge((view) => { this.senders.push(view) })
    this.sessions = new SessionRegistry({
      clock, alert: (edge) => { this.alert(edge) },
      security: (edge) => { logs.log('session').security({ category: 'authorisation', severity: edge.severity, event: edge.event, subject: edge.subject, outcome: 'detected', fields: { detail: edge.detail } }) },
    })
    this.keyspace = new Keyspace({
      config, clock, random, log: logs.log('store'), soon: o.soon, recordsWaiting: () => this.network?.isBusy === true || [...this.links.values()].some((l) => l.isWaiting), onPoolEvent: (pool, event) => { this.onPoolEvent(pool, event) },
      wanted: (kme, demand) => this.network?.automatic.wanted(kme, demand) ?? false,
    })
    this.peers = createPeers(config, trust.kmes, this.keyspace.vault, clock, random, logs.log('peer'), (kme) => this.handlerFor(kme), (edge) => { this.alert(edge) })
    this.incidents = new Incidents({ self: config.kme.id, clock, random, keyspace: this.keyspace, log: logs.log('runtime'), alert: (edge) => { this.alert(edge) } })
    this.registration = new Registration({
      policy: config.policy.unregistered, clock, log: logs.log('session'), kv: () => this.keyspace.now.store.kv, alert: (edge) => { this.alert(edge) }, register: (id, name) => this.operations.registerNow({ id, name }),
      elsewhere: (id) => this.keyspace.now.directory.elsewhere(id),
    })
    this.operations = new Operations({
      config, version: o.version, clock, startedMs: clock.wallMs(), keyspace: this.keyspace, supervisor: () => this.supervisor, peers: this.peers,
      link: (id) => this.link(id), sessions: this.sessions, alerts: this.alerts, incidents: this.incidents, registration: this.registration, logs, network: () => this.network, registryChanged: (id) => { this.registryChanged(id) },
      end: () => { clock.after(100, () => { this.supervisor.force() }) },
    })
    const parts = createParts({
      config, clock, random, link: (id) => this.link(id), pool: (kme) => this.pool(kme), peers: this.peers,
      startRest: createRestStart({
        config, clock, log: logs.log('rest'), service: () => this.keyspace.now.service, identity: trust.saes, sessions: { state: (sae, issuer) => this.sessionOf(sae, issuer) },
        started: (counters) => { if (this.httpCounters === undefined) counters.announce(this.metrics); this.httpCounters = counters },
      }),
      startAdmin: this.startAdmin,
    })
    const storePort = {
      open: async () => { await this.keyspace.open(); this.registerSaes(); this.registration.start(); this.incidents.start(); await this.openNetwork(); await this.peers.start() },
      close: async () => { this.incidents.stop(); this.peers.stop(); this.network?.close(); this.network = undefined; await this.keyspace.close() }, watch: this.keyspace.watch.bind(this.keyspace),
    }
    this.supervisor = new Supervisor({ clock, log: this.log, alert: (edge) => { this.alert(edge) }, store: storeMachine.provide({ actors: { effects: createStoreEffects(storePort) } }), parts })
    registerMetrics(this.metrics, { keyspace: this.keyspace, supervisor: this.supervisor, peers: this.peers, config, logs, links: () => this.links, sessions: this.sessions, alerts: this.alerts, otherParts: () => this.network?.control.states() ?? [] })
    this.senders.registerMetrics(this.metrics)
    this.incidents.registerMetrics(this.metrics)
    registerRoutingMetrics(this.metrics, () => this.network?.routing)
    registerNetworkMetrics(this.metrics, () => this.network)
  }

  // --- life -----------------------------------------------------------------------------------------------------------

  start (): void {
    this.supervisor.start()
    const stopTrust = watchTrustStores(this.trust, this.o.config, this.log, (edge) => { this.alert(edge) }, () => { this.peers.recheck(); this.network?.recheck(); this.supervisor.reload() })
    const stopExpiry = watchExpiry(this.o.config, this.trust, this.o.clock, (edge) => { this.alert(edge) })
    this.stopWatching = () => { stopTrust(); stopExpiry() }
  }

  /** Clean stop: no new requests, byes, flush. The end comes as `supervisor.ended`. */
  stop (): void {
    this.keyspace.accepting = false
    this.network?.stopPools()
    this.supervisor.stop()
  }

  /** Takes certificates, keys and revocation lists from their files again. */
  reload (): void {
    for (const [name, store] of Object.entries(this.trust)) store?.reload().catch((error: unknown) => { this.log.error('trust anchors cannot be read', { store: name, error }) })
    try { this.peers.reload(); this.network?.reload() } catch (error) { this.log.error('the peer certificate cannot be renewed', { error }) }
    this.supervisor.reload()
  }

  /** Wipes all key; then alerts that are on their way have a moment to arrive. */
  async dispose (): Promise<void> {
    this.stopWatching()
    this.sessions.stop()
    this.peers.stop()
    this.keyspace.vault.zeroize()
    await this.senders.finish(ALERTS_GRACE_MS)
  }

  // --- parts ------------------------------------------------------------------------------------------------------------

  private link (id: number): LinkPath {
    let path = this.links.get(id)
    if (path === undefined) {
      const config = this.o.config.links.find((l) => l.id === id)!
      this.links.set(id, path = new LinkPath({
        link: config, keyspace: this.keyspace, clock: this.o.clock, log: this.o.logs.log('link'), self: this.o.config.kme.id,
        stateFolder: this.o.config.folders.state,
      }))
    }
    return path
  }

  private pool (kme: string): PoolPath {
    let path = this.pools.get(kme)
    if (path === undefined) {
      this.pools.set(kme, path = new PoolPath(this.keyspace.now.all.get(kme)!))
    }
    return path
  }

  /** Everything that shares a neighbour's channel: its pool, and what goes to KMEs behind it. */
  private handlerFor (kme: string): PeerHandler | undefined {
    const pool = this.keyspace.isOpen ? this.keyspace.now.pools.get(kme) : undefined
    if (pool === undefined) return undefined
    let handler = this.handlers.get(pool)
    if (handler === undefined) this.handlers.set(pool, handler = joinParts(pool, this.network?.parts(kme) ?? []))
    return handler
  }

  private async openNetwork (): Promise<void> {
    const { config, clock, random, logs } = this.o
    if (config.peering.tls === undefined || this.trust.kmes === undefined) return
    this.network = new NetworkPath({
      config, clock, random, log: logs.log('peer'), trust: this.trust.kmes, keyspace: this.keyspace, alert: (edge) => { this.alert(edge) },
      linkState: (link) => this.supervisor.board.state(partIds.link(link)),
      actors: { board: this.supervisor.board, part: (pool) => poolPart({ config, clock, pool: (id) => this.pool(id) }, pool) }, poolGone: (pool) => { this.pools.delete(pool) },
    })
    await this.network.start()
  }

  private onPoolEvent (kme: string, event: PoolEvent): void {
    if (event.type === 'link.mismatch') this.links.get(event.link)?.tell({ type: 'link.mismatch' })
    else if (event.type === 'link.confirmed') this.links.get(event.link)?.tell({ type: 'link.confirmed' })
    else if (event.type === 'frames.wanted') this.links.get(event.link)?.want(event.frames)
    else if (event.type === 'link.heldThere') this.links.get(event.link)?.tell(event)
    else if (event.type === 'keys.voided') this.incidents.told(event)
    else if (event.type === 'store.rolledBack') this.onRolledBack(kme, event.reason)
    else if (event.type === 'security' && event.event === 'peer.copy') this.alert(alertBegins('peer.copy', kme, 'critical', `${event.detail}. Nothing is served with ${kme} until one of them is stopped`))
    else this.pools.get(kme)?.told(event)
  }

  /** The pool with that peer is void already; whether the rest of the store is old, too, only an operator can know. */
  private onRolledBack (kme: string, reason: string): void {
    this.log.security({ category: 'store', severity: 'critical', event: 'store.rolledBack', subject: kme, outcome: 'detected', fields: { reason } })
    this.alert(alertBegins('store.rolledBack', kme, 'critical', `${reason}. The pool with ${kme} was voided. If this store was restored from a copy, void the other pools, too; if not, ${kme} does not tell the truth`))
  }

  private alert (edge: AlertEdge): void { this.alerts.take(edge) }

  // --- SAEs -------------------------------------------------------------------------------------------------------------

  private registerSaes (): void {
    const { config } = this.o
    for (const { id, kme } of config.saes) if (kme === undefined || kme === config.kme.id) this.sessions.register({ id, issuer: '', suspended: false })
    for (const row of listSaes(this.keyspace.now.store.kv)) {
      if (row.status === 'requested') continue
      this.sessions.register({ id: row.id, issuer: '', suspended: row.status === 'suspended' })
      if (row.status === 'revoked') this.sessions.tell(row.id, { type: 'session.revoke', reason: 'revoked in the registry' })
    }
  }

  private sessionOf (sae: string, issuer: string): ReturnType<SessionRegistry['state']> {
    const state = this.sessions.state(sae, issuer)
    return state === 'unregistered' && this.registration.asked(sae, issuer) ? this.sessions.state(sae, issuer) : state
  }

  private registryChanged (id: SaeId): void {
    this.keyspace.now.directory.changed(id)
    this.trust.saes.changed()
  }

  // --- admin ------------------------------------------------------------------------------------------------------------

  private readonly startAdmin: StartServer = async () => {
    const { config } = this.o
    const pages = { version: this.o.version, keyDocument: () => openApiDocument(this.o.version, keyLimitsOf(config), new ExtensionRegistry(), `${config.rest.publicHosts[0] ?? 'localhost'}:${config.rest.port}`) }
    const routes = adminRoutes({ port: this.operations, kmeId: config.kme.id, metrics: () => this.metrics.text() })
    const handler = new AdminHandler({
      routes: [...routes, ...apiPageRoutes(pages, routes)], audit: this.operatorAudit, log: this.o.logs.log('admin'),
    })
    const { https, socketPath, roles } = config.admin
    const server = await AdminServer.start({
      handler, log: this.o.logs.log('admin'), socketPath,
      https: https === undefined || this.trust.operators === undefined ? undefined : {
        host: https.host, port: https.port, readTls: readHttpsTls(https.tls), operators: operatorCheck((pem) => this.trust.operators!.check(pem), roles as readonly { operator: string, role: Role }[]),
        hosts: https.hosts, corsOrigins: https.corsOrigins,
      },
    })
    return { where: socketPath, reload: () => { server.renew() }, drain: () => server.drain(), close: () => { server.close() } }
  }

  /** Acts of operators stand in the audit trail and in the log. */
  private readonly operatorAudit: OperatorAudit = {
    record: async (act) => {
      this.o.logs.log('admin').security({
        category: 'operator', severity: act.outcome === 'refused' ? 'medium' : 'info', event: 'operator.act', subject: act.subject,
        outcome: act.outcome === 'refused' ? 'refused' : 'allowed', fields: { operator: act.operator, role: act.role, from: act.from, action: act.action, result: act.outcome, code: act.code },
      })
      if (!this.keyspace.isOpen) {
        if (act.outcome === 'begun') throw new KmeError('BUSY', 'the store is not open now, so an act could not be recorded, and is not done. Try again')
        return
      }
      if (!this.keyspace.accepting && act.outcome !== 'begun') return // All key is erased, or the process ends: what was begun is on record.
      const { audit, store } = this.keyspace.now
      audit.record({ kind: 'admin', caller: act.operator, other: `${act.action} ${act.subject} ${act.outcome}`.slice(0, 200), association: 0, block: 0, place: 0, sizeBytes: 0, number: 0 })
      audit.flush()
      await store.kv.flushed()
    },
  }
}
