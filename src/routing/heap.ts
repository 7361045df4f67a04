/** A binary heap of small whole numbers by a cost each. Equal costs come out in order of the number, so that runs repeat. */
export class Heap {
  readonly #items: number[] = []
  readonly #costs: number[] = []

  get size (): number { return this.#items.length }

  push (item: number, cost: number): void {
    const items = this.#items, costs = this.#costs
    let at = items.length
    items.push(item)
    costs.push(cost)
    while (at > 0) {
      const up = (at - 1) >> 1
      if (!before(cost, item, costs[up]!, items[up]!)) break
      items[at] = items[up]!
      costs[at] = costs[up]!
      at = up
    }
    items[at] = item
    costs[at] = cost
  }

  /** Cost of what `pop` gives next; Infinity when empty. */
  get least (): number { return this.#costs[0] ?? Infinity }

  /** @returns -1 when empty. */
  pop (): number {
    const items = this.#items, costs = this.#costs
    if (items.length === 0) return -1
    const top = items[0]!
    const item = items.pop()!, cost = costs.pop()!
    const size = items.length
    if (size === 0) return top
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= size) break
      if (down + 1 < size && before(costs[down + 1]!, items[down + 1]!, costs[down]!, items[down]!)) down++
      if (!before(costs[down]!, items[down]!, cost, item)) break
      items[at] = items[down]!
      costs[at] = costs[down]!
      at = down
    }
    items[at] = item
    costs[at] = cost
    return top
  }
}

const before = (costA: number, a: number, costB: number, b: number): boolean => costA < costB || (costA === costB && a < b)
