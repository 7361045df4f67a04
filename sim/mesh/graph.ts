import type { KmeId } from '../../src/kernel/ids.js'

type Link = readonly [KmeId, KmeId]

/** All ways without circles through a small network. */
const waysOf = (links: readonly Link[], from: KmeId, to: KmeId): KmeId[][] => {
  const found: KmeId[][] = []
  const walk = (path: KmeId[]): void => {
    const last = path.at(-1)!
    if (last === to) { found.push(path); return }
    for (const [a, b] of links) {
      const next = a === last ? b : b === last ? a : undefined
      if (next !== undefined && !path.includes(next)) walk([...path, next])
    }
  }
  walk([from])
  return found
}

/** Whether two ways lead from one KME to the other that share no node between and no link. */
export const isTwofold = (links: readonly Link[], from: KmeId, to: KmeId): boolean => {
  const ways = waysOf(links, from, to)
  return ways.some((way, i) => ways.slice(0, i).some((other) => !way.slice(1, -1).some((node) => other.includes(node))))
}
