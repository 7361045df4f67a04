import t from 'tap'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { addLinkCommand } from '../../../sim/link/cli/link.js'
import { attackOption, intervalOption, range } from '../../../sim/link/cli/parse.js'
import { addPublishedCommand } from '../../../sim/link/cli/published.js'
import { addRateCommand } from '../../../sim/link/cli/rate.js'
import { addSweepCommand } from '../../../sim/link/cli/sweep.js'

/** Runs a command in this process; gives what it printed. */
const sim = async (...args: string[]): Promise<string> => {
  const program = new Command(), lines: string[] = []
  for (const add of [addRateCommand, addLinkCommand, addSweepCommand, addPublishedCommand]) add(program, (line) => { lines.push(line) })
  await program.parseAsync(args, { from: 'user' })
  return lines.join('\n')
}

t.test('rate: the GYS table as JSON, and a plot with the published points', async t => {
  const folder = t.testdir(), svg = join(folder, 'rate.svg')
  const out = JSON.parse(await sim('rate', '-p', 'gys', '-m', 'vacuum-weak', '--fixed', '--to', '100', '--step', '50', '--json', '--svg', svg)) as { curves: { points: { rate: number }[] }[] }
  const rates = out.curves[0]!.points.map((p) => p.rate)
  for (const [i, wanted] of [2.414245e-3, 2.096250e-4, 1.602005e-5].entries()) t.ok(Math.abs(rates[i]! / wanted - 1) < 1e-5)
  const drawing = readFileSync(svg, 'utf8')
  t.match(drawing, /^<svg /)
  for (const text of ['fibre length / km', 'Geneva 2023', 'asymptotic, vacuum + weak decoy', '10⁷']) t.ok(drawing.includes(text), text)
})

t.test('link: table, account and plots', async t => {
  const folder = t.testdir()
  const text = await sim('link', '--duration', '30', '--step', '1', '--eve', 'intercept-resend:0.5@10-20', '--svg', join(folder, 'a.svg'), '--account-svg', join(folder, 'b.svg'))
  t.match(text, /qber/)
  t.match(text, /unaccounted +0 +0/)
  t.ok(readFileSync(join(folder, 'a.svg'), 'utf8').includes('Eve: intercept-resend'))
  t.ok(readFileSync(join(folder, 'b.svg'), 'utf8').includes('privacy amplification'))
  const quick = ['link', '--duration', '5', '--json', '--seed']
  t.equal(await sim(...quick, '3'), await sim(...quick, '3'), 'same seed, same output')
  t.not(await sim(...quick, '3'), await sim(...quick, '4'))
})

t.test('link --post: real bits, equal keys, their account as a plot', async t => {
  const plot = join(t.testdir(), 'account.svg')
  const text = await sim('link', '--post', '--blocks', '1', '--account-svg', plot)
  t.match(text, /equal/)
  t.match(text, /unaccounted +0 +0/)
  for (const bar of ['sifted', 'error correction', 'authentication', 'secret key']) t.ok(readFileSync(plot, 'utf8').includes(bar), bar)
})

t.test('sweep and published', async t => {
  const { rows } = JSON.parse(await sim('sweep', 'dark', '1e-7', '1e-5', '-p', 'rusca-2018', '-m', 'one-decoy', '--json')) as { rows: { rate: number }[] }
  t.ok(rows[0]!.rate > rows[1]!.rate)
  const { checks } = JSON.parse(await sim('published', '--json')) as { checks: { what: string, published: number, model: number }[] }
  t.equal(checks.length, 8)
  t.ok(checks.slice(0, 3).every((c) => Math.abs(c.model / c.published - 1) < 0.03))
})

t.test('wrong input: what was wrong and what to do', async t => {
  for (const [args, message] of [
    [['rate', '-p', 'nothing'], /no preset "nothing"; there are: gys/],
    [['rate', '--from', 'x'], /--from: a number/],
    [['sweep', 'colour', '1'], /no parameter "colour"/],
    [['rate', '-p', 'rusca-2018', '-m', 'two-decoys', '--fixed', '--to', '1', '--step', '1'], /leave the choice to the optimiser/],
    [['link', '--eve', 'magic'], /is no attack/],
    [['link', '--post', '--drift'], /does not go with --drift/],
    [['link', '--duration', '2', '--svg', '/nowhere/at/all.svg'], /cannot write/],
  ] as [string[], RegExp][]) {
    await t.rejects(sim(...args), { name: 'KmeError', message })
  }
})

t.test('the program turns an error into a sentence and exit code 2', async t => {
  const main = fileURLToPath(new URL('../../../sim/main.js', import.meta.url))
  const { status, stderr } = spawnSync(process.execPath, [main, 'rate', '-p', 'nothing'], { encoding: 'utf8' })
  t.equal(status, 2)
  t.match(stderr, /^sim: no preset "nothing"/)
})

t.test('option forms', async t => {
  t.same(intervalOption('60-90.5'), { fromS: 60, toS: 90.5 })
  t.same(attackOption('pns'), { fromS: 0, toS: Infinity, eve: { kind: 'photon-number-splitting', blocked: 1 } })
  t.same(attackOption('beam-splitting:0.25@1-2'), { fromS: 1, toS: 2, eve: { kind: 'beam-splitting', share: 0.25 } })
  t.throws(() => intervalOption('9-3'), { code: 'BAD_REQUEST' })
  t.same(range(0, 1, 0.5), [0, 0.5, 1])
  t.throws(() => range(0, 1e9, 1), { code: 'BAD_REQUEST' })
})
