import type { Command } from 'commander'
import type { IncidentPoolView, IncidentView, VoidView } from '../../admin/port.js'
import { KmeError } from '../../kernel/errors.js'
import { adminOf, outputOf, withAdminOptions, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { grouped, table } from '../output.js'
import { list, type AdminOptions } from './plain.js'

interface VoidOptions extends AdminOptions {
  readonly id?: readonly string[], readonly sae?: string, readonly peer?: string, readonly from?: string, readonly to?: string
  readonly reason: string, readonly dryRun?: boolean
}

/** `qkme void` */
export const registerVoid = (program: Command, context: CliContext): void => {
  withAdminOptions(program.command('void')).description('Void keys that slaves have not fetched yet, at every KME that could serve them. Cannot be undone.')
    .option('--id <key_ID...>', 'single keys')
    .option('--sae <id>', 'keys of this SAE, as master or as slave')
    .option('--peer <kme>', 'keys issued with this KME; all of them, or of a time')
    .option('--from <time>', 'keys issued from this time on, such as 2026-03-01T12:00:00Z')
    .option('--to <time>', 'and up to this time')
    .requiredOption('--reason <text>', 'why, for the record; the other KMEs get it, too')
    .option('--dry-run', 'only say what would be void')
    .addHelpText('after', '\nExamples:\n  qkme void --sae sae-7 --reason "laptop stolen" --dry-run\n  qkme void --from 2026-03-01T12:00:00Z --to 2026-03-01T12:30:00Z --reason "log leaked"\n\nA voided key answers 400 to its slave. Exit code 1 if nothing fits, or an ID is not known here.\n')
    .action(async (options: VoidOptions, command: Command) => {
      const out = outputOf(context, command)
      const { id, sae, peer, from, to, reason, dryRun } = options
      const body = { ids: id, sae, peer, from, to, reason, dryRun: dryRun === true }
      if (id === undefined && sae === undefined && peer === undefined && from === undefined) throw new KmeError('BAD_REQUEST', 'say which keys: --id, --sae, --peer, or --from and --to')
      const view = await (await adminOf(context, options)).post('/v1/voids', body) as VoidView
      out.data(view)
      out.line(voidText(view, dryRun === true, id?.length))
      if (view.unknown.length > 0 || view.pools.length === 0) context.exit.code = exitCodes.failed.code
    })
}

const voidText = ({ incident, pools, unknown }: VoidView, dryRun: boolean, ids: number | undefined): string => [
  pools.length === 0 ? 'nothing fits: no key was voided' : poolTable(pools, dryRun),
  ...ids === undefined || pools.length === 0 ? [] : [`${ids - unknown.length} of ${ids} key IDs are of these pools (KEYS counts those that slaves of this KME have not fetched)`],
  ...unknown.length === 0 ? [] : [`not known here: ${unknown.join(', ')}`],
  ...dryRun && pools.length > 0 ? ['nothing was changed (--dry-run)'] : [],
  ...incident === null ? [] : [incident.state === 'done' ? `void: incident ${incident.id}` : `void here: incident ${incident.id}; other KMEs have not confirmed yet (qkme incident show ${incident.id.slice(0, 8)})`],
].join('\n')

const poolTable = (pools: readonly IncidentPoolView[], dryRun = false): string => table(['POOL', 'KEYS', 'FETCHED BEFORE', 'ASSOCIATIONS', 'STRETCHES', 'STATE'],
  pools.map((p) => [p.pool, grouped(p.keys), grouped(p.alreadyFetched), grouped(p.associations), grouped(p.stretches), dryRun ? '-' : p.state]), 'lrrrrl')

/** `qkme incident …` */
export const registerIncident = (program: Command, context: CliContext): void => {
  const incident = program.command('incident').description('Voids, holds and releases, by operators here and at other KMEs.')
  list<IncidentView>(incident, context, {
    description: 'List them, the newest first.', path: '/v1/incidents',
    text: (incidents) => table(['INCIDENT', 'AT', 'KIND', 'BY', 'STATE', 'WHAT'], incidents.map((one) => [one.id.slice(0, 8), one.at.slice(0, 19), one.kind, one.origin, one.state, one.what])),
  })
  withAdminOptions(incident.command('show')).description('Show one, and whether every KME has confirmed.')
    .argument('<id>', 'incident, or the beginning of its ID')
    .action(async (id: string, options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), one = await (await adminOf(context, options)).get(`/v1/incidents/${encodeURIComponent(id)}`) as IncidentView
      out.data(one)
      out.line(`${one.kind} ${one.id}\nat ${one.at} by an operator of ${one.origin}: ${one.what}${one.reason === '' ? '' : `\nreason: ${one.reason}`}\nstate: ${one.state}`)
      if (one.pools.length > 0) out.line(poolTable(one.pools))
    })
}
