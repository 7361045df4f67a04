import { isEntityId, type KmeId, type SaeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import { isNewer, type Announcement, type AnnouncedLink } from './announcement.js'
import { Choice, type RoutePolicy } from './choice.js'
import { Credentials } from './credentials.js'
import { Database, type Held } from './database.js'
import { Flood } from './flood.js'
import { Graph } from './graph.js'
import { Locations } from './locations.js'
import { Origin, type OriginOptions } from './origin.js'
import { defaultPace, type Pace } from './outlet.js'
import type { Capabilities, NeighbourReport, PathAnswer, PathQuery, Routing, RoutingChange, RoutingPorts, Signer } from './ports.js'
import { defaultDamping } from './smoothing.js'
import { topologyOf, type Topology } from './topology.js'

export interface RouterOptions extends OriginOptions {
  readonly policy: RoutePolicy
  readonly pace: Pace
  /** Where the configuration says that SAEs are. */
  readonly pins: ReadonlyMap<SaeId, KmeId>
}

export const defaultRouterOptions: Omit<RouterOptions, 'self' | 'incarnation'> = {
  capabilities: { transit: true, hybrid: false }, refreshMs: 600_000, changeMs: 5_000, damping: defaultDamping, pace: defaultPace,
  policy: { forbidden: [], routes: [], stickiness: 0.3 }, pins: new Map(),
}

/** An alarm about the same thing is raised once in so long. */
const ALARM_MS = 60_000
const ALARMS_MAX = 4_096

/**
 * Routing of one KME: knows the network from signed announcements, tells it about this KME, and answers which way blocks go. Plain
 * code over ports; the runtime gives it the real ones, a simulation its own.
 */
export class Router implements Routing {
  readonly self: KmeId
  readonly graph = new Graph()
  readonly database = new Database()
  readonly locations: Locations
  readonly flood: Flood
  private readonly origin: Origin
  private readonly choice: Choice
  private readonly ports: RoutingPorts
  private readonly listeners = new Set<(change: RoutingChange) => void>()
  private readonly alarms = new Map<string, number>()
  private readonly changedSaes = new Set<KmeId>()
  private changedTopology = false
  private telling: Cancel | undefined

  constructor (private readonly o: RouterOptions, ports: RoutingPorts) {
    this.self = o.self
    this.ports = { ...ports, alarm: (event, about, detail) => { this.#alarm(ports, event, about, detail) } }
    const credentials = new Credentials(ports.judge, ports.clock)
    this.locations = new Locations(o.self, o.pins, (sae, holder, rival) => { this.ports.alarm('routing.saeClaimedTwice', sae, `${rival} announces it, but it is served by ${holder}; it stays there`) })
    this.choice = new Choice(o.self, this.graph, o.policy)
    this.flood = new Flood(o.self, this.ports, this.database, credentials, {
      changed: (held, before) => this.#changed(held, before), gone: (held, why) => { this.#gone(held, why) }, reflected: (record) => { this.origin.reflected(record) },
    }, o.pace)
    this.origin = new Origin(o, this.ports, this.database, credentials, {
      made: (held, before, urgent) => { this.#changed(held, before); this.flood.spread(held, urgent) },
      withdrawn: () => { this.graph.set(this.self, undefined); this.#tell({ topology: true }) },
    })
  }

  start (): void {
    this.origin.start()
    this.flood.start()
  }

  stop (): void {
    this.origin.stop()
    this.flood.stop()
    this.telling?.()
  }

  // --- what the relay, the key service and operators ask -----------------------------------------------------------------

  paths (destination: KmeId, query?: PathQuery): PathAnswer { return this.choice.paths(destination, query) }

  mayForward (nodes: readonly KmeId[]): string {
    const at = nodes.indexOf(this.self), next = nodes[at + 1]
    if (at < 1 || next === undefined) return `${this.self} is not between the ends of the path`
    if (new Set(nodes).size !== nodes.length) return 'the path passes a KME twice'
    if (!this.o.capabilities.transit) return `${this.self} relays nothing`
    const a = this.graph.indexOf(this.self), b = this.graph.indexOf(next)
    return a !== undefined && b !== undefined && this.graph.hop(a, b) !== Infinity ? '' : `the link ${this.self} - ${next} is not usable`
  }

  locate (sae: SaeId): KmeId | undefined { return this.locations.locate(sae) }
  saesOf (kme: KmeId): readonly SaeId[] { return this.locations.saesOf(kme) }

  capabilities (kme: KmeId): Capabilities | undefined {
    const body = this.database.find(kme, 'links')?.record.body
    return body?.kind === 'links' ? body.capabilities : undefined
  }

  subscribe (on: (change: RoutingChange) => void): Cancel {
    this.listeners.add(on)
    return () => { this.listeners.delete(on) }
  }

  topology (): Topology { return topologyOf(this.graph, this.database, this.locations, this, this.ports.clock.monoMs()) }

  // --- what the runtime tells -------------------------------------------------------------------------------------------

  /** Our own link to a neighbour, as it is now. */
  report (neighbour: KmeId, report: NeighbourReport): void { this.origin.report(neighbour, report) }

  /** The SAEs that this KME serves, all of them. @returns '' or why they cannot be announced. */
  serve (saes: readonly SaeId[]): string {
    this.locations.setOwn(saes)
    return this.origin.serve(saes)
  }

  /** What a KME announced in a former life of this process: it keeps them until it announces others. */
  remember (kme: KmeId, saes: readonly SaeId[]): void { if (kme !== this.self && isEntityId(kme)) this.locations.announce(kme, saes) }

  /** The tagged channel to a neighbour is ready; it is not. */
  connected (neighbour: KmeId): void { this.flood.connected(neighbour) }
  disconnected (neighbour: KmeId): void { this.flood.disconnected(neighbour) }
  /** The channel has room again, after it had not. */
  writable (neighbour: KmeId): void { this.flood.writable(neighbour) }

  /** A packet of a neighbour, whose tag was verified. The bytes are not to be used again. @throws Malformed. */
  receive (neighbour: KmeId, packet: Uint8Array): void { this.flood.receive(neighbour, packet) }

  /** Our certificate was renewed. */
  renew (signer: Signer): void { this.origin.renew(signer) }
  /** Trust anchors or revocation lists changed. */
  recheck (): void { this.flood.recheck() }

  // --- changes ------------------------------------------------------------------------------------------------------------

  /** @returns whether it changes what is reachable. */
  #changed ({ record }: Held, before: Held | undefined): boolean {
    const { origin, body } = record
    if (body.kind === 'saes') {
      this.#assembleSaes(origin)
      return false
    }
    if (body.kind === 'certificate') return before === undefined || Buffer.compare(before.record.fingerprint, record.fingerprint) !== 0
    const version = this.graph.version
    this.graph.set(origin, { transit: body.capabilities.transit, links: body.links })
    if (this.graph.version !== version) this.#tell({ topology: true })
    const old = before?.record.body
    return old?.kind !== 'links' || shape(old.links) !== shape(body.links) || old.capabilities.transit !== body.capabilities.transit
  }

  #gone (held: readonly Held[], why: 'expired' | 'certificate'): void {
    for (const { record } of held) {
      if (record.kind === 'links') {
        this.graph.set(record.origin, undefined)
        this.#tell({ topology: true })
      }
      if (why === 'certificate' && this.locations.announce(record.origin, [])) this.#tell({ sae: record.origin })
    }
  }

  /** A list counts when all its parts are there, by the number of parts that the newest names: till then the former stays. */
  #assembleSaes (origin: KmeId): void {
    if (origin === this.self) return
    const parts = [...this.database.of(origin)].map((held) => held.record).filter((record) => record.kind === 'saes')
    const newest = parts.reduce<Announcement | undefined>((best, record) => best === undefined || isNewer(record, best) ? record : best, undefined)
    const list = parts.filter((record) => record.parts === newest?.parts)
    if (newest === undefined || list.length < newest.parts) return
    const saes = list.flatMap((record) => record.body.kind === 'saes' ? record.body.saes : [])
    if (this.locations.announce(origin, saes)) this.#tell({ sae: origin })
  }

  #tell (what: { topology?: true, sae?: KmeId }): void {
    if (what.topology === true) this.changedTopology = true
    if (what.sae !== undefined) this.changedSaes.add(what.sae)
    this.telling ??= this.ports.clock.after(0, () => {
      const change: RoutingChange = { topology: this.changedTopology, saes: [...this.changedSaes] }
      this.telling = undefined
      this.changedTopology = false
      this.changedSaes.clear()
      for (const on of [...this.listeners]) on(change)
    })
  }

  #alarm (ports: RoutingPorts, event: Parameters<RoutingPorts['alarm']>[0], about: string, detail: string): void {
    const key = `${event} ${about}`, now = ports.clock.monoMs(), last = this.alarms.get(key)
    if (last !== undefined && now - last < ALARM_MS) return
    this.alarms.delete(key)
    this.alarms.set(key, now)
    if (this.alarms.size > ALARMS_MAX) this.alarms.delete(this.alarms.keys().next().value as string)
    ports.alarm(event, about, detail)
  }
}

/** What decides over reachability: which links there are, and their states. */
const shape = (links: readonly AnnouncedLink[]): string => links.map((link) => `${link.neighbour} ${link.state}`).join('\n')
