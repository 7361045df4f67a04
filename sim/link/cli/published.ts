import type { Command } from 'commander'
import { presetNamed, presets } from '../analysis/presets.js'
import { experiments } from '../analysis/experiments.js'
import { ratePoint, reachKm } from '../analysis/curves.js'
import { figure, print, table } from './output.js'
import type { Say } from './output.js'

/** A published figure, the same from this model, and how to call it. */
interface Check { what: string, unit: string, published: number, model: number }

const checks = (): Check[] => {
  const gys = presetNamed('gys'), lim = presetNamed('lim-2014')
  const limRate = (keyBits: number): number => ratePoint(lim, 100, { method: 'two-decoys', keyBits }).rate
  return [
    { what: 'GYS, reach with vacuum + weak decoy', unit: 'km', published: 140.55, model: reachKm(gys, { method: 'vacuum-weak', fixed: true }) },
    { what: 'GYS, reach with infinite decoys', unit: 'km', published: 142.05, model: reachKm(gys, { method: 'infinite', fixed: true }) },
    { what: 'Lim 2014, rate at 100 km: block 1e9 over 1e7', unit: '', published: 1.75, model: limRate(1e9) / limRate(1e7) },
    ...experiments.flatMap((e) => {
      const preset = presets.find((p) => p.name === e.id)
      return preset === undefined ? [] : [{ what: `${e.system}, ${e.lengthKm} km, rate`, unit: 'bit/s', published: e.rateBps, model: ratePoint(preset, preset.config.fibre.lengthKm, { method: 'one-decoy', fixed: true }).rateBps }]
    }),
  ]
}

const run = (say: Say) => (o: { json?: true }): void => {
  const rows = checks()
  if (o.json === true) return say(JSON.stringify({ checks: rows, experiments }, null, 2))
  say(table(['model against publication', 'unit', 'published', 'model', 'model/published'], rows.map((c) =>
    [c.what, c.unit, figure(c.published, 5), figure(c.model, 6), figure(c.model / c.published)])))
  say('\nPublished key rates')
  say(table(['system', 'km', 'dB', 'bit/s', 'protocol', 'number', 'reference'], experiments.map((e) =>
    [e.system, e.lengthKm === undefined ? '-' : String(e.lengthKm), e.lossDb === undefined ? '-' : String(e.lossDb), figure(e.rateBps), e.protocol, e.provenance, e.reference])))
}

/** `sim published`: this model beside published numbers. */
export const addPublishedCommand = (program: Command, say: Say = print): void => {
  program.command('published')
    .description('this model beside published numbers, and the experiments that plots draw in')
    .option('--json', 'print JSON')
    .action(run(say))
}
