import { performance } from 'node:perf_hooks' // The global of this name is a getter, and this is read several times a request.
import type { Clock, LetGo, Soon } from './time.js'

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

/** After the I/O that is being handled now (the check phase of the event loop). */
export const systemSoon: Soon = (fn) => { setImmediate(fn) }

/** The clock's timers do not keep the process alive; a server that has nothing else open needs this. */
export const stayAlive = (): LetGo => {
  const timer = setInterval(() => {}, 2 ** 30)
  return () => { clearInterval(timer) }
}
