import type { Clock } from './time.js'

/** The machine's clock. Timers do not keep the process alive by themselves: servers and rings do. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monoMs: () => performance.now(),
  after: (delayMs, fn) => {
    const timer = setTimeout(fn, delayMs)
    timer.unref()
    return () => { clearTimeout(timer) }
  },
}
