import type { Hops } from './graph.js'
import { Heap } from './heap.js'

/** What a search may use. Numbers are nodes of the graph. */
export interface SearchRules {
  /** Whether a path may pass through the node (not asked for its two ends). */
  readonly passes: (node: number) => boolean
  /** Whether a hop may be used. */
  readonly allows: (from: number, to: number) => boolean
  /** Added to the cost of entering a node; at least 0. */
  readonly penalty: (node: number) => number
}

export interface FoundPath { readonly nodes: readonly number[], readonly cost: number }

/**
 * Up to `count` paths that share no node but their ends, of the least total cost (Suurballe 1974, with node splitting; as a flow
 * of least cost, Bhandari 1999). Each node is two: one that hops go into and one that they leave, joined by an arc of capacity
 * one. Each round finds a cheapest way to add one path, which may undo hops of those found before; potentials (Johnson
 * 1977) keep every reduced cost at least 0, so that each round is one run of Dijkstra.
 *
 * @returns cheapest first; as many as there are, at most `count`. `from` and `to` are different nodes.
 */
export const disjointPaths = (graph: Hops, from: number, to: number, count: number, rules: SearchRules): FoundPath[] => {
  const flow = new Flow(graph, from, to, rules)
  for (let i = 0; i < count; i++) if (!flow.augment()) break
  return flow.paths()
}

/** State 2v: at the entrance of node v. State 2v + 1: at its exit. */
class Flow {
  readonly #potential: Float64Array
  readonly #distance: Float64Array
  readonly #before: Int32Array
  /** The hop of the flow into and out of a node between the ends; -1: the node is free. */
  readonly #into: Int32Array
  readonly #outOf: Int32Array
  /** Nodes after the source. */
  readonly #starts = new Set<number>()

  constructor (private readonly graph: Hops, private readonly from: number, private readonly to: number, private readonly rules: SearchRules) {
    const { size } = graph
    this.#potential = new Float64Array(2 * size)
    this.#distance = new Float64Array(2 * size)
    this.#before = new Int32Array(2 * size)
    this.#into = new Int32Array(size).fill(-1)
    this.#outOf = new Int32Array(size).fill(-1)
  }

  /** Adds one path. @returns whether there was one. */
  augment (): boolean {
    if (!this.#search()) return false
    const goal = 2 * this.to, reach = this.#distance[goal]!
    for (let state = 0; state < this.#potential.length; state++) this.#potential[state]! += Math.min(this.#distance[state]!, reach)
    this.#apply(goal)
    return true
  }

  paths (): FoundPath[] {
    const found = [...this.#starts].map((start): FoundPath => {
      const nodes = [this.from]
      let cost = 0
      for (let node = start; ; node = this.#outOf[node]!) {
        cost += this.#cost(nodes.at(-1)!, node)
        nodes.push(node)
        if (node === this.to) return { nodes, cost }
      }
    })
    return found.sort((a, b) => a.cost - b.cost || a.nodes.length - b.nodes.length || compare(a.nodes, b.nodes))
  }

  /** Dijkstra over the residual graph by reduced costs. @returns whether the destination was reached. */
  #search (): boolean {
    const distance = this.#distance.fill(Infinity), heap = new Heap(), goal = 2 * this.to, start = 2 * this.from + 1
    const done = new Uint8Array(distance.length)
    distance[start] = 0
    heap.push(start, 0)
    const reach = (state: number, via: number, cost: number): void => {
      const total = distance[via]! + Math.max(0, cost + this.#potential[via]! - this.#potential[state]!)
      if (total >= distance[state]!) return
      distance[state] = total
      this.#before[state] = via
      heap.push(state, total)
    }
    for (let state = heap.pop(); state >= 0; state = heap.pop()) {
      if (done[state] === 1) continue
      if (state === goal) return true
      done[state] = 1
      const node = state >> 1
      if ((state & 1) === 1) this.#leave(node, state, reach)
      else this.#enter(node, state, reach)
    }
    return false
  }

  /** From the exit of a node: along its free hops; or back through a node that carries flow, to its entrance. */
  #leave (node: number, state: number, reach: (state: number, via: number, cost: number) => void): void {
    const targets = this.graph.targets[node]!, costs = this.graph.costs[node]!
    for (let k = 0; k < targets.length; k++) {
      const target = targets[k]!
      if (target === this.from || this.#carries(node, target) || !this.rules.allows(node, target)) continue
      if (target !== this.to && !this.rules.passes(target)) continue
      reach(2 * target, state, costs[k]! + this.rules.penalty(target))
    }
    if (node !== this.from && this.#into[node] !== -1) reach(2 * node, state, 0)
  }

  /** From the entrance of a node: through it if it is free; or back along the hop of the flow that comes in. */
  #enter (node: number, state: number, reach: (state: number, via: number, cost: number) => void): void {
    const into = this.#into[node]!
    if (into === -1) reach(2 * node + 1, state, 0)
    else if (into !== this.from) reach(2 * into + 1, state, -this.#cost(into, node))
    // A hop from the source itself is not given back: a way that returns to the source is never needed.
  }

  #carries (node: number, target: number): boolean {
    if (node === this.from) return target === this.to ? this.#starts.has(target) : this.#into[target] === node
    return this.#outOf[node] === target
  }

  #cost (node: number, target: number): number {
    return this.graph.costs[node]![this.graph.targets[node]!.indexOf(target)]! + this.rules.penalty(target)
  }

  /** Follows the way found back from the destination: new hops are added, hops that it went against are taken out. */
  #apply (goal: number): void {
    const added: [number, number][] = [], removed: [number, number][] = []
    for (let state = goal; state !== 2 * this.from + 1; state = this.#before[state]!) {
      const via = this.#before[state]!, node = state >> 1, before = via >> 1
      if (node === before) continue
      if ((state & 1) === 0) added.push([before, node])
      else removed.push([node, before])
    }
    for (const [a, b] of removed) {
      if (this.#outOf[a] === b) this.#outOf[a] = -1
      if (this.#into[b] === a) this.#into[b] = -1
    }
    for (const [a, b] of added) {
      if (a === this.from) this.#starts.add(b)
      else this.#outOf[a] = b
      if (b !== this.to) this.#into[b] = a
    }
  }
}

const compare = (a: readonly number[], b: readonly number[]): number => {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}
