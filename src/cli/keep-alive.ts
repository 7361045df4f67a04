import { MessageChannel } from 'node:worker_threads'
import type { Clock } from '../kernel/time.js'

/** Waits and keeps the process alive meanwhile: the clock's own timers do not. */
export const pause = (clock: Clock, delayMs: number): Promise<void> => new Promise((resolve) => {
  const { port1 } = new MessageChannel()
  port1.on('message', () => {}) // A port that listens holds the event loop.
  clock.after(delayMs, () => {
    port1.close()
    resolve()
  })
})
