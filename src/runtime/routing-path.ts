import type { Config } from '../config/schema.js'
import type { TrustStore } from '../crypto/trust.js'
import { invariant, KmeError } from '../kernel/errors.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { Body } from '../peer/messages.js'
import type { PeerPart } from '../peer/parts.js'
import type { PeerChannel } from '../peer/ports.js'
import { Rate } from '../pool/rate.js'
import { Malformed } from '../routing/bytes.js'
import type { LinkState, RoutingAlarm, SendResult } from '../routing/ports.js'
import { defaultRouterOptions, Router } from '../routing/router.js'
import { createJudge, createSigner } from '../routing/signing.js'

/** What routing sees of a pool with a neighbour. */
export interface RoutedPool {
  /** The channel is ready and the pool neither suspended nor void. */
  readonly isUsable: boolean
  /** Bytes of our own lane that can be spent. */
  readonly stockBytes: number
  /** All bytes that devices brought, ever. */
  readonly ingestedBytes: number
}

/** What routing tells and asks of the directory of SAEs. */
export interface RoutedDirectory {
  ownSaes (): { readonly generation: number, readonly saes: readonly SaeId[] }
  /** Lists that were announced, kept over restarts. */
  remembered (): Iterable<readonly [KmeId, readonly SaeId[]]>
  announced (kme: KmeId, saes: readonly SaeId[]): void
}

export interface RoutingPathDeps {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Judges certificates of KMEs. */
  readonly trust: Pick<TrustStore, 'check'>
  /** Number of this start. */
  readonly incarnation: number
  /** This KME makes hybrid keys. */
  readonly hybrid: boolean
  readonly pool: (kme: KmeId) => RoutedPool | undefined
  /** State of a QKD link's machine (machines/link.ts). */
  readonly linkState: (link: number) => string
  readonly directory: RoutedDirectory
}

const TICK_MS = 250
const RATE_TAU_MS = 60_000

/**
 * Routing in the running KME: gives the router its neighbours' channels, and once a tick what pools, links and the registry have
 * become; gives the directory the SAEs of KMEs far away. Exists while the store is open, if there is a peer certificate.
 */
export class RoutingPath {
  readonly router: Router
  private readonly channels = new Map<KmeId, PeerChannel>()
  private readonly rates = new Map<KmeId, { readonly rate: Rate, ingestedBytes: number }>()
  private readonly states = new Map<KmeId, LinkState>()
  private readonly neighbours: ReadonlySet<KmeId>
  private saeGeneration = -1
  private timer: Cancel | undefined

  /** @throws KmeError `CERTIFICATE_INVALID`. */
  constructor (private readonly d: RoutingPathDeps) {
    const { config, clock, random } = d, { routing } = config.network
    this.neighbours = new Set(config.peers.map((peer) => peer.kme))
    this.router = new Router({
      ...defaultRouterOptions, self: config.kme.id, incarnation: d.incarnation, capabilities: { transit: routing.transit, hybrid: d.hybrid },
      refreshMs: routing.announceMs, changeMs: routing.changeMs, damping: { ...defaultRouterOptions.damping, holdMs: routing.holdMs, holdMaxMs: routing.holdMaxMs },
      policy: { forbidden: routing.forbidden, routes: routing.routes, stickiness: routing.stickiness },
      pins: new Map(config.saes.filter((sae) => sae.kme !== undefined).map((sae) => [sae.id, sae.kme!])),
    }, { clock, random, signer: signerOf(config), judge: createJudge(d.trust), send: (neighbour, packet) => this.send(neighbour, packet), alarm: this.alarm })
    for (const [kme, saes] of d.directory.remembered()) this.router.remember(kme, saes)
    this.router.subscribe(({ saes }) => { this.learn(saes) })
  }

  start (): void {
    this.look()
    this.router.start()
    this.later()
  }

  close (): void {
    this.timer?.()
    this.router.stop()
  }

  /** Routing's part of a neighbour's channel. */
  part (neighbour: KmeId): PeerPart {
    return {
      names: ['linkState'],
      onReady: (channel) => { this.channels.set(neighbour, channel); this.look(); this.router.connected(neighbour) },
      onClosed: () => { this.channels.delete(neighbour); this.router.disconnected(neighbour); this.look() },
      onWritable: () => { this.router.writable(neighbour) },
      onMessage: (_name, body) => { this.receive(neighbour, (body as Body<'linkState'>).packet) },
    }
  }

  /** Takes a renewed certificate into use. @throws KmeError `CERTIFICATE_INVALID`; the old one stays in use. */
  reload (): void { this.router.renew(signerOf(this.d.config)) }

  /** Trust anchors or revocation lists changed. */
  recheck (): void { this.router.recheck() }

  private receive (neighbour: KmeId, packet: Uint8Array): void {
    try {
      this.router.receive(neighbour, packet)
    } catch (error) {
      if (error instanceof Malformed) throw new KmeError('PROTOCOL', `link state refused: ${error.message}`, { cause: error })
      throw error
    }
  }

  private send (neighbour: KmeId, packet: Uint8Array): SendResult { return this.channels.get(neighbour)?.send('linkState', { packet }) ?? 'closed' }

  private readonly alarm: RoutingAlarm = (event, about, detail) => {
    this.d.log.security({ category: 'peer', severity: event === 'routing.flooding' ? 'medium' : 'high', event, subject: about, outcome: 'refused', fields: { detail } })
  }

  // --- what is -------------------------------------------------------------------------------------------------------

  private later (): void { this.timer = this.d.clock.after(TICK_MS, () => { this.look(); this.later() }) }

  private look (): void {
    for (const neighbour of this.neighbours) {
      const pool = this.d.pool(neighbour)
      if (pool === undefined) continue
      const state = this.stateOf(neighbour, pool)
      if (this.states.get(neighbour) !== state) this.d.log.info('a link, as the network is to see it', { kme: neighbour, before: this.states.get(neighbour) ?? '', now: state })
      this.states.set(neighbour, state)
      this.router.report(neighbour, { stockBytes: pool.stockBytes, bytesPerS: this.rateOf(neighbour, pool.ingestedBytes), state })
    }
    const { generation, saes } = this.d.directory.ownSaes()
    if (generation === this.saeGeneration) return
    this.saeGeneration = generation
    const problem = this.router.serve(saes)
    if (problem !== '') this.d.log.error('SAEs cannot be announced to the network', { problem })
  }

  /** Each side owns about half of what the devices bring. */
  private rateOf (neighbour: KmeId, ingestedBytes: number): number {
    let known = this.rates.get(neighbour)
    if (known === undefined) this.rates.set(neighbour, known = { rate: new Rate(this.d.clock, RATE_TAU_MS), ingestedBytes })
    known.rate.add(Math.max(0, ingestedBytes - known.ingestedBytes) / 2)
    known.ingestedBytes = ingestedBytes
    return known.rate.perSecond()
  }

  /** Stock outlives a device that is away; but nothing is relayed over a link whose last word is that somebody listens. */
  private stateOf (neighbour: KmeId, pool: RoutedPool): LinkState {
    if (!pool.isUsable || !this.channels.has(neighbour)) return 'down'
    const states = this.d.config.links.filter((link) => link.peer === neighbour).map((link) => this.d.linkState(link.id))
    if (states.length > 0 && states.every((state) => state.startsWith('quarantined'))) return 'down'
    return states.some((state) => state.startsWith('up')) ? 'up' : 'degraded'
  }

  /** Neighbours tell their SAEs themselves (message saes); those of KMEs far away come from announcements. */
  private learn (kmes: readonly KmeId[]): void {
    for (const kme of kmes) if (!this.neighbours.has(kme)) this.d.directory.announced(kme, this.router.saesOf(kme))
  }
}

const signerOf = (config: Config) => {
  const { tls } = config.peering
  invariant(tls !== undefined, 'routing needs a peer certificate')
  return createSigner(tls.certificate, tls.key)
}
