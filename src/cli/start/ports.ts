import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { KmeError } from '../../kernel/errors.js'
import type { Random } from '../../kernel/random.js'
import { exitCodes } from '../exit-codes.js'
import type { PortPairs, Ports, StartOptions } from './options.js'
import { defaultPorts } from './options.js'

const host = '127.0.0.1'

/** Listens and closes again. @returns the port; 0 asks for a free one. */
const tryPort = (port: number): Promise<number> => new Promise((resolve, reject) => {
  const server = createServer()
  server.on('error', reject)
  server.listen({ port, host, exclusive: true }, () => {
    const found = (server.address() as AddressInfo).port
    server.close(() => { resolve(found) })
  })
})

const RANGE_FILE = '/proc/sys/net/ipv4/ip_local_port_range'
const LEAST_PORT = 1_024
const BELOW = 12_000
const TRIES = 64
const ATTEMPTS = 3

/** Where the kernel takes ports from for connections: one of these may be gone a moment later. `low` is the first of them. */
const kernelsFirstPort = (): number => {
  try {
    return Number(readFileSync(RANGE_FILE, 'utf8').split(/\s+/)[0])
  } catch { return 0 } // No Linux as we know it: then any free port.
}

/** Different ports that were free a moment ago, drawn by chance below those that the kernel gives away by itself, where that leaves enough. */
const freePorts = async (count: number, random: Random): Promise<number[]> => {
  const end = kernelsFirstPort(), found = new Set<number>()
  for (let tries = end < LEAST_PORT + BELOW ? 0 : TRIES; tries > 0 && found.size < count; tries--) {
    const port = end - 1 - random.integer(BELOW)
    if (await tryPort(port).then(() => true, () => false)) found.add(port)
  }
  while (found.size < count) found.add(await tryPort(0))
  return [...found]
}

/**
 * Runs a start, and again while it ends because somebody took one of its free ports before it did: each attempt chooses anew.
 *
 * @param attempt Starts, runs and ends: its exit code.
 * @param isOver Whether the person has asked to stop.
 * @param say Told before another attempt.
 * @returns the exit code of the last attempt.
 */
export const withOtherPorts = async (options: Pick<StartOptions, 'freePorts'>, attempt: () => Promise<number>, isOver: () => boolean, say: (text: string) => void): Promise<number> => {
  for (let left = options.freePorts ? ATTEMPTS : 1; ; left--) {
    const code = await attempt()
    if (code !== exitCodes.port.code || left <= 1 || isOver()) return code
    say('a port that was free has been taken meanwhile: once more, with others')
  }
}

/** The ports of this start: free ones if asked for, else options, else those of the last start, else the defaults. */
export const choosePorts = async (options: StartOptions, last: PortPairs | undefined, random: Random): Promise<PortPairs> => {
  const { restPorts, peeringPorts, adminPorts } = options
  const found = options.freePorts ? await freePorts(6, random) : undefined
  const base: PortPairs = found === undefined ? last ?? defaultPorts : {
    a: { rest: found[0]!, peering: found[1]!, admin: found[2]! }, b: { rest: found[3]!, peering: found[4]!, admin: found[5]! },
  }
  const at = (index: 0 | 1, site: Ports): Ports => ({
    rest: restPorts?.[index] ?? site.rest, peering: peeringPorts?.[index] ?? site.peering, admin: adminPorts?.[index] ?? site.admin,
  })
  return { a: at(0, base.a), b: at(1, base.b) }
}

/** A port with what it is for. */
export interface NamedPort { readonly use: string, readonly port: number, readonly option: string }

/**
 * Looks whether every port can be listened on, before anything starts.
 *
 * @param withFreePorts The command that takes free ones.
 * @throws KmeError `PORT_TAKEN` naming every port that is taken, and how to choose others.
 */
export const checkPorts = async (ports: readonly NamedPort[], withFreePorts: string): Promise<void> => {
  const twice = ports.find(({ port }, index) => ports.findIndex((other) => other.port === port) !== index)
  if (twice !== undefined) throw new KmeError('CONFIG_INVALID', `port ${twice.port} is given twice (${ports.filter(({ port }) => port === twice.port).map(({ use }) => use).join('; ')})\nGive each its own, or take free ones: ${withFreePorts}`)
  const taken: string[] = []
  for (const { use, port, option } of ports) {
    try {
      await tryPort(port)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      taken.push(code === 'EADDRINUSE' ? `port ${port} (${use}, ${option}) is taken by another process` : `port ${port} (${use}, ${option}) cannot be used: ${(error as Error).message}`)
    }
  }
  if (taken.length > 0) {
    throw new KmeError('PORT_TAKEN', `${taken.join('\n')}\nTake free ports:       ${withFreePorts}\nOr see who has them:   ss -ltnp`)
  }
}
