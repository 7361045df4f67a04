import fc from 'fast-check'
import t from 'tap'
import { disjointPaths, type SearchRules } from '../../src/routing/disjoint.js'
import type { Hops } from '../../src/routing/graph.js'

const free: SearchRules = { passes: () => true, allows: () => true, penalty: () => 0 }

/** A directed graph with random costs, where a hop back may cost something else or be missing. */
const graphs = (sizeMax: number) => fc.integer({ min: 4, max: sizeMax }).chain((size) => fc.record({
  size: fc.constant(size),
  hops: fc.uniqueArray(fc.record({ from: fc.nat(size - 1), to: fc.nat(size - 1), cost: fc.integer({ min: 1, max: 20 }) }), { minLength: 2 * size, maxLength: 3 * size, selector: ({ from, to }) => from * size + to }),
})).map(({ size, hops }): Hops => {
  const targets: number[][] = Array.from({ length: size }, () => []), costs: number[][] = Array.from({ length: size }, () => [])
  for (const { from, to, cost } of hops) if (from !== to) { targets[from]!.push(to); costs[from]!.push(cost) }
  return { size, targets, costs }
})

const costOf = (graph: Hops, nodes: readonly number[]): number => nodes.slice(1).reduce((sum, node, i) => sum + graph.costs[nodes[i]!]![graph.targets[nodes[i]!]!.indexOf(node)]!, 0)

/** All simple paths, for small graphs. */
const everyPath = (graph: Hops, from: number, to: number): number[][] => {
  const found: number[][] = []
  const go = (nodes: number[]): void => {
    const at = nodes.at(-1)!
    if (at === to) { found.push(nodes); return }
    for (const next of graph.targets[at]!) if (!nodes.includes(next)) go([...nodes, next])
  }
  go([from])
  return found
}

/** The least total cost of exactly `count` disjoint paths; Infinity if there are none. */
const best = (graph: Hops, paths: readonly number[][], count: number, used: ReadonlySet<number> = new Set(), from = 0): number => {
  if (count === 0) return 0
  let least = Infinity
  for (let i = from; i < paths.length; i++) {
    const inner = paths[i]!.slice(1, -1)
    if (inner.some((node) => used.has(node))) continue
    least = Math.min(least, costOf(graph, paths[i]!) + best(graph, paths, count - 1, new Set([...used, ...inner]), i + 1))
  }
  return least
}

const checkPaths = (graph: Hops, paths: readonly { nodes: readonly number[], cost: number }[], from: number, to: number): string => {
  const seen = new Set<number>()
  for (const { nodes, cost } of paths) {
    if (nodes[0] !== from || nodes.at(-1) !== to) return 'wrong ends'
    if (new Set(nodes).size !== nodes.length) return 'a loop'
    for (let i = 1; i < nodes.length; i++) if (!graph.targets[nodes[i - 1]!]!.includes(nodes[i]!)) return 'a hop that is none'
    if (costOf(graph, nodes) !== cost) return 'a wrong cost'
    for (const node of nodes.slice(1, -1)) { if (seen.has(node)) return 'a shared node'; seen.add(node) }
  }
  if (paths.filter((p) => p.nodes.length === 2).length > 1) return 'the same hop twice'
  return ''
}

t.test('as many disjoint paths as there are, of the least cost that any choice has', async (t) => {
  fc.assert(fc.property(graphs(7), fc.integer({ min: 1, max: 3 }), (graph, count) => {
    const paths = disjointPaths(graph, 0, 1, count, free)
    if (checkPaths(graph, paths, 0, 1) !== '') return false
    const every = everyPath(graph, 0, 1)
    const possible = [3, 2, 1, 0].find((n) => n <= count && best(graph, every, n) < Infinity)
    return paths.length === possible && paths.reduce((sum, p) => sum + p.cost, 0) === best(graph, every, paths.length)
  }), { numRuns: 1_500 })
  t.pass('against all choices')
})

t.test('larger graphs: disjoint, loop-free, and never fewer paths for a larger demand', async (t) => {
  fc.assert(fc.property(graphs(60), (graph) => {
    let before = 0
    for (let count = 1; count <= 4; count++) {
      const paths = disjointPaths(graph, 0, 1, count, free)
      if (checkPaths(graph, paths, 0, 1) !== '' || paths.length < before) return false
      before = paths.length
    }
    return true
  }), { numRuns: 300 })
  t.pass()
})

t.test('the trap of Suurballe: the cheapest path crosses both of the two disjoint ones', async (t) => {
  // 0 -> 2 -> 3 -> 1 is cheapest and blocks both 0-2-5-1 and 0-4-3-1.
  const hops: [number, number, number][] = [[0, 2, 1], [2, 3, 1], [3, 1, 1], [0, 4, 2], [4, 3, 2], [2, 5, 2], [5, 1, 2]]
  const graph: Hops = { size: 6, targets: [[], [], [], [], [], []], costs: [[], [], [], [], [], []] }
  for (const [from, to, cost] of hops) { (graph.targets as number[][])[from]!.push(to); (graph.costs as number[][])[from]!.push(cost) }
  t.same(disjointPaths(graph, 0, 1, 1, free).map((p) => p.nodes), [[0, 2, 3, 1]])
  t.same(disjointPaths(graph, 0, 1, 2, free).map((p) => [...p.nodes].join('')).sort(), ['0251', '0431'])
  t.equal(disjointPaths(graph, 0, 1, 3, free).length, 2)
})

t.test('undoing a dear hop is worth its cost: a way that looks dearer is the cheaper one', async (t) => {
  const hops: [number, number, number][] = [[0, 2, 1], [2, 3, 4], [3, 1, 1], [0, 4, 3], [4, 3, 3], [2, 5, 3], [5, 1, 3], [0, 6, 5], [6, 1, 5]]
  const graph: Hops = { size: 7, targets: [[], [], [], [], [], [], []], costs: [[], [], [], [], [], [], []] }
  for (const [from, to, cost] of hops) { (graph.targets as number[][])[from]!.push(to); (graph.costs as number[][])[from]!.push(cost) }
  t.same(disjointPaths(graph, 0, 1, 2, free).map((p) => p.cost), [7, 7], 'not 6 and 10')
  t.same(disjointPaths(graph, 0, 1, 3, free).map((p) => p.cost), [7, 7, 10])
})

t.test('rules: nodes that may not be passed, hops that may not be used, nodes to avoid', async (t) => {
  const graph: Hops = { size: 4, targets: [[1, 2, 3], [], [1], [1]], costs: [[9, 1, 2], [], [1], [2]] }
  t.same(disjointPaths(graph, 0, 1, 1, free)[0]!.nodes, [0, 2, 1])
  t.same(disjointPaths(graph, 0, 1, 1, { ...free, passes: (node) => node !== 2 })[0]!.nodes, [0, 3, 1])
  t.same(disjointPaths(graph, 0, 1, 1, { ...free, allows: (from, to) => !(from === 0 && to === 2) })[0]!.nodes, [0, 3, 1])
  t.same(disjointPaths(graph, 0, 1, 1, { ...free, penalty: (node) => node === 2 || node === 3 ? 100 : 0 })[0]!.nodes, [0, 1])
  t.same(disjointPaths(graph, 0, 1, 5, free).map((p) => p.nodes), [[0, 2, 1], [0, 3, 1], [0, 1]])
})
