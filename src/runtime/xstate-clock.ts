import type { Cancel, Clock } from '../kernel/time.js'

/** The form in which XState wants its time. A timer's handle is its own cancellation. */
export interface MachineClock {
  setTimeout (fn: (...args: unknown[]) => void, delayMs: number): Cancel
  clearTimeout (cancel: Cancel | undefined): void
}

/** Lets machines run on the Clock of the process, or on a simulated one. */
export const machineClock = (clock: Clock): MachineClock => ({
  setTimeout: (fn, delayMs) => clock.after(delayMs, () => { fn() }),
  clearTimeout: (cancel) => { cancel?.() },
})
