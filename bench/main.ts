/** `npm run bench`: the figures of docs/performance.md, measured on this machine, in one table and one JSON file. */
import { writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { line, tableRow, TABLE_HEAD, type Figure } from './figures.js'
import { coreCount, loadAverage, stopParts } from './process.js'
import { rows } from './rows.js'
import { stopNetworks } from '../sim/network/processes.js'
import { BenchSite } from './site.js'

interface Options { readonly json?: string, readonly table?: string, readonly only?: readonly string[], readonly pairs: string, readonly quick?: boolean }

const say = (text: string): void => { process.stdout.write(`${text}\n`) }

/** After each row, so that a run that is interrupted keeps what it found. */
const write = (options: Options, figures: readonly Figure[]): void => {
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, undefined, 1)}\n`)
  if (options.table !== undefined) writeFileSync(options.table, `${[...TABLE_HEAD, ...figures.map(tableRow)].join('\n')}\n`)
}

const run = async (options: Options): Promise<void> => {
  const pairs = options.quick === true ? 3 : Number(options.pairs), sliceMs = options.quick === true ? 300 : 1_000
  const unknown = (options.only ?? []).filter((name) => rows[name] === undefined)
  if (unknown.length > 0 || !Number.isInteger(pairs) || pairs < 1) throw new Error(`--only takes ${Object.keys(rows).join(', ')}; --pairs a whole number`)
  if (coreCount() < 2) throw new Error('server and load need a core each')
  const figures: Figure[] = []
  let site: BenchSite | undefined, failed = false
  // Processes of a bench that is interrupted must not stay behind.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { void Promise.all([site?.stop(), stopParts(), stopNetworks()]).then(() => { process.exit(1) }) })
  write(options, figures)
  say(`load average ${loadAverage()}, ${pairs} pairs of ${sliceMs} ms`)
  try {
    for (const name of options.only ?? Object.keys(rows).filter((row) => rows[row]!.long !== true)) {
      const row = rows[name]!
      try {
        if (row.needs === 'site') site ??= await BenchSite.start()
        else { await site?.stop(); site = undefined }
        const found = [await row.run({ site: site!, pairs, sliceMs })].flat()
        figures.push(...found)
        for (const figure of found) say(line(figure))
        write(options, figures)
      } catch (error) {
        failed = true
        say(`${name}: not measured: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  } finally { await site?.stop() }
  say(`load average ${loadAverage()}`)
  if (failed) process.exitCode = 1
}

await new Command('bench').description('Measures this build against a bare server on this machine.')
  .option('--json <file>', 'write the figures as JSON')
  .option('--table <file>', 'write the figures as a Markdown table')
  .option('--only <names...>', `rows to measure, by default all that take no many minutes: ${Object.keys(rows).map((name) => rows[name]!.long === true ? `${name} (long)` : name).join(', ')}`)
  .option('--pairs <n>', 'pairs of slices per row', '9')
  .option('--quick', 'three short slices: shows that it works, tells no figures')
  .action(run).parseAsync()
