import type { AlertEdge } from '../../machines/part.js'
import type { Config } from '../config/schema.js'
import type { TrustStore } from '../crypto/trust.js'
import { HybridExchanges } from '../hybrid/exchanges.js'
import { defaultHybridLimits } from '../hybrid/exchange.js'
import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { joinParts, type PeerPart } from '../peer/parts.js'
import type { PeerHandler } from '../peer/ports.js'
import { RelayDesk } from '../relay/desk.js'
import { defaultRelayLimits } from '../relay/limits.js'
import type { RelayQuery } from '../relay/ports.js'
import { neighbourLane, RelayedEnd } from '../relay/relayed.js'
import { ControlPath } from './control-start.js'
import type { Keyspace } from './keyspace.js'
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
  /** State of a QKD link's machine (machines/link.ts). */
  readonly linkState: (link: number) => string
}

const TICK_MS = 50

/**
 * Everything beyond the neighbours: routing, control channels to far KMEs, hybrid exchanges, and the relay that fills the pools with
 * them. Exists while the store is open, if there is a peer certificate.
 */
export class NetworkPath {
  readonly routing: RoutingPath
  readonly control: ControlPath
  readonly relay: RelayDesk
  readonly hybrid: HybridExchanges
  private readonly far = new Map<KmeId, PeerHandler>()
  private timer: Cancel = () => {}

  /** @throws KmeError `CERTIFICATE_INVALID`. */
  constructor (private readonly d: NetworkDeps) {
    const { config, clock, random, log, keyspace } = d, { store, pools, relayed, directory } = keyspace.now
    this.routing = new RoutingPath({
      config, clock, random, log, trust: d.trust, incarnation: store.start.number, hybrid: true, directory, linkState: d.linkState,
      pool: (kme) => {
        const pool = pools.get(kme)
        if (pool === undefined) return undefined
        const { core, relay } = pool
        return { isUsable: core.ready && core.meta.suspended === '', stockBytes: Math.max(0, relay.freeBytes - config.network.relay.reserveBytes), ingestedBytes: core.account.ingested }
      },
    })
    const { router } = this.routing
    this.hybrid = new HybridExchanges({ self: config.kme.id, vault: keyspace.vault, clock, random, limits: defaultHybridLimits, security: this.security })
    const { reserveBytes, jobs, jobMs } = config.network.relay
    const ends = new Map(config.network.relay.pools.map(({ kme, stockBytes }) => [kme, new RelayedEnd(relayed.get(kme)!, stockBytes)]))
    this.relay = new RelayDesk({
      self: config.kme.id, vault: keyspace.vault, keys: store.keys, clock, random, start: store.start.number, hybrid: this.hybrid, security: this.security,
      limits: { ...defaultRelayLimits, reserveBytes, jobsMax: jobs, jobMs },
      routes: { paths: (to, query) => this.paths(to, query), mayForward: (nodes) => router.mayForward(nodes) },
      neighbour: (kme) => { const pool = pools.get(kme); return pool === undefined ? undefined : neighbourLane(pool) },
      relayed: (kme) => ends.get(kme),
    })
    for (const end of ends.values()) this.relay.add(end)
    this.control = new ControlPath({ config, trust: d.trust, vault: keyspace.vault, clock, random, log, alert: d.alert, router, handlerFor: (kme) => this.handlerFor(kme) })
  }

  async start (): Promise<void> {
    this.routing.start()
    await this.control.start()
    this.later()
  }

  /** Parts of a neighbour's channel beside its pool. */
  parts (neighbour: KmeId): readonly PeerPart[] { return [this.routing.part(neighbour), this.control.part(neighbour), this.relay.part(neighbour)] }

  /** Sealed shares are in memory. */
  get isBusy (): boolean { return this.relay.isBusy }

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
    this.relay.stop('this KME is stopping')
    this.control.close()
    this.routing.close()
  }

  private later (): void { this.timer = this.d.clock.after(TICK_MS, () => { this.relay.tick(); this.later() }) }

  private paths (to: KmeId, { disjoint, excludeHops, avoid }: RelayQuery): readonly (readonly KmeId[])[] | string {
    const answer = this.routing.router.paths(to, { disjoint, excludeHops, avoid })
    return answer.ok ? answer.paths.map(({ nodes }) => nodes) : answer.message
  }

  private handlerFor (kme: KmeId): PeerHandler | undefined {
    const pool = this.d.keyspace.isOpen ? this.d.keyspace.now.relayed.get(kme) : undefined
    if (pool === undefined) return undefined
    let handler = this.far.get(kme)
    if (handler === undefined) this.far.set(kme, handler = joinParts(pool, [this.hybrid.part(kme), this.relay.controlPart(kme)]))
    return handler
  }

  private readonly security = (event: string, subject: string, detail: string): void => {
    this.d.log.security({ category: 'peer', severity: 'high', event, subject, outcome: 'detected', fields: { detail } })
  }
}
