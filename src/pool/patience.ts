import { FIRST_PATIENCE_MS, type Flight, type Flights } from './flights.js'
import type { PendingFrames } from './pending.js'
import type { Purpose } from './rows.js'

/** What becomes of a proposal whose frames the other side lacks: 'all' gives up every frame that waits, too. */
export type Verdict = 'wait' | 'giveUp' | 'all'

/**
 * Frames that one end alone has: a device was killed, a ring overran, a store is new. The proposer cannot know them from frames that are
 * late at the other end, so it waits for `missingFrameMs`, but not where it can tell:
 * - both ends of a device get the frames in the same order, so what is older than a frame that the other side has never comes;
 * - what everything else waits for, ID epochs and pads, is given up after two seconds, the next time after four and so on, and then made of the newest
 *   frames, which are the likeliest to come at both ends. So are single blocks between while others lack their frames.
 */
export class Patience {
  /** By link the latest frame here, in order of arrival, that the other side is known to have. */
  private readonly held = new Map<number, number>()
  private urgentMs = FIRST_PATIENCE_MS
  private gaveUpMs = -Infinity

  constructor (
    private readonly flights: Flights, private readonly pending: PendingFrames, private readonly missingFrameMs: number,
    private readonly nowMs: () => number, private readonly inOrder: boolean,
  ) {}

  /** Of the newest frames one block at a time is for keys: older ones, which the other side may have, too, must not wait behind all that come. */
  takesNewest (purpose: Purpose): boolean {
    if (purpose === 'app') return this.flights.lackLong && !this.flights.hasNewest
    return this.flights.lackLong || this.nowMs() - this.gaveUpMs < this.missingFrameMs
  }

  /** For a proposal that is made now. */
  get ofUrgentMs (): number { return Math.min(this.urgentMs, this.missingFrameMs) }

  stored (flight: Flight): void { this.raise(flight, []) }

  /** @param missing  Which of the proposal's frames the other side lacks; none: it lacks something else. */
  missing (flight: Flight, missing: readonly number[]): Verdict {
    const ageMs = this.nowMs() - flight.sinceMs
    if (missing.length > 0) this.raise(flight, missing)
    if (ageMs >= this.missingFrameMs || (ageMs >= FIRST_PATIENCE_MS && missing.some((i) => this.isPassedOver(flight, i)))) return this.giveUp(flight)
    const isUrgent = flight.isNewest || flight.message.purpose !== 'app'
    if (isUrgent && ageMs >= flight.patienceMs && this.pending.size > 0) { // There is another to try.
      this.urgentMs = Math.max(this.urgentMs, 2 * flight.patienceMs)
      this.gaveUpMs = this.nowMs()
      this.giveUp(flight)
      // Neither the oldest frames nor the newest, and no room for others: the ring stands still.
      return flight.isNewest && this.pending.full ? 'all' : 'giveUp'
    }
    this.flights.lacks(flight.message.number)
    return 'wait'
  }

  /** Whether to ask for this one once more now: it is given up unless it came meanwhile. */
  hurries (flight: Flight): boolean {
    return this.nowMs() - flight.sinceMs >= FIRST_PATIENCE_MS && flight.message.frames.some((_, i) => this.isPassedOver(flight, i))
  }

  /** Another connection, perhaps another store. */
  reset (): void {
    this.held.clear()
    this.urgentMs = FIRST_PATIENCE_MS
    this.gaveUpMs = -Infinity
  }

  private giveUp ({ message }: Flight): 'giveUp' {
    this.flights.delete(message.number)
    return 'giveUp'
  }

  private isPassedOver ({ message, orders }: Flight, i: number): boolean {
    const frame = message.frames[i]
    return frame !== undefined && (orders[i] ?? 0) < (this.held.get(frame.link) ?? 0)
  }

  /** The other side has the frames that it does not lack. */
  private raise ({ message, orders }: Flight, missing: readonly number[]): void {
    if (!this.inOrder) return
    message.frames.forEach(({ link }, i) => {
      const order = orders[i] ?? 0
      if (order > (this.held.get(link) ?? 0) && !missing.includes(i)) this.held.set(link, order)
    })
  }
}
