import type { Command } from 'commander'
import type { AccountView, HealthView, LinkView, PeerView, PoolView, SaePage, SaeView, StatusView } from '../../admin/port.js'
import { KmeError } from '../../kernel/errors.js'
import type { AdminClient } from '../admin-client.js'
import { adminOf, outputOf, withAdminOptions, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { grouped, table } from '../output.js'
import { act, type AdminOptions } from './plain.js'

const encoded = (id: string): string => encodeURIComponent(id)

/** `qkme status` */
export const registerStatus = (program: Command, context: CliContext): void => {
  withAdminOptions(program.command('status')).description('How the running KME is: health, pools, links, peers.')
    .addHelpText('after', '\nExamples:\n  qkme status --config kme-a.yaml\n  qkme status --socket kme-a-state/admin.sock --json | jq .pools\n\nExit code 1 if the KME is not ready to deliver keys.\n')
    .action(async (options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), admin = await adminOf(context, options)
      const [status, health, pools, links, peers] = await Promise.all([
        admin.get('/v1/status'), admin.get('/v1/health'), admin.get('/v1/pools'), admin.get('/v1/links'), admin.get('/v1/peers'),
      ]) as [StatusView, HealthView, PoolView[], LinkView[], PeerView[]]
      out.data({ status, health, pools, links, peers })
      out.line(statusText(status, health, pools, links, peers))
      if (!health.ready) context.exit.code = exitCodes.failed.code
    })
}

/** `qkme account` */
export const registerAccount = (program: Command, context: CliContext): void => {
  withAdminOptions(program.command('account')).description('Where every bit taken from the devices is; adds up, or exits with 1.')
    .action(async (options: AdminOptions, command: Command) => {
      const out = outputOf(context, command)
      const account = await (await adminOf(context, options)).get('/v1/account') as AccountView
      out.data(account)
      for (const pool of account.pools) {
        const rows = Object.entries(pool.bits).map(([name, bits]) => [name, grouped(bits), ''])
        out.line(table([`POOL ${pool.pool}`, 'BITS', ''], [...rows, ['difference', grouped(pool.differenceBits), pool.differenceBits === 0 ? '' : 'does not add up']], 'lr'))
      }
      if (account.differenceBits !== 0) context.exit.code = exitCodes.failed.code
      out.line(account.differenceBits === 0 ? 'every bit is accounted for' : `${grouped(account.differenceBits)} bits are not accounted for: report this with the log`)
    })
}

const statusText = (status: StatusView, health: HealthView, pools: PoolView[], links: LinkView[], peers: PeerView[]): string => [
  `${status.kme}  qkme ${status.version}  ${status.state}  up ${duration(status.uptimeS)}`,
  health.ready ? 'ready' : `not ready: ${health.reasons.join('; ') || 'no reason given'}`,
  ...status.alertsActive > 0 ? [status.alertsActive === 1 ? '1 alert is active' : `${status.alertsActive} alerts are active`] : [],
  ...section(table(['POOL', 'ROUTE', 'STATE', 'STOCK BITS', 'IN BIT/S', 'OUT BIT/S', 'EMPTY IN'], pools.map((pool) => [
    pool.remote, pool.note === '' ? pool.route : `${pool.route} (${pool.note})`, pool.state, grouped(pool.stockBits), grouped(Math.round(pool.supplyBitsPerS)), grouped(Math.round(pool.consumptionBitsPerS)),
    pool.timeToEmptyS === null ? '-' : duration(pool.timeToEmptyS),
  ]), 'lllrrr'), pools.length),
  ...section(table(['LINK', 'TO', 'STATE', 'QBER', 'BIT/S'], links.map((link) => [
    link.id, link.remote, link.quarantineCause === null ? link.state : `${link.state} (${link.quarantineCause})`, link.qber === null ? '-' : `${(link.qber * 100).toFixed(2)} %`, grouped(Math.round(link.keyBitsPerS)),
  ]), 'lllr'), links.length),
  ...section(table(['PEER', 'STATE', 'OUTBOX', 'RESERVE', 'URL'], peers.map((peer) => [peer.id, peer.held === '' ? peer.state : `${peer.state} (held: ${peer.held})`, grouped(peer.outbox), `${grouped(peer.reserveBytes)} B`, peer.url ?? 'dials us']), 'llrr'), peers.length),
  ...channelSection(status),
].join('\n')

/** Channels to the far KMEs of relayed pools are parts, one each. */
const channelSection = ({ parts }: StatusView): string[] => {
  const channels = parts.filter((part) => part.id.startsWith('control/'))
  return section(table(['FAR KME', 'CHANNEL', 'RESTARTS'], channels.map((part) => [part.id.slice('control/'.length), part.state, grouped(part.restarts)]), 'llr'), channels.length)
}

const section = (text: string, count: number): string[] => count === 0 ? [] : ['', text]

const duration = (seconds: number): string => {
  const whole = Math.round(seconds)
  if (whole < 120) return `${whole} s`
  if (whole < 7_200) return `${Math.round(whole / 60)} min`
  return whole < 172_800 ? `${Math.round(whole / 3_600)} h` : `${Math.round(whole / 86_400)} d`
}

/** `qkme sae …` */
export const registerSae = (program: Command, context: CliContext): void => {
  const sae = program.command('sae').description('SAEs registered at the running KME.')
  withAdminOptions(sae.command('list')).description('List them.')
    .action(async (options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), admin = await adminOf(context, options), saes: SaeView[] = []
      for (let after: string | null = ''; after !== null;) {
        const page = await admin.get(`/v1/saes${after === '' ? '' : `?after=${encoded(after)}`}`) as SaePage
        saes.push(...page.saes)
        after = page.saes.length === 0 ? null : page.next
      }
      out.data(saes)
      out.line(table(['SAE', 'KME', 'STATE', 'SHARES KEY WITH'], saes.map((one) => [one.id, one.kme, one.state, one.associations === 0 ? '-' : one.associations === 1 ? '1 set of SAEs' : `${one.associations} sets of SAEs`]), 'llll'))
      out.line(`${saes.length} SAEs`)
      for (const { id, note, registeredAt } of saes.filter((one) => one.state === 'requested')) out.line(`${id} asks to be registered since ${registeredAt ?? '?'}, with a ${note ?? 'certificate'}: qkme sae approve, suspend or remove`)
    })
  withAdminOptions(sae.command('add')).description('Register an SAE, so that its certificate is accepted.')
    .argument('<id>', 'SAE ID, as in its certificate')
    .option('--name <text>', 'a name for people')
    .addHelpText('after', '\nExample:\n  qkme pki issue --profile sae --id sae-7 && qkme sae add sae-7 --config kme-a.yaml\n')
    .action(async (id: string, options: AdminOptions & { name?: string }, command: Command) => {
      const out = outputOf(context, command)
      const added = await (await adminOf(context, options)).post('/v1/saes', { id, ...options.name === undefined ? {} : { name: options.name } })
      out.data(added)
      out.line(`registered: ${id}`)
    })
  const change = (name: string, description: string, done: string, call: (admin: AdminClient, id: string) => Promise<unknown>): void => {
    withAdminOptions(sae.command(name)).description(description).argument('<id>', 'SAE ID')
      .action(async (id: string, options: AdminOptions, command: Command) => {
        const out = outputOf(context, command)
        await call(await adminOf(context, options), id)
        out.data({ id, done })
        out.line(`${done}: ${id}`)
      })
  }
  change('approve', 'Register an SAE that asked for it by calling (policy.unregistered: request).', 'approved', (admin, id) => admin.post(`/v1/saes/${encoded(id)}/approve`, {}))
  change('suspend', 'Refuse an SAE until it is resumed. Its keys stay.', 'suspended', (admin, id) => admin.post(`/v1/saes/${encoded(id)}/suspend`, {}))
  change('resume', 'Accept a suspended SAE again.', 'resumed', (admin, id) => admin.post(`/v1/saes/${encoded(id)}/resume`, {}))
  change('remove', 'Remove an SAE for good, with all its rights to keys.', 'removed', (admin, id) => admin.delete(`/v1/saes/${encoded(id)}`))
}

/** `qkme peer …` */
export const registerPeer = (program: Command, context: CliContext): void => {
  const peer = program.command('peer').description('Neighbouring KMEs.')
  act(peer, context, {
    name: 'hold', description: 'Serve no key with a KME, at both ends and over every pool with it, until it is released here. Stock stays.',
    argument: 'kme', argumentDescription: 'KME ID', path: (id) => `/v1/peers/${id}/hold`, done: 'held', reason: 'why, for the record; the other KME gets it, too',
  })
  act(peer, context, {
    name: 'release', description: 'End a hold of this KME. A hold of the other KME ends there.',
    argument: 'kme', argumentDescription: 'KME ID', path: (id) => `/v1/peers/${id}/release`, done: 'released',
  })
  withAdminOptions(peer.command('retire')).description('Void all stock shared with another KME, over a link and over others, on both sides. Cannot be undone.')
    .argument('<kme>', 'KME ID of a neighbour, or of the far end of relayed pools')
    .requiredOption('--confirm <kme>', 'the same ID again')
    .action(async (id: string, options: AdminOptions & { confirm: string }, command: Command) => {
      if (options.confirm !== id) throw new KmeError('BAD_REQUEST', `--confirm must repeat ${id}`)
      const out = outputOf(context, command)
      await (await adminOf(context, options)).post(`/v1/peers/${encoded(id)}/retire`, {})
      out.data({ retired: id })
      out.line(`retired: all stock with ${id} is void`)
    })
}
