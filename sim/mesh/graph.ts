import type { KmeId } from '../../src/kernel/ids.js'
import type { RelayQuery } from '../../src/relay/ports.js'

/** Every way through a small graph, for simulations that need no real router: an edge is two names, `up` until it is cut. */
export class MeshGraph {
  private readonly edges = new Set<string>()
  constructor (edges: readonly (readonly [KmeId, KmeId])[]) { for (const [a, b] of edges) this.join(a, b) }

  join (a: KmeId, b: KmeId): void { this.edges.add(`${a} ${b}`).add(`${b} ${a}`) }
  cut (a: KmeId, b: KmeId): void { this.edges.delete(`${a} ${b}`); this.edges.delete(`${b} ${a}`) }
  has (a: KmeId, b: KmeId): boolean { return this.edges.has(`${a} ${b}`) }
  private next (from: KmeId): KmeId[] { return [...this.edges].filter((e) => e.startsWith(`${from} `)).map((e) => e.slice(from.length + 1)).sort() }

  /** All ways without circles, the shortest first, then by name. */
  ways (from: KmeId, to: KmeId): KmeId[][] {
    const found: KmeId[][] = []
    const walk = (path: KmeId[]): void => {
      const last = path.at(-1)!
      if (last === to) { found.push(path); return }
      for (const next of this.next(last)) if (!path.includes(next)) walk([...path, next])
    }
    walk([from])
    return found.sort((a, b) => a.length - b.length || (a.join(' ') < b.join(' ') ? -1 : 1))
  }

  /** As the router answers the relay. */
  disjoint (from: KmeId, to: KmeId, query: RelayQuery): KmeId[][] | string {
    const excluded = (way: KmeId[]): boolean => way.some((node, i) => i > 0 && query.excludeHops.some((h) => h.from === way[i - 1] && h.to === node))
    const bad = (way: KmeId[]): number => way.filter((node) => query.avoid.includes(node)).length
    const ways = this.ways(from, to).filter((way) => !excluded(way)).sort((a, b) => bad(a) - bad(b))
    const choose = (chosen: KmeId[][], rest: KmeId[][]): KmeId[][] | undefined => {
      if (chosen.length === query.disjoint) return chosen
      for (const [i, way] of rest.entries()) {
        const apart = chosen.every((other) => !way.slice(1, -1).some((node) => other.includes(node)) && !(way.length === 2 && other.length === 2))
        const found = apart ? choose([...chosen, way], rest.slice(i + 1)) : undefined
        if (found !== undefined) return found
      }
      return undefined
    }
    return choose([], ways) ?? `no ${query.disjoint} disjoint ways to ${to}`
  }
}
