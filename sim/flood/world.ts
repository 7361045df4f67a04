import type { KmeId } from '../../src/kernel/ids.js'
import { defaultRouterOptions, Router, type RouterOptions } from '../../src/routing/router.js'
import type { NeighbourReport, SendResult } from '../../src/routing/ports.js'
import { SimClock } from '../clock.js'
import { SimRandom } from '../random.js'
import { SimAuthority } from './credentials.js'

export type Edge = readonly [KmeId, KmeId]

export interface FloodWorldOptions {
  readonly seed: number
  readonly nodes: readonly KmeId[]
  readonly links: readonly Edge[]
  readonly options?: Partial<RouterOptions>
  /** One way, each packet: from 1 ms up to this. Order on one connection is kept. */
  readonly delayMs?: number
  readonly report?: NeighbourReport
}

/** Sees a packet before the line has it and says what travels instead. */
export type PacketTap = (from: KmeId, to: KmeId, packet: Uint8Array) => readonly Uint8Array[]

export interface NodeTraffic { bytes: number, packets: number }

const wealthy: NeighbourReport = { stockBytes: 1_048_576, bytesPerS: 4_096, state: 'up' }
const name = (a: KmeId, b: KmeId): string => `${a} ${b}`

/** Routers of many KMEs in one process: simulated time, chance, lines and certificates; everything else is the real code. */
export class FloodWorld {
  readonly clock = new SimClock()
  readonly authority = new SimAuthority()
  readonly routers = new Map<KmeId, Router>()
  readonly traffic = new Map<KmeId, NodeTraffic>()
  readonly alarms: { readonly at: KmeId, readonly event: string, readonly about: string }[] = []
  tap: PacketTap | undefined
  /** What the channel answers to a packet, when it should not just be sent. */
  gate: ((from: KmeId, to: KmeId) => SendResult) | undefined
  readonly #random: SimRandom
  readonly #report: NeighbourReport
  /** Number of the connection; packets of a former one are lost. 0: cut. */
  readonly #lines = new Map<string, { connection: number, busyUntilMs: number }>()
  readonly #incarnations = new Map<KmeId, number>()

  constructor (private readonly o: FloodWorldOptions) {
    this.#random = new SimRandom(o.seed)
    this.#report = o.report ?? wealthy
    for (const node of o.nodes) this.boot(node)
  }

  at (kme: KmeId): Router { return this.routers.get(kme)! }

  /** All lines come up. */
  connectAll (): void { for (const [a, b] of this.o.links) this.heal(a, b) }

  /** A new life of the node: a fresh router with a greater incarnation, or the one given. Its lines must be healed. */
  boot (kme: KmeId, options: Partial<RouterOptions> = {}): Router {
    this.routers.get(kme)?.stop()
    for (const neighbour of this.#neighbours(kme)) this.cut(kme, neighbour)
    const incarnation = (this.#incarnations.get(kme) ?? 0) + 1
    this.#incarnations.set(kme, incarnation)
    const router = new Router({ ...defaultRouterOptions, ...this.o.options, self: kme, incarnation, ...options }, {
      clock: this.clock, random: this.#random.fork(), signer: this.authority.signer(kme), judge: this.authority.judge,
      send: (neighbour, packet) => this.#send(kme, neighbour, packet), alarm: (event, about) => { this.alarms.push({ at: kme, event, about }) },
    })
    this.routers.set(kme, router)
    if (!this.traffic.has(kme)) this.traffic.set(kme, { bytes: 0, packets: 0 })
    router.start()
    return router
  }

  heal (a: KmeId, b: KmeId): void {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      const line = this.#line(from, to)
      line.connection = (line.connection === 0 ? 0 : line.connection) + 1 + this.#random.integer(1_000_000)
      line.busyUntilMs = 0
    }
    for (const [from, to] of [[a, b], [b, a]] as const) {
      this.at(from).connected(to)
      this.at(from).report(to, this.#report)
    }
  }

  /** The line breaks, and both ends notice. */
  cut (a: KmeId, b: KmeId): void {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      this.#line(from, to).connection = 0
      const router = this.routers.get(from)
      router?.disconnected(to)
      router?.report(to, { ...this.#report, state: 'down' })
    }
  }

  run (ms: number): void { this.clock.advance(ms) }

  /** Whether all nodes have the same database. */
  get agrees (): boolean {
    const hashes = new Set([...this.routers.values()].map((router) => Buffer.from(router.database.digest()).toString('hex')))
    return hashes.size === 1
  }

  resetTraffic (): void { for (const traffic of this.traffic.values()) Object.assign(traffic, { bytes: 0, packets: 0 }) }

  #neighbours (kme: KmeId): KmeId[] { return this.o.links.filter((link) => link.includes(kme)).map(([a, b]) => a === kme ? b : a) }

  #line (from: KmeId, to: KmeId): { connection: number, busyUntilMs: number } {
    const line = this.#lines.get(name(from, to)) ?? { connection: 0, busyUntilMs: 0 }
    this.#lines.set(name(from, to), line)
    return line
  }

  #send (from: KmeId, to: KmeId, packet: Uint8Array): SendResult {
    const line = this.#line(from, to), { connection } = line
    if (connection === 0) return 'closed'
    const result = this.gate?.(from, to) ?? 'sent'
    if (result !== 'sent') return result
    const traffic = this.traffic.get(from)!
    traffic.bytes += packet.length
    traffic.packets++
    for (const bytes of this.tap?.(from, to, packet) ?? [packet]) this.#travel(from, to, bytes.slice(), connection)
    return 'sent'
  }

  #travel (from: KmeId, to: KmeId, packet: Uint8Array, connection: number): void {
    const line = this.#line(from, to), now = this.clock.monoMs()
    const arriveMs = Math.max(line.busyUntilMs, now + 1 + this.#random.integer(this.o.delayMs ?? 5))
    line.busyUntilMs = arriveMs
    this.clock.after(arriveMs - now, () => { if (line.connection === connection) this.at(to).receive(from, packet) })
  }
}

/** A random network: a ring, so that it hangs together, and random links up to a mean degree. */
export const randomNetwork = (random: SimRandom, count: number, degree: number): { readonly nodes: KmeId[], readonly links: Edge[] } => {
  const nodes = Array.from({ length: count }, (_, i) => `kme-${i}`)
  const links: Edge[] = nodes.map((node, i) => [node, nodes[(i + 1) % count]!] as const).slice(0, count > 2 ? count : 1)
  const known = new Set(links.flatMap(([a, b]) => [name(a, b), name(b, a)]))
  const limit = Math.min(Math.floor(count * degree / 2), count * (count - 1) / 2)
  while (links.length < limit) {
    const a = random.pick(nodes), b = random.pick(nodes)
    if (a === b || known.has(name(a, b))) continue
    known.add(name(a, b)).add(name(b, a))
    links.push([a, b])
  }
  return { nodes, links }
}
