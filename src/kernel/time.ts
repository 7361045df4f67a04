/** Cancels a timer; calling it twice is harmless. */
export type Cancel = () => void

/**
 * All time in qkme goes through a Clock, so that a simulation can own it. Only `systemClock`
 * (src/kernel/system-clock.ts) touches Date and setTimeout.
 */
export interface Clock {
  /** Milliseconds since 1970 UTC. For display and certificates only: it may jump. */
  wallMs (): number
  /** Milliseconds that never go back, from an arbitrary origin. For every age, delay and rate. */
  monoMs (): number
  /** Runs `fn` once after `delayMs`. An exception in `fn` is a bug and surfaces as uncaught. */
  after (delayMs: number, fn: () => void): Cancel
}

/** Runs `fn` after the events that are being handled now: what comes together is gathered. */
export type Soon = (fn: () => void) => void

/** Keeps the process alive until it is called. */
export type LetGo = () => void
