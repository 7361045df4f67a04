/** Long turns of the event loop in a CPU profile: what holds requests up, however little of the whole time it takes. */

interface Frame { readonly functionName: string, readonly url: string, readonly lineNumber: number }
export interface ProfileNode { readonly id: number, readonly callFrame: Frame, readonly children?: readonly number[] }
export interface Profile { readonly nodes: readonly ProfileNode[], readonly samples: readonly number[], readonly timeDeltas: readonly number[], readonly startTime: number }

/** How many turns of one kind there were, and the longest. */
export interface LongTurns { readonly what: string, count: number, longestUs: number, sumUs: number }

export const nameOf = ({ functionName, url, lineNumber }: Frame): string => `${functionName === '' ? '(anonymous)' : functionName} ${url.replace(/^.*\/(dist|node_modules)\//, '')}:${lineNumber + 1}`

/** The handler of a request: runs of its samples are many requests one after the other, with socket work between that a profiler does not see. */
const isHandler = (path: readonly string[]): boolean => path[0]?.includes('src/http/routes.js') === true

/**
 * Runs of samples under one and the same function that the event loop called, of at least `leastUs`, by the first two functions of ours in them.
 * A run of a collection counts for itself. What lies between two samples is not seen: `leastUs` should be some of their distances.
 */
export const longTurns = (profile: Profile, [fromUs, toUs]: readonly [number, number], leastUs: number): LongTurns[] => {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node])), parents = new Map<number, number>()
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node.id)
  /** From the event loop's call to the innermost function; [] while nothing of JavaScript runs. */
  const pathOf = (id: number): string[] => {
    const path: string[] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) path.unshift(nameOf(nodes.get(at)!.callFrame))
    return path[1]?.startsWith('(idle)') === true || path[1]?.startsWith('(program)') === true ? [] : path.slice(1)
  }
  const found = new Map<string, LongTurns>()
  let path: string[] = [], ours = new Map<string, number>(), lengthUs = 0, atUs = profile.startTime
  const end = (): void => {
    if (lengthUs < leastUs || path.length === 0 || isHandler(path)) return
    const what = [...ours].sort((a, b) => b[1] - a[1])[0]?.[0] ?? path[0]!
    const turns = found.get(what) ?? { what, count: 0, longestUs: 0, sumUs: 0 }
    turns.count++
    turns.sumUs += lengthUs
    turns.longestUs = Math.max(turns.longestUs, lengthUs)
    found.set(what, turns)
  }
  profile.samples.forEach((id, i) => {
    const deltaUs = profile.timeDeltas[i] ?? 0
    atUs += deltaUs
    if (atUs < fromUs || atUs > toUs) return
    const next = pathOf(id)
    if (next[0] !== path[0]) {
      end()
      ours = new Map()
      lengthUs = 0
    }
    path = next
    lengthUs += deltaUs
    const mine = next.filter((name) => / (src|machines)\//.test(name)).filter((_, at, all) => at < 2 || at >= all.length - 3).join(' > ')
    ours.set(mine === '' ? next[0] ?? '' : mine, (ours.get(mine) ?? 0) + deltaUs)
  })
  end()
  return [...found.values()].sort((a, b) => b.sumUs - a.sumUs)
}
