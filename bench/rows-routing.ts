/** Route computation, on networks made here: no site, no sockets. */
import { SimRandom } from '../sim/random.js'
import { randomNetwork } from '../sim/flood/world.js'
import { systemClock } from '../src/kernel/system-clock.js'
import type { AnnouncedLink } from '../src/routing/announcement.js'
import { Choice } from '../src/routing/choice.js'
import { Graph, type NodeLinks } from '../src/routing/graph.js'
import { valueFigure, type Figure } from './figures.js'

const NODES = 1_000, LINKS = 4_000, DESTINATIONS = 25

interface Network { readonly graph: Graph, readonly nodes: readonly string[], change (kme: string): void }

const makeNetwork = (seed: number): Network => {
  const random = new SimRandom(seed), graph = new Graph()
  const { nodes, links } = randomNetwork(random, NODES, 2 * LINKS / NODES)
  const neighbours = new Map<string, string[]>(nodes.map((node) => [node, []]))
  for (const [a, b] of links) { neighbours.get(a)!.push(b); neighbours.get(b)!.push(a) }
  const announced = (kme: string): NodeLinks => ({
    transit: true, links: neighbours.get(kme)!.map((neighbour): AnnouncedLink => ({ neighbour, state: 'up', stockClass: 14 + random.integer(12), rateClass: 8 + random.integer(8) })),
  })
  const change = (kme: string): void => { graph.set(kme, announced(kme)) }
  for (const node of nodes) change(node)
  return { graph, nodes, change }
}

/** One KME announces other amounts; then the way to one destination is asked for: a graph that changed, and a search. */
const timeOf = (count: number) => (network: Network, choice: Choice, random: SimRandom): number => {
  let totalMs = 0
  for (let i = 0; i < DESTINATIONS; i++) {
    const changed = random.pick(network.nodes), destination = network.nodes[1 + random.integer(NODES - 1)]!
    const startMs = systemClock.monoMs()
    network.change(changed)
    choice.paths(destination, { disjoint: count })
    totalMs += systemClock.monoMs() - startMs
  }
  return totalMs / DESTINATIONS
}

/** One row each for a single way and for three disjoint ones. */
export const routes = async ({ pairs }: { readonly pairs: number }): Promise<Figure[]> => [1, 3].map((count) => {
  const network = makeNetwork(7), random = new SimRandom(8), run = timeOf(count)
  const choice = new Choice(network.nodes[0]!, network.graph, { forbidden: [], routes: [], stickiness: 0.3 })
  run(network, choice, random) // Compiled code is what counts.
  return valueFigure(count === 1 ? 'route after one change' : `${count} disjoint routes after one change`, 'ms', Array.from({ length: pairs }, () => run(network, choice, random)), { atMost: 20 }, `${NODES} KMEs, ${LINKS} links`)
})
