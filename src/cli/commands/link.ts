import type { Command } from 'commander'
import type { LinkView, PoolView } from '../../admin/port.js'
import { adminOf, outputOf, withAdminOptions, type CliContext } from '../context.js'
import { grouped, table } from '../output.js'

interface AdminOptions { readonly config?: string, readonly socket?: string }

/** A command that does one thing to one thing. */
const act = (group: Command, context: CliContext, what: { name: string, description: string, argument: string, path: (id: string) => string, done: string }): void => {
  withAdminOptions(group.command(what.name)).description(what.description).argument('<id>', what.argument)
    .action(async (id: string, options: AdminOptions, command: Command) => {
      const out = outputOf(context, command)
      await (await adminOf(context, options)).post(what.path(encodeURIComponent(id)), {})
      out.data({ id, done: what.done })
      out.line(`${what.done}: ${id}`)
    })
}

/** `qkme link …` */
export const registerLink = (program: Command, context: CliContext): void => {
  const link = program.command('link').description('QKD links between this KME and its neighbours.')
  withAdminOptions(link.command('list')).description('Show each link, its state and error rate.')
    .action(async (options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), links = await (await adminOf(context, options)).get('/v1/links') as LinkView[]
      out.data(links)
      out.line(table(['LINK', 'TO', 'QBER', 'BIT/S', 'STATE'], links.map((one) => [
        one.id, one.remote, one.qber === null ? '-' : `${(one.qber * 100).toFixed(2)} %`, grouped(Math.round(one.keyBitsPerS)), one.quarantineCause === null ? one.state : `${one.state} (${one.quarantineCause})`,
      ]), 'llrrl'))
    })
  act(link, context, { name: 'release', description: 'End a quarantine or a hold, on probation. What waits at the device is discarded. Ends an alert of compromised key, too.', argument: 'link, as "link/1" or "1"', path: (id) => `/v1/links/${id}/release`, done: 'released' })
  withAdminOptions(link.command('hold')).description('Take no key from a link, at both its ends, until it is released here. What comes meanwhile is discarded.')
    .argument('<id>', 'link, as "link/1" or "1"')
    .requiredOption('--reason <text>', 'why, for the record')
    .action(async (id: string, options: AdminOptions & { reason: string }, command: Command) => {
      const out = outputOf(context, command)
      await (await adminOf(context, options)).post(`/v1/links/${encodeURIComponent(id)}/hold`, { reason: options.reason })
      out.data({ id, done: 'held' })
      out.line(`held: ${id}`)
    })
}

/** `qkme pool …` */
export const registerPool = (program: Command, context: CliContext): void => {
  const pool = program.command('pool').description('Stock of key shared with a KME.')
  withAdminOptions(pool.command('list')).description('Show each pool, its state and stock.')
    .action(async (options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), pools = await (await adminOf(context, options)).get('/v1/pools') as PoolView[]
      out.data(pools)
      out.line(table(['POOL', 'WITH', 'STOCK BITS', 'OF', 'STATE'], pools.map((one) => [one.id, one.remote, grouped(one.stockBits), grouped(one.stockMaxBits), one.state]), 'llrrl'))
    })
  act(pool, context, { name: 'resume', description: 'End a suspension, after its cause is understood.', argument: 'KME that the pool is shared with', path: (id) => `/v1/pools/${id}/resume`, done: 'resumed' })
  act(pool, context, { name: 'replenish', description: 'Ask for stock now instead of at the threshold.', argument: 'KME that the pool is shared with', path: (id) => `/v1/pools/${id}/replenish`, done: 'asked' })
}
