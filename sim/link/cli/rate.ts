import type { Command } from 'commander'
import { experiments } from '../analysis/experiments.js'
import { methodNamed, methods, rateCurve } from '../analysis/curves.js'
import type { CurveOptions, RatePoint } from '../analysis/curves.js'
import { presetNamed, presets } from '../analysis/presets.js'
import type { Preset } from '../analysis/presets.js'
import { powerOfTen } from '../plot/powers.js'
import { figure, print, progress, save, table } from './output.js'
import type { Say } from './output.js'
import { numberOption, range } from './parse.js'

interface RateOptions {
  preset: string, method: string[], from: number, to?: number, step?: number, block: string[], fixed?: true, json?: true, svg?: string
}
interface Curve { name: string, options: CurveOptions, points: RatePoint[] }

const blockName = (bits: number): string => Number.isInteger(Math.log10(bits)) ? powerOfTen(bits) : figure(bits, 3)

const label = (o: CurveOptions): string => o.keyBits === undefined
  ? { 'vacuum-weak': 'asymptotic, vacuum + weak decoy', infinite: 'asymptotic, infinite decoys', 'two-decoys': 'two decoys', 'one-decoy': 'one decoy' }[o.method]
  : `${o.method === 'two-decoys' ? 'two decoys' : 'one decoy'}, block ${blockName(o.keyBits)}`

const wanted = (preset: Preset, o: RateOptions): CurveOptions[] => {
  const chosen = o.method.length > 0 ? o.method.map(methodNamed) : [preset.config.source.intensities.length === 2 ? 'one-decoy' as const : 'two-decoys' as const, 'infinite' as const]
  const blocks = o.block.length > 0 ? o.block.map(numberOption('block', 100, 1e13)) : [preset.finite.keyBits]
  const fixed = o.fixed === true ? { fixed: true } : {}
  return chosen.flatMap((method): CurveOptions[] => method === 'infinite' || method === 'vacuum-weak' ? [{ method, ...fixed }] : blocks.map((keyBits) => ({ method, keyBits, ...fixed })))
}

const show = (say: Say, curve: Curve): void => {
  say(`\n${curve.name}`)
  say(table(['km', 'dB', 'bit/pulse', 'bit/s', 'QBER %', 'intensities', 'probabilities', 'key basis'], curve.points.map((p) => [
    figure(p.lengthKm), figure(p.lossDb), figure(p.rate, 7), figure(p.rateBps), figure(p.qber * 100),
    p.rate === 0 ? '-' : p.choice.intensities.map((k) => figure(k, 3)).join(' '),
    p.finite === undefined || p.rate === 0 ? '-' : p.choice.probabilities.map((x) => figure(x, 3)).join(' '),
    p.finite === undefined || p.rate === 0 ? '-' : figure(p.choice.keyBasis, 3),
  ])))
}

const run = (say: Say) => async (o: RateOptions): Promise<void> => {
  const preset = presetNamed(o.preset), end = o.to ?? Math.max(200, 2 * preset.config.fibre.lengthKm)
  const lengths = range(o.from, end, o.step ?? (end - o.from) / 50), options = wanted(preset, o)
  const bar = progress(lengths.length * options.length, 'key rates')
  const curves: Curve[] = options.map((c) => {
    const points: RatePoint[] = []
    for (const point of rateCurve(preset, lengths, c)) { points.push(point); bar.step() }
    return { name: label(c), options: c, points }
  })
  bar.done()
  if (o.json === true) say(JSON.stringify({ preset: preset.name, source: preset.source, curves }, null, 2))
  else {
    say(`${preset.title}\n${preset.source}`)
    for (const curve of curves) show(say, curve)
  }
  if (o.svg === undefined) return
  const drawn = preset.experiments.length > 0 ? experiments.filter((e) => preset.experiments.includes(e.id)) : experiments
  const { ratePlot } = await import('../plot/rate-plot.js') // The charting library costs a second to load.
  save(o.svg, ratePlot(preset.title, preset.source, curves.map((c) => ({ name: c.name, points: c.points })), drawn))
}

const collect = (text: string, before: string[]): string[] => [...before, text]

/** `sim rate`: secret key rate against distance. */
export const addRateCommand = (program: Command, say: Say = print): void => {
  program.command('rate')
    .description('secret key rate against distance, with the best intensities and probabilities')
    .option('-p, --preset <name>', `one of ${presets.map((p) => p.name).join(', ')}`, 'lim-2014')
    .option('-m, --method <name>', `${methods.join(', ')}; may be repeated`, collect, [])
    .option('-b, --block <bits>', 'sifted key-basis bits of a finite block; may be repeated', collect, [])
    .option('--from <km>', 'first length', numberOption('from', 0, 10_000), 0)
    .option('--to <km>', 'last length', numberOption('to', 0, 10_000))
    .option('--step <km>', 'distance between points', numberOption('step', 1e-3, 10_000))
    .option('--fixed', 'keep the intensities and probabilities of the preset')
    .option('--json', 'print JSON')
    .option('--svg <file>', 'write a plot with published experiments drawn in')
    .action(run(say))
}
