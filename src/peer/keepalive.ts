import type { Cancel, Clock } from '../kernel/time.js'
import type { PeerLimits } from './limits.js'

/** What a watched connection does. */
export interface Watched {
  readonly bufferedBytes: number
  ping (): void
  /** Nothing was heard, or nothing of what waits was taken, for the idle timeout. */
  dead (why: string): void
}

/**
 * Watches a connection: pings when it is quiet, and finds out when the other side neither speaks nor reads. A peer that
 * reads nothing is dead even if it speaks: otherwise its full queue would block us for ever.
 */
export class Keepalive {
  #heardMs: number
  #movedMs: number
  #cancel: Cancel

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
    const quietMs = nowMs - this.#heardMs, stuckMs = nowMs - this.#movedMs
    if (quietMs >= this.limits.idleTimeoutMs) { this.watched.dead(`nothing was heard for ${Math.round(quietMs)} ms`); return }
    if (stuckMs >= this.limits.idleTimeoutMs) { this.watched.dead(`the peer has read nothing for ${Math.round(stuckMs)} ms`); return }
    if (quietMs >= this.limits.pingAfterMs) this.watched.ping()
    this.#cancel = this.clock.after(this.limits.pingAfterMs, this.#look)
  }
}
