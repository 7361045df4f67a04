import type { KmeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import type { RelayLimits } from './limits.js'
import type { PathHop } from './ports.js'

interface Mark { untilMs: number, failures: number }
const MARKS_MAX = 1_024

/**
 * Links and nodes that failed lately: not asked again for a while that doubles with each failure in a row. What fails while it is avoided was
 * under way before: a window of jobs that meet one closed link are one failure, and not as many as would close it for a minute.
 */
export class Avoid {
  private readonly hops = new Map<string, Mark & PathHop>()
  private readonly nodes = new Map<KmeId, Mark>()
  constructor (private readonly clock: Clock, private readonly limits: RelayLimits) {}

  /** Nothing goes over this link for a while. */
  hop (from: KmeId, to: KmeId): void {
    const key = `${from}\n${to}`
    this.bound(this.hops, key)
    this.hops.set(key, { ...this.next(this.hops.get(key)), from, to })
  }

  /** Other ways than through this node for a while, if there are any. */
  node (kme: KmeId): void {
    this.bound(this.nodes, kme)
    this.nodes.set(kme, this.next(this.nodes.get(kme)))
  }

  /** A job over this path went well: its links and nodes are forgiven. */
  forgive (path: readonly KmeId[]): void {
    if (this.hops.size === 0 && this.nodes.size === 0) return
    for (let i = 1; i < path.length; i++) this.hops.delete(`${path[i - 1]!}\n${path[i]!}`)
    for (const node of path) this.nodes.delete(node)
  }

  get excludedHops (): PathHop[] { return [...this.hops.values()].filter((m) => this.clock.monoMs() < m.untilMs) }
  get avoided (): KmeId[] { return [...this.nodes].filter(([, m]) => this.clock.monoMs() < m.untilMs).map(([kme]) => kme) }

  private next (before: Mark | undefined): Mark {
    const nowMs = this.clock.monoMs(), { avoidMs, avoidMaxMs } = this.limits
    if (before !== undefined && nowMs < before.untilMs) return before
    const failures = before === undefined || nowMs - before.untilMs > avoidMaxMs ? 1 : before.failures + 1
    return { failures, untilMs: nowMs + Math.min(avoidMaxMs, avoidMs * 2 ** (failures - 1)) }
  }

  /** Room for one more name; a known one needs none. */
  private bound (marks: Map<string, Mark>, name: string): void {
    if (marks.size >= MARKS_MAX && !marks.has(name)) for (const oldest of marks.keys()) { marks.delete(oldest); break }
  }
}
