import type { KmeId } from '../kernel/ids.js'
import type { Graph } from './graph.js'

/** Every KME that bits can reach from here now, by the number of hops, then by ID. Neighbours are among them. */
export const nearest = (graph: Pick<Graph, 'indexOf' | 'nameOf' | 'linksOf' | 'hop'>, self: KmeId): KmeId[] => {
  const start = graph.indexOf(self)
  if (start === undefined) return []
  const seen = new Set([start]), found: KmeId[] = []
  let ring = [start]
  while (ring.length > 0) {
    const next: number[] = []
    for (const from of ring) {
      for (const to of graph.linksOf(from).keys()) {
        if (seen.has(to) || graph.hop(from, to) === Infinity) continue
        seen.add(to)
        next.push(to)
      }
    }
    found.push(...next.map((node) => graph.nameOf(node)).sort())
    ring = next
  }
  return found
}
