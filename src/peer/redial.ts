import type { KmeId } from '../kernel/ids.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { dialRole } from './collision.js'
import type { PeerLimits } from './limits.js'
import type { PeerManager } from './manager.js'
import type { PeerEvent } from './state.js'

export type RedialLimits = Pick<PeerLimits, 'graceMs' | 'backoffMinMs' | 'backoffMaxMs' | 'stableMs'>

/**
 * How long to wait before the next attempt: doubling from the least to the greatest wait, the half of it drawn at random, so
 * that KMEs that lost their peers together do not come back together.
 *
 * @param attempt Failures in a row before this attempt; 0: anything within the least wait.
 */
export const backoffDelayMs = (limits: Pick<PeerLimits, 'backoffMinMs' | 'backoffMaxMs'>, attempt: number, random: Random): number => {
  if (attempt === 0) return random.integer(limits.backoffMinMs)
  const fullMs = Math.min(limits.backoffMaxMs, limits.backoffMinMs * 2 ** Math.min(attempt, 40))
  return Math.round(fullMs / 2) + random.integer(Math.ceil(fullMs / 2))
}

export interface RedialOptions {
  readonly self: KmeId
  readonly remote: KmeId
  readonly hasUrl: boolean
  readonly manager: Pick<PeerManager, 'attach' | 'dialOnce'>
  readonly clock: Clock
  readonly random: Random
  readonly limits: RedialLimits
  /** A wait has begun. */
  readonly onWait: (delayMs: number) => void
}

/**
 * Keeps one peer connected, for whoever has no machine of its own to do so: dials if it is our turn, waits longer after each
 * failure, and forgets the failures when a connection has lived for a while.
 *
 * @returns stops dialling; an open connection stays.
 */
export const keepConnected = (options: RedialOptions): Cancel => {
  const { clock, limits, manager, remote } = options
  const role = dialRole(options.self, remote, options.hasUrl)
  let attempt = 0
  let readySinceMs: number | undefined
  let cancelTimer: Cancel = () => {}
  const wait = (): void => {
    if (role === 'never') return
    cancelTimer()
    const delayMs = backoffDelayMs(limits, attempt, options.random) + (role === 'after-grace' ? limits.graceMs : 0)
    attempt++
    options.onWait(delayMs)
    cancelTimer = clock.after(delayMs, () => { manager.dialOnce(remote) })
  }
  const detach = manager.attach(remote, (event: PeerEvent) => {
    if (event.type === 'peer.ready') readySinceMs = clock.monoMs()
    if (event.type !== 'peer.disconnected') return
    if (readySinceMs !== undefined && clock.monoMs() - readySinceMs >= limits.stableMs) attempt = 0
    readySinceMs = undefined
    wait()
  })
  wait()
  return () => {
    cancelTimer()
    detach()
  }
}
