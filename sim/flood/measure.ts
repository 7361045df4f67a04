import { SimRandom } from '../random.js'
import { FloodWorld, randomNetwork, type Edge } from './world.js'

export interface FloodMeasure {
  readonly nodes: number
  readonly links: number
  /** Simulated time until all nodes have the same database, from a cold start. */
  readonly convergedMs: number
  /** Sent by a node, mean and the busiest, per second. */
  readonly calm: PerNode
  /** The same while the stock of every link crosses a class all the time, so that every node announces as often as it may. */
  readonly busy: PerNode
  /** After a cut: until every node knows, and bytes per node that it cost. */
  readonly cutMs: number
  readonly cutBytesPerNode: number
}
export interface PerNode { readonly bytesPerS: number, readonly bytesPerSMax: number, /** Each costs 16 bytes of authentication key. */ readonly messagesPerLinkPerS: number }

export interface FloodPlan { readonly nodes: number, readonly degree: number, readonly saes: number, readonly seconds: number, readonly seed: number }

const STEP_MS = 50
const CONVERGE_MS_MAX = 120_000

/** One random network: cold start, calm, busy, a cut. */
export const measureFlood = (plan: FloodPlan): FloodMeasure => {
  const random = new SimRandom(plan.seed)
  const network = randomNetwork(random, plan.nodes, plan.degree)
  const world = new FloodWorld({ seed: plan.seed, ...network })
  for (const node of network.nodes) world.at(node).serve(Array.from({ length: plan.saes }, (_, i) => `urn:sae:${node}:${i}`))
  world.connectAll()
  const convergedMs = until(world, () => world.agrees)
  world.run(5_000)
  // Everything is announced again within this time, so this much shows what a calm network costs.
  const calm = during(world, plan.seconds * 1_000, network.links, () => {})
  const busy = during(world, plan.seconds * 1_000, network.links, (second) => { swing(world, network.links, second) })
  world.run(60_000) // What was announced last has gone round.
  const { cutMs, cutBytesPerNode } = cutOne(world, network.links, random)
  return { nodes: plan.nodes, links: network.links.length, convergedMs, calm, busy, cutMs, cutBytesPerNode }
}

const until = (world: FloodWorld, fits: () => boolean): number => {
  const startMs = world.clock.now()
  while (!fits() && world.clock.now() - startMs < CONVERGE_MS_MAX) world.run(STEP_MS)
  return world.clock.now() - startMs
}

const during = (world: FloodWorld, ms: number, links: readonly Edge[], eachSecond: (second: number) => void): PerNode => {
  world.resetTraffic()
  for (let second = 0; second < ms / 1_000; second++) {
    eachSecond(second)
    world.run(1_000)
  }
  const all = [...world.traffic.values()], seconds = ms / 1_000
  return {
    bytesPerS: all.reduce((sum, n) => sum + n.bytes, 0) / all.length / seconds, bytesPerSMax: Math.max(...all.map((n) => n.bytes)) / seconds,
    messagesPerLinkPerS: all.reduce((sum, n) => sum + n.packets, 0) / (2 * links.length) / seconds,
  }
}

const swing = (world: FloodWorld, links: readonly Edge[], second: number): void => {
  const report = { stockBytes: second % 2 === 0 ? 1_000 : 1_000_000, bytesPerS: 4_096, state: 'up' as const }
  for (const [a, b] of links) {
    world.at(a).report(b, report)
    world.at(b).report(a, report)
  }
}

const cutOne = (world: FloodWorld, links: readonly Edge[], random: SimRandom): { cutMs: number, cutBytesPerNode: number } => {
  const [a, b] = random.pick(links)
  const knows = (): boolean => [...world.routers.values()].every(({ graph }) => {
    const i = graph.indexOf(a), j = graph.indexOf(b)
    return i === undefined || j === undefined || (graph.hop(i, j) === Infinity && graph.hop(j, i) === Infinity)
  })
  world.resetTraffic()
  world.cut(a, b)
  const cutMs = until(world, knows)
  world.run(2_000)
  return { cutMs, cutBytesPerNode: [...world.traffic.values()].reduce((sum, n) => sum + n.bytes, 0) / world.traffic.size }
}
