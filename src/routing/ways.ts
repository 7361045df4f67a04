import type { KmeId } from '../kernel/ids.js'
import type { Graph } from './graph.js'
import type { Router } from './router.js'

/** Ways that are known beside the best, for when it fails. */
const WAYS = 3
type Seen = Pick<Router, 'paths' | 'graph'>

/** The router's ways as a control channel wants them: a few that share no node, so that one failure leaves another. */
export const controlWays = (router: Seen) => ({
  paths: (destination: KmeId): readonly (readonly KmeId[])[] => {
    const many = router.paths(destination, { disjoint: WAYS })
    const answer = many.ok || many.available === 0 ? many : router.paths(destination, { disjoint: many.available })
    return answer.ok ? answer.paths.map(({ nodes }) => nodes) : []
  },
  isUsable: (path: readonly KmeId[]): boolean => path.every((node, i) => i === 0 || isLinked(router, path[i - 1]!, node)),
})

/** A link that carries key in one direction at least carries words in both. */
const isLinked = ({ graph }: Seen, a: KmeId, b: KmeId): boolean => {
  const from = graph.indexOf(a), to = graph.indexOf(b)
  return from !== undefined && to !== undefined && Math.min(graph.hop(from, to), graph.hop(to, from)) !== Infinity
}

/** Whether one of the two ends of a link of this way says that it is down. A link without supply is not: what is under way over it arrives. */
export const isBroken = ({ graph }: Pick<Router, 'graph'>, path: readonly KmeId[]): boolean => path.some((node, i) => i > 0 && isDown(graph, path[i - 1]!, node))

const isDown = (graph: Graph, a: KmeId, b: KmeId): boolean => {
  const from = graph.indexOf(a), to = graph.indexOf(b)
  if (from === undefined || to === undefined) return true
  return [graph.linksOf(from).get(to), graph.linksOf(to).get(from)].some((link) => link === undefined || link.state === 'down')
}
