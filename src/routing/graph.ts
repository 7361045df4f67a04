import type { KmeId } from '../kernel/ids.js'
import type { AnnouncedLink } from './announcement.js'
import { hopCost } from './cost.js'

/** What a KME announces of its links. */
export interface NodeLinks { readonly transit: boolean, readonly links: readonly AnnouncedLink[] }

/** A graph as the path finders read it: nodes are numbers, the hops out of node i go to `targets[i]` at `costs[i]`. */
export interface Hops {
  readonly size: number
  readonly targets: readonly (readonly number[])[]
  readonly costs: readonly (readonly number[])[]
}

/**
 * The network as it is announced. A hop counts only if both ends announce the link and neither says that it is down; its cost
 * is what the end says that pads. Changing one KME's announcement costs its own links only.
 */
export class Graph implements Hops {
  readonly targets: number[][] = []
  readonly costs: number[][] = []
  readonly #names: KmeId[] = []
  readonly #index = new Map<KmeId, number>()
  readonly #announced: (ReadonlyMap<number, AnnouncedLink> | undefined)[] = []
  readonly #transit: boolean[] = []
  #version = 0

  get size (): number { return this.#names.length }
  /** Moves at every change that can change a path. */
  get version (): number { return this.#version }
  indexOf (kme: KmeId): number | undefined { return this.#index.get(kme) }
  nameOf (node: number): KmeId { return this.#names[node]! }
  /** Whether the KME itself announces anything. */
  isAnnounced (node: number): boolean { return this.#announced[node] !== undefined }
  relays (node: number): boolean { return this.#transit[node] === true }
  linksOf (node: number): ReadonlyMap<number, AnnouncedLink> { return this.#announced[node] ?? new Map() }

  /** Cost of a hop; Infinity if there is none. */
  hop (from: number, to: number): number {
    const at = this.targets[from]!.indexOf(to)
    return at < 0 ? Infinity : this.costs[from]![at]!
  }

  /** Takes what a KME announces in the place of what it announced before; undefined when it announces nothing any more. */
  set (kme: KmeId, node: NodeLinks | undefined): void {
    const i = this.#intern(kme)
    const before = this.#announced[i]
    const wasTransit = this.relays(i)
    this.#transit[i] = node?.transit ?? false
    const now = node === undefined ? undefined : new Map(node.links.map((link) => [this.#intern(link.neighbour), link]))
    this.#announced[i] = now
    let moved = wasTransit !== this.relays(i) || (before === undefined) !== (now === undefined)
    moved = this.#rebuild(i) || moved
    for (const neighbour of new Set([...before?.keys() ?? [], ...now?.keys() ?? []])) moved = this.#rebuild(neighbour) || moved
    if (moved) this.#version++
  }

  /** @returns whether anything is different. */
  #rebuild (i: number): boolean {
    const targets: number[] = [], costs: number[] = []
    for (const [j, link] of this.#announced[i] ?? []) {
      const back = this.#announced[j]?.get(i)
      const cost = back === undefined || back.state === 'down' ? Infinity : hopCost(link)
      if (cost === Infinity) continue
      targets.push(j)
      costs.push(cost)
    }
    const same = targets.length === this.targets[i]!.length && targets.every((target, k) => target === this.targets[i]![k] && costs[k] === this.costs[i]![k])
    if (same) return false
    this.targets[i] = targets
    this.costs[i] = costs
    return true
  }

  #intern (kme: KmeId): number {
    const known = this.#index.get(kme)
    if (known !== undefined) return known
    const i = this.#names.length
    this.#names.push(kme)
    this.#index.set(kme, i)
    this.targets.push([])
    this.costs.push([])
    this.#announced.push(undefined)
    this.#transit.push(false)
    return i
  }
}
