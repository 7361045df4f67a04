import type { Command } from 'commander'
import { KmeError } from '../../../src/kernel/errors.js'
import { methodNamed, methods, ratePoint, reachKm } from '../analysis/curves.js'
import type { CurveOptions } from '../analysis/curves.js'
import { presetNamed } from '../analysis/presets.js'
import type { Preset } from '../analysis/presets.js'
import { checkConfig } from '../physics/config.js'
import { figure, print, progress, table } from './output.js'
import type { Say } from './output.js'
import { numberOption } from './parse.js'

type Change = (preset: Preset, value: number) => Preset

const receiver = (name: 'efficiency' | 'darkPerDetector' | 'misalignment' | 'afterpulse'): Change => (p, value) =>
  ({ ...p, config: { ...p.config, receiver: { ...p.config.receiver, [name]: value } } })
const fibre = (name: 'lengthKm' | 'lossDbPerKm' | 'extraLossDb'): Change => (p, value) =>
  ({ ...p, config: { ...p.config, fibre: { ...p.config.fibre, [name]: value } } })
const finite = (name: 'keyBits' | 'correctionEfficiency'): Change => (p, value) => ({ ...p, finite: { ...p.finite, [name]: value } })

/** What can be swept, by the name on the command line. */
const parameters: Record<string, Change> = {
  length: fibre('lengthKm'), 'loss-per-km': fibre('lossDbPerKm'), 'extra-loss': fibre('extraLossDb'),
  efficiency: receiver('efficiency'), dark: receiver('darkPerDetector'), misalignment: receiver('misalignment'), afterpulse: receiver('afterpulse'),
  'dead-time': (p, value) => ({ ...p, finite: { ...p.finite, deadTimeS: value } }),
  block: finite('keyBits'), 'correction-efficiency': finite('correctionEfficiency'),
}

interface SweepOptions { preset: string, method: string, length?: number, reach?: true, json?: true }

const run = (say: Say) => (name: string, values: string[], o: SweepOptions): void => {
  const change = parameters[name]
  if (change === undefined) throw new KmeError('BAD_REQUEST', `no parameter "${name}"; there are: ${Object.keys(parameters).join(', ')}`)
  const base = presetNamed(o.preset), options: CurveOptions = { method: methodNamed(o.method) }
  const at = o.length === undefined ? base : fibre('lengthKm')(base, o.length)
  const bar = progress(values.length, `sweep of ${name}`)
  const rows = values.map(numberOption(name)).map((value) => {
    const preset = change(at, value)
    checkConfig(preset.config)
    const point = ratePoint(preset, preset.config.fibre.lengthKm, options)
    const reach = o.reach === true ? { reachKm: reachKm(preset, options, 0.01) } : {}
    bar.step()
    return { value, ...point, ...reach }
  })
  bar.done()
  if (o.json === true) return say(JSON.stringify({ preset: base.name, method: options.method, parameter: name, rows }, null, 2))
  say(`${base.title}, ${options.method}`)
  say(table([name, 'km', 'bit/pulse', 'bit/s', 'QBER %', 'intensities', ...(o.reach === true ? ['reach km'] : [])], rows.map((r) => [
    figure(r.value), figure(r.lengthKm), figure(r.rate, 7), figure(r.rateBps), figure(r.qber * 100),
    r.choice.intensities.map((k) => figure(k, 3)).join(' '), ...('reachKm' in r ? [r.reachKm!.toFixed(2)] : []),
  ])))
}

/** `sim sweep`: the rate while one parameter changes. */
export const addSweepCommand = (program: Command, say: Say = print): void => {
  program.command('sweep')
    .description('key rate, best choice and reach for several values of one parameter')
    .argument('<parameter>', Object.keys(parameters).join(', '))
    .argument('<values...>', 'numbers, such as 1e5 1e6 1e7')
    .option('-p, --preset <name>', 'link to start from', 'lim-2014')
    .option('-m, --method <name>', methods.join(', '), 'two-decoys')
    .option('--length <km>', 'length of the fibre', numberOption('length', 0, 10_000))
    .option('--reach', 'also the greatest length with key (slower)')
    .option('--json', 'print JSON')
    .action(run(say))
}
