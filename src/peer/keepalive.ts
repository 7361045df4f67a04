import type { Cancel, Clock } from '../kernel/time.js'
import type { PeerLimits } from './limits.js'

/** What a watched connection does. */
export interface Watched {
  readonly bufferedBytes: number
  ping (): void
  /** Nothing was heard, or nothing of what waits was taken, for the idle timeout. */
  dead (why: string): void
}

/** Before a peer is given up, what has come while this process did other things is read: a part of the time to a ping. */
const LAST_WORD_PART = 10

/**
 * Watches a connection: pings when it is quiet, and finds out when the other side neither speaks nor reads. A peer that
 * reads nothing is dead even if it speaks: otherwise its full queue would block us for ever. A timer runs before sockets are
 * read: after a stall of our own the peer's words are still in there, so silence must last until they have been read.
 */
export class Keepalive {
  #heardMs: number
  #movedMs: number
  #pingedMs = -Infinity
  #cancel: Cancel
  #isDoubted = false

  constructor (private readonly clock: Clock, private readonly limits: Pick<PeerLimits, 'pingAfterMs' | 'idleTimeoutMs'>, private readonly watched: Watched) {
    this.#heardMs = this.#movedMs = clock.monoMs()
    this.#cancel = clock.after(limits.pingAfterMs, this.#look)
  }

  /** Anything came from the other side. */
  heard (): void { this.#heardMs = this.clock.monoMs() }

  /** The other side has taken some of what waited. */
  moved (): void { this.#movedMs = this.clock.monoMs() }

  stop (): void { this.#cancel() }

  readonly #look = (): void => {
    const nowMs = this.clock.monoMs()
    if (this.watched.bufferedBytes === 0) this.#movedMs = nowMs
    const quietMs = nowMs - this.#heardMs, stuckMs = nowMs - this.#movedMs, { idleTimeoutMs, pingAfterMs } = this.limits
    // Who has not been asked owes no sign of life: a stall of our own may have kept the ping back.
    const isSilent = quietMs >= idleTimeoutMs && this.#pingedMs > this.#heardMs
    const why = isSilent ? `nothing was heard for ${Math.round(quietMs)} ms` : stuckMs >= idleTimeoutMs ? `the peer has read nothing for ${Math.round(stuckMs)} ms` : ''
    if (why !== '' && this.#isDoubted) { this.watched.dead(why); return }
    this.#isDoubted = why !== ''
    if (this.#isDoubted) { this.#cancel = this.clock.after(pingAfterMs / LAST_WORD_PART, this.#look); return }
    if (quietMs >= pingAfterMs) {
      this.#pingedMs = nowMs
      this.watched.ping()
    }
    // Not before the next thing can happen, and not after: a period of its own would add itself to the time until a death is seen.
    const pingInMs = quietMs >= pingAfterMs ? pingAfterMs : pingAfterMs - quietMs
    const dueInMs = [idleTimeoutMs - quietMs, idleTimeoutMs - stuckMs].filter((ms) => ms > 0)
    this.#cancel = this.clock.after(Math.min(pingInMs, ...dueInMs), this.#look)
  }
}
