import type { Command } from 'commander'
import type { LinkView, PoolView } from '../../admin/port.js'
import type { CliContext } from '../context.js'
import { grouped, table } from '../output.js'
import { act, list } from './plain.js'

/** `qkme link …` */
export const registerLink = (program: Command, context: CliContext): void => {
  const link = program.command('link').description('QKD links between this KME and its neighbours.')
  list<LinkView>(link, context, {
    description: 'Show each link, its state and error rate.', path: '/v1/links',
    text: (links) => table(['LINK', 'TO', 'QBER', 'BIT/S', 'STATE'], links.map((one) => [
      one.id, one.remote, one.qber === null ? '-' : `${(one.qber * 100).toFixed(2)} %`, grouped(Math.round(one.keyBitsPerS)), one.quarantineCause === null ? one.state : `${one.state} (${one.quarantineCause})`,
    ]), 'llrrl'),
  })
  act(link, context, { name: 'release', description: 'End a quarantine or a hold, on probation. What waits at the device is discarded. Ends an alert of compromised key, too.', argumentDescription: 'link, as "link/1" or "1"', path: (id) => `/v1/links/${id}/release`, done: 'released' })
  act(link, context, {
    name: 'hold', description: 'Take no key from a link, at both its ends, until it is released here. What comes meanwhile is discarded.',
    argumentDescription: 'link, as "link/1" or "1"', path: (id) => `/v1/links/${id}/hold`, done: 'held', reason: 'why, for the record',
  })
}

/** `qkme pool …` */
export const registerPool = (program: Command, context: CliContext): void => {
  const pool = program.command('pool').description('Stock of key shared with a KME.')
  list<PoolView>(pool, context, {
    description: 'Show each pool, its state and stock.', path: '/v1/pools',
    text: (pools) => table(['POOL', 'WITH', 'STOCK BITS', 'OF', 'STATE'], pools.map((one) => [one.id, one.remote, grouped(one.stockBits), grouped(one.stockMaxBits), one.state]), 'llrrl'),
  })
  act(pool, context, { name: 'resume', description: 'End a suspension, after its cause is understood.', argumentDescription: 'KME that the pool is shared with', path: (id) => `/v1/pools/${id}/resume`, done: 'resumed' })
  act(pool, context, { name: 'replenish', description: 'Ask for stock now instead of at the threshold.', argumentDescription: 'KME that the pool is shared with', path: (id) => `/v1/pools/${id}/replenish`, done: 'asked' })
}
