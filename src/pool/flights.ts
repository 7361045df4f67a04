import type { Body } from '../peer/messages.js'

/** Proposals under way that were not answered, or not since they were sent again. */
const UNANSWERED_MAX = 64
/** Proposals whose frames the other side lacks. The other side remembers as many numbers. */
export const LACKING_MAX = 512
/** So many of them are never for ordinary blocks: what brings the others on must find room. */
const URGENT_ROOM = 8
/** What is lacked for so long may never come. */
export const FIRST_PATIENCE_MS = 2_000
const RETRY_MS = 1_000
/** An answer that did not come by then was lost where a queue was full: asked again. */
const UNANSWERED_MS = 5_000

/** How a block's frames were taken from those that wait: their orders of arrival, and whether they were the newest. */
export interface Taken { readonly orders: readonly number[], readonly isNewest: boolean }

/** Frames that were taken before this connection are older than all that wait. */
const before: Taken = { orders: [], isNewest: false }

/** A proposal, the tag that a right answer bears, when it was made, and how long it is waited for if it is urgent. */
export interface Flight extends Taken { readonly answerTag: Uint8Array, readonly message: Body<'propose'>, readonly sinceMs: number, readonly patienceMs: number }

interface Timed extends Flight { askedMs: number, retryAtMs: number }

/**
 * The proposer's proposals under way, by block. Those whose frames the other side lacks wait apart: frames that one end alone has
 * (a device was killed, a ring overran) must not stop what both ends have.
 */
export class Flights {
  private readonly open = new Map<number, Timed>()
  private readonly lacking = new Map<number, Timed>()

  constructor (private readonly nowMs: () => number) {}

  /** How many more may be proposed: each that is not answered may come to be one of those that the other side lacks. */
  get room (): number { return Math.max(0, Math.min(UNANSWERED_MAX, LACKING_MAX - URGENT_ROOM - this.lacking.size) - this.open.size) }
  /** As `room`, of urgent ones. */
  get urgentRoom (): number { return Math.max(0, Math.min(UNANSWERED_MAX + URGENT_ROOM, LACKING_MAX - this.lacking.size) - this.open.size) }

  has (number: number): boolean { return this.open.has(number) || this.lacking.has(number) }
  get (number: number): Flight | undefined { return this.open.get(number) ?? this.lacking.get(number) }

  /** Frames of proposals that the other side lacks: stock of nobody, and bounded by themselves. */
  get lackingBytes (): number {
    let bytes = 0
    for (const { message } of this.lacking.values()) for (const frame of message.frames) bytes += frame.length
    return bytes
  }

  /** Whether frames of any are lacked for long. */
  get lackLong (): boolean {
    for (const { sinceMs } of this.lacking.values()) if (this.nowMs() - sinceMs >= FIRST_PATIENCE_MS) return true
    return false
  }

  /** Whether one for keys that was made of the newest frames is under way. */
  get hasNewest (): boolean {
    for (const flights of [this.open, this.lacking]) for (const { isNewest, message } of flights.values()) if (isNewest && message.purpose === 'app') return true
    return false
  }

  add (message: Body<'propose'>, answerTag: Uint8Array, taken: Taken = before, patienceMs = FIRST_PATIENCE_MS): void {
    this.lacking.delete(message.number)
    this.open.set(message.number, { answerTag, message, ...taken, patienceMs, sinceMs: this.nowMs(), askedMs: this.nowMs(), retryAtMs: Infinity })
  }

  /** It is on disk, and was said: not before may it be said again, or after a power cut the other side would remember more of this store than the store itself. */
  said (number: number): void {
    const flight = this.open.get(number)
    if (flight !== undefined) flight.retryAtMs = this.nowMs() + UNANSWERED_MS
  }

  /** The other side lacks frames of it. It is proposed again after a second, or more if there are many: each question costs pads. */
  lacks (number: number): void {
    const flight = this.open.get(number) ?? this.lacking.get(number)
    if (flight === undefined) return
    this.open.delete(number)
    this.lacking.set(number, flight)
    flight.retryAtMs = this.nowMs() + RETRY_MS * Math.max(1, this.lacking.size / UNANSWERED_MAX)
  }

  delete (number: number): void {
    this.open.delete(number)
    this.lacking.delete(number)
  }

  clear (): void {
    this.open.clear()
    this.lacking.clear()
  }

  /** Those to be sent again now. Each is due again when no answer comes. @param hurries  Asked sooner than the others. */
  due (hurries: (flight: Flight) => boolean): Body<'propose'>[] {
    const now = this.nowMs(), out: Body<'propose'>[] = []
    for (const flights of [this.open, this.lacking]) {
      for (const flight of flights.values()) {
        if (now < flight.retryAtMs && (flights === this.open || now - flight.askedMs < RETRY_MS || !hurries(flight))) continue
        flight.retryAtMs = now + UNANSWERED_MS
        flight.askedMs = now
        out.push(flight.message)
      }
    }
    return out
  }
}
