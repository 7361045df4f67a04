import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { KmeError } from '../../kernel/errors.js'
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

/** Different ports that were free a moment ago. */
const freePorts = async (count: number): Promise<number[]> => {
  const found = new Set<number>()
  while (found.size < count) found.add(await tryPort(0))
  return [...found]
}

/** The ports of this start: free ones if asked for, else options, else those of the last start, else the defaults. */
export const choosePorts = async (options: StartOptions, last: PortPairs | undefined): Promise<PortPairs> => {
  const { restPorts, peeringPorts, adminPorts } = options
  const found = options.freePorts ? await freePorts(6) : undefined
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
