import type { KmeId } from '../kernel/ids.js'
import { amountOf, type AnnouncedLink } from './announcement.js'
import type { Database } from './database.js'
import type { Graph } from './graph.js'
import type { Locations } from './locations.js'
import type { LinkState, Routing } from './ports.js'

/** One direction of a link, as the KME at its beginning announces it. Amounts are lower bounds: they are told as powers of two. */
export interface HopView { readonly stockBytes: number, readonly bytesPerS: number, readonly state: LinkState, /** Null: nothing can go this way now. */ readonly cost: number | null }

/** A link that at least one of its ends announces; a direction is null if its KME does not. `a` is before `b` in order. */
export interface LinkTopology { readonly a: KmeId, readonly b: KmeId, readonly state: LinkState | 'one-sided', readonly ab: HopView | null, readonly ba: HopView | null }

export interface NodeTopology {
  readonly kme: KmeId
  /** Null for a KME that only others name. */
  readonly announced: { readonly incarnation: number, readonly sequence: number, readonly ageS: number, readonly transit: boolean, readonly hybrid: boolean } | null
  readonly saes: number
}

/** The way that blocks for a KME go now, or why there is none. */
export interface RouteTopology { readonly to: KmeId, readonly nodes: readonly KmeId[], readonly cost: number | null, readonly isStatic: boolean, readonly disjointPaths: number, readonly problem: string | null }

export interface Topology { readonly self: KmeId, readonly nodes: readonly NodeTopology[], readonly links: readonly LinkTopology[], readonly routes: readonly RouteTopology[] }

const DISJOINT_SHOWN = 4
/** Routes are worked out for so many KMEs; a page of more helps nobody. */
const ROUTES_MAX = 500

/** The network as this KME knows it. Costs a search per KME: for operators, not for programs that poll. */
export const topologyOf = (graph: Graph, database: Database, locations: Locations, routing: Routing, nowMs: number): Topology => {
  const counts = locations.counts()
  const kmes = Array.from({ length: graph.size }, (_, i) => graph.nameOf(i)).sort()
  const named = kmes.filter((kme) => graph.isAnnounced(graph.indexOf(kme)!) || isNamed(graph, graph.indexOf(kme)!))
  return {
    self: routing.self, nodes: named.map((kme) => nodeOf(kme, database, counts.get(kme) ?? 0, nowMs)), links: linksOf(graph),
    routes: named.filter((kme) => kme !== routing.self).slice(0, ROUTES_MAX).map((kme) => routeOf(routing, kme)),
  }
}

const isNamed = (graph: Graph, node: number): boolean => {
  for (let i = 0; i < graph.size; i++) if (graph.linksOf(i).has(node)) return true
  return false
}

const nodeOf = (kme: KmeId, database: Database, saes: number, nowMs: number): NodeTopology => {
  const held = database.find(kme, 'links')
  const body = held?.record.body
  if (held === undefined || body?.kind !== 'links') return { kme, announced: null, saes }
  const { incarnation, sequence } = held.record
  return { kme, announced: { incarnation, sequence, ageS: Math.round((nowMs - held.bornMs) / 1_000), ...body.capabilities }, saes }
}

const linksOf = (graph: Graph): LinkTopology[] => {
  const links: LinkTopology[] = []
  for (let i = 0; i < graph.size; i++) {
    for (const [j, link] of graph.linksOf(i)) {
      const back = graph.linksOf(j).get(i)
      if (back !== undefined && j < i) continue // Told from the other end.
      const here = hopOf(graph, i, j, link), there = back === undefined ? null : hopOf(graph, j, i, back)
      const inOrder = graph.nameOf(i) < graph.nameOf(j)
      const [a, b, ab, ba] = inOrder ? [i, j, here, there] : [j, i, there, here]
      links.push({ a: graph.nameOf(a), b: graph.nameOf(b), state: back === undefined ? 'one-sided' : worse(link.state, back.state), ab, ba })
    }
  }
  return links.sort((x, y) => x.a === y.a ? (x.b < y.b ? -1 : 1) : x.a < y.a ? -1 : 1)
}

const hopOf = (graph: Graph, from: number, to: number, link: AnnouncedLink): HopView => {
  const cost = graph.hop(from, to)
  return { stockBytes: amountOf(link.stockClass), bytesPerS: amountOf(link.rateClass), state: link.state, cost: cost === Infinity ? null : cost }
}

const worse = (a: LinkState, b: LinkState): LinkState => a === 'down' || b === 'down' ? 'down' : a === 'degraded' || b === 'degraded' ? 'degraded' : 'up'

const routeOf = (routing: Routing, to: KmeId): RouteTopology => {
  const answer = routing.paths(to), many = routing.paths(to, { disjoint: DISJOINT_SHOWN })
  const disjointPaths = many.ok ? many.paths.length : many.available
  if (!answer.ok) return { to, nodes: [], cost: null, isStatic: false, disjointPaths, problem: answer.message }
  const [path] = answer.paths
  return { to, nodes: path!.nodes, cost: path!.cost, isStatic: path!.isStatic, disjointPaths, problem: null }
}
