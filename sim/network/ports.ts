import { createServer } from 'node:net'
import { invariant } from '../../src/kernel/errors.js'
import { systemRandom } from '../../src/kernel/system-random.js'

/** Below the ports that Linux gives to whoever asks for any (from 32768): programs beside us, which ask so all the time, cannot get one of ours before we listen. */
const FIRST = 10_000, COUNT = 22_000
const TRIES_MAX = 1_000

const isFree = (port: number): Promise<boolean> => new Promise((resolve) => {
  const server = createServer().once('error', () => { resolve(false) })
  server.listen({ port, host: '127.0.0.1', exclusive: true }, () => { server.close(() => { resolve(true) }) })
})

/** Ports of 127.0.0.1 that nobody listens on now, all different: for processes that take their ports from a configuration. */
export const freePorts = async (count: number): Promise<number[]> => {
  const found = new Set<number>()
  for (let tries = 0; found.size < count; tries++) {
    invariant(tries < TRIES_MAX, 'ports are free')
    const port = FIRST + systemRandom.integer(COUNT)
    if (!found.has(port) && await isFree(port)) found.add(port)
  }
  return [...found]
}
