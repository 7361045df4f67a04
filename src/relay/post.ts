import type { KmeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import type { Body, MessageName } from '../peer/messages.js'
import type { NeighbourLane } from './ports.js'

const WAITING_MAX = 512
/** Of the bits of jobs. */
const WAITING_BYTES_MAX = 4_194_304
/** What waited longer is dropped: the source of its job has other ways by then. */
const AGE_MAX_MS = 2_000

interface Waiting { readonly sinceMs: number, readonly bytes: number, send (): boolean }

const bytesOf = (body: object): number => (body as { data?: Uint8Array }).data?.length ?? 0

/**
 * Messages to neighbours that found no pad or no room: a channel has moments without a pad, while the next ones are marked as spent. They
 * wait, in order and within bounds, instead of being lost, which would cost a job its bits or its time.
 */
export class Post {
  private readonly queues = new Map<KmeId, Waiting[]>()
  /** @param aged So many messages to that neighbour waited too long and are lost. */
  constructor (private readonly clock: Clock, private readonly aged: (kme: KmeId, messages: number) => void) {}

  /** The same lane with a way that waits. */
  lane (kme: KmeId, lane: NeighbourLane): NeighbourLane {
    return { access: lane.access, send: (name, body) => this.send(kme, lane, name, body) }
  }

  private send<N extends MessageName> (kme: KmeId, lane: NeighbourLane, name: N, body: Body<N>): boolean {
    const queue = this.queues.get(kme) ?? []
    if (queue.length === 0 && lane.send(name, body)) return true
    const bytes = bytesOf(body)
    if (!lane.access.isReady || queue.length >= WAITING_MAX || queue.reduce((sum, w) => sum + w.bytes, bytes) > WAITING_BYTES_MAX) return false
    queue.push({ sinceMs: this.clock.monoMs(), bytes, send: () => lane.send(name, body) })
    this.queues.set(kme, queue)
    return true
  }

  /** Tries again what waits for one neighbour, or for all. */
  flush (only?: KmeId): void {
    const oldestMs = this.clock.monoMs() - AGE_MAX_MS
    for (const [kme, queue] of only === undefined ? this.queues : [[only, this.queues.get(only) ?? []] as const]) {
      let done = 0, aged = 0
      for (const waiting of queue) {
        if (waiting.sinceMs < oldestMs) aged++
        else if (!waiting.send()) break
        done++
      }
      queue.splice(0, done)
      if (queue.length === 0) this.queues.delete(kme)
      if (aged > 0) this.aged(kme, aged)
    }
  }

  /** The connection has ended. */
  drop (kme: KmeId): void { this.queues.delete(kme) }
}
