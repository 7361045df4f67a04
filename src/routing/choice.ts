import type { KmeId } from '../kernel/ids.js'
import { disjointPaths, type FoundPath, type SearchRules } from './disjoint.js'
import type { Graph } from './graph.js'
import { HOPS_MAX, PATHS_MAX, type NoPathReason, type PathAnswer, type PathQuery, type RoutePath } from './ports.js'

/** A path of the configuration: from this KME through `via`, in this order, to `to`. */
export interface StaticRoute {
  readonly to: KmeId
  readonly via: readonly KmeId[]
  /** Nothing else is tried when the route is broken. */
  readonly only: boolean
}

export interface RoutePolicy {
  /** KMEs that never see a block of ours. */
  readonly forbidden: readonly KmeId[]
  readonly routes: readonly StaticRoute[]
  /** A path in use is kept until another is cheaper by more than this share of its cost. */
  readonly stickiness: number
}

/** What entering a node costs that is to be avoided: as much as two of the poorest hops. */
const AVOID_COST = 8_192
/** Puts the number of hops before everything else. */
const PER_HOP_COST = 1_000_000
const REMEMBERED_MAX = 4_096

interface Remembered { readonly version: number, readonly answer: PathAnswer }
interface Limits { readonly count: number, readonly hopsMax: number, readonly excluded: ReadonlySet<number>, readonly closed: ReadonlySet<string>, readonly avoid: ReadonlySet<number> }

const pair = (a: number, b: number): string => a < b ? `${a} ${b}` : `${b} ${a}`

/**
 * Which way blocks go: configured routes first, else computed ones, and no change without need. An answer is remembered until
 * the graph changes; then the paths in use stay unless they broke or others are much cheaper.
 */
export class Choice {
  readonly #remembered = new Map<string, Remembered>()

  constructor (private readonly self: KmeId, private readonly graph: Graph, private readonly policy: RoutePolicy) {}

  paths (destination: KmeId, query: PathQuery = {}): PathAnswer {
    const count = Math.min(PATHS_MAX, Math.max(1, query.disjoint ?? 1)), hopsMax = Math.min(HOPS_MAX, query.hopsMax ?? HOPS_MAX)
    const isPlain = (query.excludeNodes ?? []).length + (query.excludeHops ?? []).length + (query.avoid ?? []).length === 0
    if (!isPlain) return this.#answer(destination, this.#limits(query, count, hopsMax))
    const key = `${destination} ${count} ${hopsMax}`
    const before = this.#remembered.get(key)
    if (before?.version === this.graph.version) return before.answer
    const limits = this.#limits(query, count, hopsMax)
    const answer = this.#steady(this.#answer(destination, limits), before?.answer, limits)
    this.#remembered.delete(key)
    this.#remembered.set(key, { version: this.graph.version, answer })
    if (this.#remembered.size > REMEMBERED_MAX) this.#remembered.delete(this.#remembered.keys().next().value as string)
    return answer
  }

  /** '' if every hop is usable and every node between may be passed, or what is wrong. */
  fault (nodes: readonly KmeId[], limits: Limits = this.#limits({}, 1, HOPS_MAX)): string {
    if (new Set(nodes).size !== nodes.length) return 'it passes a KME twice'
    if (nodes.length - 1 > limits.hopsMax) return `it has ${nodes.length - 1} hops`
    const indices = nodes.map((kme) => this.graph.indexOf(kme))
    for (const [i, node] of indices.entries()) {
      if (node === undefined) return `nobody announces ${nodes[i]}`
      if (i > 0 && i < nodes.length - 1 && !this.#passes(node, limits)) return `${nodes[i]} ${this.graph.relays(node) ? 'is excluded' : 'relays nothing'}`
      const before = i > 0 ? indices[i - 1]! : undefined
      if (before !== undefined && (this.graph.hop(before, node) === Infinity || limits.closed.has(pair(before, node)))) return `the link ${nodes[i - 1]} - ${nodes[i]} is not usable`
    }
    return ''
  }

  // --- answers ------------------------------------------------------------------------------------------------------

  #answer (destination: KmeId, limits: Limits): PathAnswer {
    if (destination === this.self) return none('self', 0, 'this KME needs no path to itself')
    const from = this.graph.indexOf(this.self), to = this.graph.indexOf(destination)
    if (from === undefined || to === undefined || !this.graph.isAnnounced(to)) return none('unknown', 0, `no KME ${destination} has announced itself to this network`)
    const configured = this.#configured(destination, limits)
    if (configured !== undefined) return configured
    return this.#computed(from, to, limits)
  }

  /** @returns undefined when the configuration leaves it to computing. */
  #configured (destination: KmeId, limits: Limits): PathAnswer | undefined {
    const routes = this.policy.routes.filter((route) => route.to === destination)
    const chosen: RoutePath[] = [], passed = new Set<KmeId>()
    let direct = false, fault = ''
    for (const route of routes) {
      const nodes = [this.self, ...route.via, destination]
      const why = this.fault(nodes, limits) || (route.via.some((kme) => passed.has(kme)) || (route.via.length === 0 && direct) ? 'it is not disjoint from another' : '')
      if (why !== '') { fault ||= `the configured route ${nodes.join(' - ')}: ${why}`; continue }
      chosen.push({ nodes, cost: this.#costOf(nodes), isStatic: true })
      for (const kme of route.via) passed.add(kme)
      direct ||= route.via.length === 0
      if (chosen.length === limits.count) return { ok: true, paths: chosen }
    }
    if (!routes.some((route) => route.only)) return undefined
    return none('static', chosen.length, `${chosen.length} of ${limits.count} configured routes to ${destination} can be used, and no other is allowed${fault === '' ? '' : ` (${fault})`}`)
  }

  #computed (from: number, to: number, limits: Limits): PathAnswer {
    const { count, hopsMax } = limits, destination = this.graph.nameOf(to)
    const rules: SearchRules = {
      passes: (node) => this.#passes(node, limits), allows: (a, b) => limits.closed.size === 0 || !limits.closed.has(pair(a, b)),
      penalty: (node) => limits.avoid.has(node) && node !== to ? AVOID_COST : 0,
    }
    let found = disjointPaths(this.graph, from, to, count, rules)
    if (found.some((path) => path.nodes.length - 1 > hopsMax)) {
      const short = disjointPaths(this.graph, from, to, count, { ...rules, penalty: (node) => rules.penalty(node) + PER_HOP_COST })
      found = short.filter((path) => path.nodes.length - 1 <= hopsMax)
      if (found.length < count && short.length >= count) return none('too-long', found.length, `ways to ${destination} have more than ${hopsMax} hops`)
    }
    if (found.length >= count) return { ok: true, paths: found.map((path) => this.#named(path)) }
    if (found.length > 0) return none('disjoint', found.length, `there are ${found.length} disjoint paths to ${destination}, not ${count}`)
    const free = disjointPaths(this.graph, from, to, 1, { passes: () => true, allows: () => true, penalty: () => 0 })
    return free.length > 0
      ? none('forbidden', 0, `every way to ${destination} passes a KME or link that is forbidden, excluded, or relays nothing (such as ${this.#named(free[0]!).nodes.join(' - ')})`)
      : none('unreachable', 0, `no way of usable links leads to ${destination}`)
  }

  /** Keeps what is in use if it still works and is not much dearer. */
  #steady (now: PathAnswer, before: PathAnswer | undefined, limits: Limits): PathAnswer {
    if (!now.ok || before?.ok !== true || now.paths.some((path) => path.isStatic) || before.paths.some((path) => path.isStatic)) return now
    if (before.paths.some((path) => this.fault(path.nodes, limits) !== '')) return now
    const kept = before.paths.map((path) => ({ ...path, cost: this.#costOf(path.nodes) }))
    const sum = (paths: readonly RoutePath[]): number => paths.reduce((total, path) => total + path.cost, 0)
    return sum(kept) <= sum(now.paths) * (1 + this.policy.stickiness) ? { ok: true, paths: kept.sort((a, b) => a.cost - b.cost) } : now
  }

  // --- parts of a query -----------------------------------------------------------------------------------------------

  #limits (query: PathQuery, count: number, hopsMax: number): Limits {
    const { graph } = this
    const nodes = (kmes: readonly KmeId[]): Set<number> => new Set(kmes.map((kme) => graph.indexOf(kme)).filter((node) => node !== undefined))
    const closed = new Set<string>()
    for (const { from, to } of query.excludeHops ?? []) {
      const a = graph.indexOf(from), b = graph.indexOf(to)
      if (a !== undefined && b !== undefined) closed.add(pair(a, b))
    }
    return { count, hopsMax, excluded: nodes([...this.policy.forbidden, ...query.excludeNodes ?? []]), closed, avoid: nodes(query.avoid ?? []) }
  }

  #passes (node: number, limits: Limits): boolean { return this.graph.relays(node) && !limits.excluded.has(node) }

  #costOf (nodes: readonly KmeId[]): number {
    let cost = 0
    for (let i = 1; i < nodes.length; i++) cost += this.graph.hop(this.graph.indexOf(nodes[i - 1]!)!, this.graph.indexOf(nodes[i]!)!)
    return cost
  }

  #named (path: FoundPath): RoutePath {
    const nodes = path.nodes.map((node) => this.graph.nameOf(node))
    return { nodes, cost: this.#costOf(nodes), isStatic: false }
  }
}

const none = (reason: NoPathReason, available: number, message: string): PathAnswer => ({ ok: false, reason, available, message })
