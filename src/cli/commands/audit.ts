import type { Command } from 'commander'
import { readAudit, verifyAudit, type AuditView } from '../../store/audit-read.js'
import { recordCount, sequence } from '../arguments.js'
import { configOf, outputOf, withConfigOption, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { grouped, table } from '../output.js'
import { withStore } from '../store-session.js'

/** `qkme audit …`: the trail of a KME that is not running. */
export const registerAudit = (program: Command, context: CliContext): void => {
  const audit = program.command('audit').description('The chained audit trail. The KME must be stopped.')
  withConfigOption(audit.command('show')).description('List records in order.')
    .option('--from <sequence>', 'first record', sequence, 0)
    .option('--limit <n>', 'records at most', recordCount, 100)
    .action(async (options: { config?: string, from: number, limit: number }, command: Command) => {
      const out = outputOf(context, command), config = await configOf(context, options, false)
      const records = await withStore(context, config, { create: false }, async ({ kv }) => firstOf(readAudit(kv, options.from), options.limit))
      out.data(records)
      out.line(table(['SEQ', 'TIME', 'KIND', 'CALLER', 'OTHER', 'KEYS', 'BITS', 'BLOCK/PLACE'], records.map((one) => [
        String(one.sequence), new Date(one.wallMs).toISOString(), one.kind, one.caller || '-', one.other || '-', String(one.number), String(one.sizeBytes * 8), `${one.block}/${one.place}`,
      ]), 'rllllrr'))
    })
  withConfigOption(audit.command('verify')).description('Walk the chain to its end, or to the first record that does not belong.')
    .action(async (options: { config?: string }, command: Command) => {
      const out = outputOf(context, command), config = await configOf(context, options, false)
      const { verdict, isZeroized } = await withStore(context, config, { create: false }, async ({ kv, keys, mustVoid }, vault) =>
        ({ verdict: verifyAudit(kv, vault, keys.auditKey), isZeroized: mustVoid?.reason === 'zeroized' }))
      const head = Buffer.from(verdict.head).toString('hex')
      out.data({ ok: verdict.brokenAt === undefined, ...verdict, head, brokenAt: verdict.brokenAt ?? null })
      out.line(`${grouped(verdict.verified)} records verify, up to number ${verdict.lastSequence}; chain head ${head}`)
      if (verdict.unverifiable > 0) out.line(`${grouped(verdict.unverifiable)} older records are from before the store was zeroized: readable, not verifiable`)
      if (verdict.brokenAt === undefined) return
      if (isZeroized && verdict.verified === 0) {
        out.line('the store was zeroized, and the key of its chain with it: the records are readable, not verifiable. The next start begins a new chain')
        context.exit.code = exitCodes.failed.code
        return
      }
      out.line(`broken at record ${verdict.brokenAt.sequence}: ${verdict.brokenAt.what}`)
      context.exit.code = exitCodes.storeCorrupt.code
    })
}

const firstOf = (records: Iterable<AuditView>, limit: number): AuditView[] => {
  const taken: AuditView[] = []
  for (const record of records) {
    if (taken.length >= limit) break
    taken.push(record)
  }
  return taken
}
