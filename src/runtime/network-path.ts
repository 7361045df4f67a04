import type { AlertEdge } from '../../machines/part.js'
import type { Config } from '../config/schema.js'
import type { TrustStore } from '../crypto/trust.js'
import { HybridExchanges } from '../hybrid/exchanges.js'
import { defaultHybridLimits } from '../hybrid/exchange.js'
import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { PeerPart } from '../peer/parts.js'
import type { PeerHandler } from '../peer/ports.js'
import { AutomaticPools } from '../relay/automatic.js'
import { RelayDesk } from '../relay/desk.js'
import { defaultRelayLimits } from '../relay/limits.js'
import { FarEnds } from '../relay/far-ends.js'
import type { RelayQuery } from '../relay/ports.js'
import type { RelayedEntry } from '../relay/pools.js'
import { neighbourLane } from '../relay/relayed.js'
import { ControlPath } from './control-start.js'
import { nearest } from '../routing/nearest.js'
import { isBroken } from '../routing/ways.js'
import { automaticOf, type Keyspace } from './keyspace.js'
import { RelayActors, type RelayActorsDeps } from './relay-actors.js'
import { RoutingPath } from './routing-path.js'

export interface NetworkDeps {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly trust: TrustStore
  /** Its store is open. */
  readonly keyspace: Keyspace
  readonly alert: (edge: AlertEdge) => void
  /** For pools that come and go. */
  readonly actors: Pick<RelayActorsDeps, 'board' | 'part'>
  /** A pool is gone: nothing of it may be kept. */
  readonly poolGone: (pool: string) => void
  /** State of a QKD link's machine (machines/link.ts). */
  readonly linkState: (link: number) => string
}

const TICK_MS = 50
const LOOK_MS = 1_000
/** A far KME that refused a pool of the configuration is asked again. */
const RETRY_LOOKS = 15

/**
 * Everything beyond the neighbours: routing, control channels to far KMEs, hybrid exchanges, and the relay that fills the pools with
 * them. Exists while the store is open, if there is a peer certificate.
 */
export class NetworkPath {
  readonly routing: RoutingPath
  readonly control: ControlPath
  readonly relay: RelayDesk
  readonly hybrid: HybridExchanges
  readonly far: FarEnds
  readonly automatic: AutomaticPools
  private readonly actors: RelayActors
  private timer: Cancel = () => {}
  private looking: Cancel = () => {}
  private unsubscribe: Cancel = () => {}
  private looks = 0

  /** @throws KmeError `CERTIFICATE_INVALID`. */
  constructor (private readonly d: NetworkDeps) {
    const { config, clock, random, log, keyspace } = d, { store, pools, relayed, directory } = keyspace.now
    this.routing = new RoutingPath({
      config, clock, random, log, trust: d.trust, incarnation: store.start.number, hybrid: true, directory, linkState: d.linkState,
      pool: (kme) => {
        const pool = pools.get(kme)
        if (pool === undefined) return undefined
        const { core, relay } = pool
        return { isUsable: core.ready && core.isServing, stockBytes: Math.max(0, relay.freeBytes - config.network.relay.reserveBytes), ingestedBytes: core.account.ingested }
      },
    })
    const { router } = this.routing
    this.hybrid = new HybridExchanges({ self: config.kme.id, vault: keyspace.vault, clock, random, limits: defaultHybridLimits, security: this.security })
    const { reserveBytes, jobs, jobMs } = config.network.relay
    this.relay = new RelayDesk({
      self: config.kme.id, vault: keyspace.vault, keys: store.keys, clock, random, log, start: store.start.number, hybrid: this.hybrid, security: this.security,
      limits: { ...defaultRelayLimits, reserveBytes, jobsMax: jobs, jobMs },
      routes: { paths: (to, query) => this.paths(to, query), mayForward: (nodes) => router.mayForward(nodes), isBroken: (nodes) => isBroken(router, nodes) },
      neighbour: (kme) => { const pool = pools.get(kme); return pool === undefined ? undefined : neighbourLane(pool) },
    })
    this.actors = new RelayActors({ ...d.actors, clock, alert: d.alert })
    this.automatic = this.makeAutomatic()
    this.far = new FarEnds({
      self: config.kme.id, storeId: store.storeId, incarnation: store.start.number, nonce: store.start.nonce, pools: relayed, desk: this.relay,
      parts: (kme) => [this.hybrid.part(kme)], invite: (kme, cls) => this.automatic.invite(kme, cls),
      opened: (entry, isKept) => { if (entry.cls.hybrid) this.hybrid.want(entry.remote); this.automatic.opened(entry, isKept) },
      refused: (entry, reason, hasLeft) => { if (hasLeft) this.automatic.left(entry, reason); else this.automatic.refused(entry, reason) },
    })
    relayed.watch({
      added: (entry) => { this.far.add(entry); this.actors.start(entry.id) },
      dropped: (entry, reason) => {
        this.far.remove(entry, reason)
        this.actors.end(entry.id)
        if (entry.cls.hybrid && !relayed.with(entry.remote).some((other) => other.cls.hybrid)) this.hybrid.unwant(entry.remote)
        d.poolGone(entry.id)
      },
    })
    this.control = new ControlPath({ config, trust: d.trust, vault: keyspace.vault, clock, random, log, alert: d.alert, router, handlerFor: (kme) => this.handlerFor(kme), mayCall: (kme) => this.automatic.mayCall(kme) })
  }

  async start (): Promise<void> {
    this.routing.start()
    await this.control.start()
    this.unsubscribe = this.routing.router.subscribe(({ topology }) => { if (topology) this.relay.rerouted() }) // After the control channels, which carry its plans.
    for (const entry of this.d.keyspace.now.relayed.list()) {
      this.control.open(entry.remote)
      if (!entry.isKept) this.actors.start(entry.id) // Those of the configuration are parts of the root.
    }
    this.later()
    this.look()
  }

  /** The process stops: pools that came by themselves say goodbye, while there are channels for it. */
  stopPools (): void { this.actors.stop() }

  /** Why a relayed pool has no key just now, or ''. */
  note (entry: RelayedEntry): string { return this.relay.note(entry.id) || this.automatic.note(entry) }

  /** Parts of a neighbour's channel beside its pool. */
  parts (neighbour: KmeId): readonly PeerPart[] { return [this.routing.part(neighbour), this.control.part(neighbour), this.relay.part(neighbour)] }

  /** Sealed shares are in memory. */
  get isBusy (): boolean { return this.relay.isBusy }

  /** Relayed pools, however they came. */
  get poolCount (): number { return this.d.keyspace.now.relayed.list().length }

  /** Takes a renewed certificate into use. @throws KmeError `CERTIFICATE_INVALID`; the old one stays in use. */
  reload (): void {
    this.routing.reload()
    this.control.reload()
  }

  /** Trust anchors or revocation lists changed. */
  recheck (): void {
    this.routing.recheck()
    this.control.recheck()
  }

  close (): void {
    this.timer()
    this.looking()
    this.unsubscribe()
    this.actors.dispose()
    this.relay.stop('this KME is stopping')
    this.control.close()
    this.routing.close()
  }

  private later (): void { this.timer = this.d.clock.after(TICK_MS, () => { this.relay.tick(); this.later() }) }

  private paths (to: KmeId, { disjoint, excludeHops, avoid }: RelayQuery): readonly (readonly KmeId[])[] | string {
    const answer = this.routing.router.paths(to, { disjoint, excludeHops, avoid })
    return answer.ok ? answer.paths.map(({ nodes }) => nodes) : answer.message
  }

  private look (): void {
    this.looking = this.d.clock.after(LOOK_MS, () => {
      this.automatic.tick()
      if (++this.looks % RETRY_LOOKS === 0) this.far.retry()
      this.look()
    })
  }

  private makeAutomatic (): AutomaticPools {
    const { config, clock, keyspace, log } = this.d, { router } = this.routing
    const neighbours = new Set(config.peers.map((peer) => peer.kme))
    return new AutomaticPools(automaticOf(config), {
      self: config.kme.id, clock, pools: keyspace.now.relayed, isConnected: (kme) => this.far.isConnected(kme),
      known: () => nearest(router.graph, config.kme.id).filter((kme) => !neighbours.has(kme)),
      ways: (kme, disjoint) => this.paths(kme, { disjoint, excludeHops: [], avoid: [] }),
      openChannel: (kme) => { this.control.open(kme) }, closeChannel: (kme, why) => { this.control.end(kme, why); this.far.forget(kme) }, channels: () => this.control.peers.remotes,
      say: (what, fields) => { log.info(what, fields) },
    })
  }

  private handlerFor (kme: KmeId): PeerHandler | undefined {
    return this.d.keyspace.isOpen && this.automatic.mayCall(kme) ? this.far.handler(kme) : undefined
  }

  private readonly security = (event: string, subject: string, detail: string): void => {
    this.d.log.security({ category: 'peer', severity: 'high', event, subject, outcome: 'detected', fields: { detail } })
  }
}
