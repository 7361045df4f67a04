import type { Command } from 'commander'
import { KmeError } from '../../../src/kernel/errors.js'
import { presetNamed } from '../analysis/presets.js'
import type { LinkConfig } from '../physics/config.js'
import { unaccounted } from '../run/account.js'
import { runLink } from '../run/run.js'
import type { Interval, RunOptions, RunResult } from '../run/run.js'
import type { Eve } from '../physics/eve.js'
import { figure, print, progress, save, table } from './output.js'
import type { Say } from './output.js'
import { correctionOption, runLinkPost } from './link-post.js'
import { attackOption, intervalOption, numberOption } from './parse.js'

interface LinkOptions {
  preset: string, length?: number, duration: number, step: number, seed: number, block?: number, eve: (Interval & { eve: Eve })[], cut: Interval[]
  drift?: true, decoys: boolean, phaseRandomisation: boolean, abort: number, json?: true, svg?: string, accountSvg?: string
  post?: string | true, blocks: number
}

/** Blocks with real bits are made one by one; this size needs a second each and still gives key. */
const POST_BLOCK_BITS = 2_000_000

/** A wandering that a field link shows over hours: some percent of QBER without feedback, tenths with it. */
const DRIFT = { angleRadPerSqrtS: 0.01, angleFeedbackPerS: 0.02, lossDbPerSqrtS: 0.005, lossReturnPerS: 0.001 }

const configure = (o: LinkOptions): RunOptions => {
  const preset = presetNamed(o.preset), { source, fibre } = preset.config, { security } = preset.finite
  const blockBits = o.block ?? (o.post === undefined ? preset.finite.keyBits : Math.min(preset.finite.keyBits, POST_BLOCK_BITS))
  // Without decoys every pulse is a signal, and only the QBER is left to look at.
  const sent = o.decoys ? source : { ...source, intensities: source.intensities.slice(0, 1), probabilities: [1] }
  const config: LinkConfig = {
    ...preset.config, source: { ...sent, phaseRandomised: o.phaseRandomisation },
    fibre: { ...fibre, lengthKm: o.length ?? fibre.lengthKm },
  }
  return {
    config, blockBits, correctionEfficiency: preset.finite.correctionEfficiency,
    security: 'secrecy' in security ? security : { secrecy: security.secrecyPerBit * blockBits, correctness: security.correctness },
    durationS: o.duration, stepS: o.step, seed: o.seed, qberAbort: o.abort, estimate: o.decoys ? 'decoys' : 'naive',
    attacks: o.eve, cuts: o.cut, ...(o.drift === true ? { drift: DRIFT } : {}),
  }
}

const show = (say: Say, result: RunResult, options: RunOptions): void => {
  const { steps, blocks, account } = result, last = steps.length
  const every = Math.max(1, Math.floor(last / 20))
  say(table(['s', 'QBER %', 'detections/s', 'sifted bit/s', 'loss dB', 'Eve', 'alarms'], steps.filter((_, i) => i % every === 0).map((s) => [
    figure(s.timeS), figure(s.qber * 100), figure(s.detectionsPerS), figure(s.siftedBps), figure(s.lossDb),
    s.cut ? 'cut' : s.eve ?? '-', s.alarms.map((a) => `${a.kind} (${a.sigmas.toFixed(1)} sigma)`).join(', ') || '-',
  ])))
  const good = blocks.filter((b) => b.keyBits > 0)
  say(`\n${blocks.length} blocks of ${figure(options.blockBits)} bits, ${good.length} with key` + (options.estimate === 'naive' ? ' (QBER only: NOT secure)' : ''))
  const reasons = new Map<string, number>()
  for (const b of blocks) if (b.reason !== undefined) reasons.set(b.reason, (reasons.get(b.reason) ?? 0) + 1)
  for (const [reason, n] of reasons) say(`  ${n} without key: ${reason}`)
  say(`secret key ${figure(account.net)} bit, ${figure(account.net / (last * options.stepS))} bit/s\n`)
  const share = (bits: number): string => figure(bits / Math.max(1, account.detections) * 100)
  const rows: [string, number][] = [['detections', account.detections], ['bases differ', account.mismatched], ['test basis', account.test], ['waiting', account.waiting],
    ['discarded', account.discarded], ['error correction', account.leaked], ['verification', account.verification], ['privacy amplification', account.compressed], ['secret key', account.net], ['unaccounted', unaccounted(account)]]
  say(table(['account of bits', 'bits', '%'], rows.map(([name, bits]) => [name, String(bits), share(bits)])))
}

const run = (say: Say) => async (o: LinkOptions): Promise<void> => {
  const options = configure(o), preset = presetNamed(o.preset)
  if (o.post !== undefined) {
    if (o.drift === true || !o.decoys || o.svg !== undefined) {
      throw new KmeError('BAD_REQUEST', '--post runs real bits through error correction and amplification: it does not go with --drift, --no-decoys and --svg')
    }
    const account = runLinkPost(say, preset.title, options, correctionOption(o.post), o.blocks, o.json === true)
    if (o.accountSvg !== undefined) save(o.accountSvg, (await import('../plot/link-plot.js')).blockAccountPlot(`Account of bits, ${preset.title}`, account))
    return
  }
  const bar = progress(Math.floor(options.durationS / options.stepS), 'link'), steps = runLink(options)
  let next = steps.next()
  for (; next.done !== true; next = steps.next()) bar.step()
  bar.done()
  const result = next.value
  if (o.json === true) say(JSON.stringify({ preset: preset.name, seed: o.seed, ...result }, null, 2))
  else {
    say(`${preset.title}, ${options.config.fibre.lengthKm} km, seed ${o.seed}\n${preset.source}\n`)
    show(say, result, options)
  }
  if (o.svg === undefined && o.accountSvg === undefined) return
  const { accountPlot, linkPlot } = await import('../plot/link-plot.js') // The charting library costs a second to load.
  const subtitle = `Monte-Carlo, seed ${o.seed}, block ${figure(options.blockBits)} bit`
  if (o.svg !== undefined) save(o.svg, linkPlot(preset.title, subtitle, result, options.stepS, options.qberAbort))
  if (o.accountSvg !== undefined) save(o.accountSvg, accountPlot('Account of bits', result.account))
}

/** `sim link`: a link over time. */
export const addLinkCommand = (program: Command, say: Say = print): void => {
  program.command('link')
    .description('runs a link over time by Monte-Carlo: QBER, key, alarms, account of bits')
    .option('-p, --preset <name>', 'link', 'metro-25km')
    .option('--length <km>', 'length of the fibre', numberOption('length', 0, 10_000))
    .option('--duration <s>', 'simulated time', numberOption('duration', 1e-3, 1e8), 600)
    .option('--step <s>', 'time step', numberOption('step', 1e-6, 1e6), 1)
    .option('--seed <n>', 'same seed, same run', numberOption('seed', 0, 2 ** 53 - 1), 1)
    .option('--block <bits>', 'sifted key-basis bits per block', numberOption('block', 1, 1e13))
    .option('--eve <attack>', 'intercept-resend:SHARE, photon-number-splitting:SHARE, beam-splitting:SHARE or blinding, with @FROM-TO in s; may be repeated',
      (text: string, before: LinkOptions['eve']) => [...before, attackOption(text)], [])
    .option('--cut <from-to>', 'fibre cut, in s; may be repeated', (text: string, before: Interval[]) => [...before, intervalOption(text)], [])
    .option('--drift', 'let alignment and loss wander, with feedback')
    .option('--no-decoys', 'send signals only and believe the QBER (NOT secure, for comparison)')
    .option('--no-phase-randomisation', 'a laser with a fixed phase: no decoy formula holds')
    .option('--abort <qber>', 'QBER from which the link is given up', numberOption('abort', 0.001, 0.5), 0.08)
    .option('--post [method]', 'real bits through the whole post-processing of two parties: original, biconf, yanetal, option7, option8 (default), ldpc or ldpc-blind')
    .option('--blocks <n>', 'with --post: stop after so many blocks', numberOption('blocks', 1, 1e6), 5)
    .option('--json', 'print JSON')
    .option('--svg <file>', 'plot of QBER and rates against time')
    .option('--account-svg <file>', 'plot of the account of bits')
    .action(run(say))
}
