import { MessageChannel } from 'node:worker_threads'
import type { Clock } from '../kernel/time.js'

/** Waits and keeps the process alive meanwhile: the clock's own timers do not. */
export const pause = (clock: Clock, delayMs: number): Promise<void> => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel()
  port1.on('message', () => {}) // A port that listens holds the event loop.
  clock.after(delayMs, () => {
    port1.close()
    port2.close() // Held until here: a channel whose other end is collected closes by itself, and the process would end.
    resolve()
  })
})
