import { availableParallelism } from 'node:os'
import { Option, type Command } from 'commander'
import { KmeError } from '../../src/kernel/errors.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { print } from '../link/cli/output.js'
import { describeFailure, type CheckOptions } from './campaign.js'
import { runParallel } from './workers.js'

const NODES_MAX = 12

const whole = (min: number, max = Number.MAX_SAFE_INTEGER) => (text: string): number => {
  if (!/^\d+$/.test(text) || Number(text) < min || Number(text) > max) throw new KmeError('CONFIG_INVALID', `${text}: not a whole number from ${min} to ${max}`)
  return Number(text)
}
const seedOf = (text: string): number => text === 'random' ? systemRandom.integer(2 ** 31) : whole(0)(text)
const minutesOf = (text: string): number => {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) <= 0) throw new KmeError('CONFIG_INVALID', `${text}: not a number of minutes`)
  return Number(text)
}

interface Options extends CheckOptions { readonly seeds?: number, readonly from: number, readonly minutes?: number, readonly jobs: number }

/** `sim check`: a campaign of a model. Stops at the first seed that breaks a rule, with exit code 1. */
export const addCheckCommand = (program: Command): void => {
  program.command('check')
    .description('runs KMEs under random trouble, seed after seed, and checks what must always hold')
    .addOption(new Option('--nodes <n>', '2: two KMEs with a link; more: a random network of so many').argParser(whole(2, NODES_MAX)).default(2))
    .addOption(new Option('--seeds <n>', 'how many seeds; 100 unless there is --minutes').argParser(whole(1)))
    .addOption(new Option('--from <seed>', 'the first of them, or "random"').argParser(seedOf).default(1))
    .addOption(new Option('--minutes <n>', 'begin no more seeds after so long').argParser(minutesOf))
    .addOption(new Option('--jobs <n>', 'seeds at the same time').argParser(whole(1, 64)).default(availableParallelism()))
    .addOption(new Option('--steps <n>', 'steps of a run of two KMEs').argParser(whole(1)).default(150))
    .option('--restores', 'two KMEs: with restored, new and doubled stores, and voided pools')
    .option('--jumps', 'two KMEs: block numbers jump ahead, as in years of use')
    .action(async (o: Options, command: Command) => {
      for (const name of o.nodes > 2 ? ['steps', 'restores', 'jumps'] : []) {
        if (command.getOptionValueSource(name) === 'cli') throw new KmeError('CONFIG_INVALID', `--${name} is for two KMEs: leave it out, or leave out --nodes`)
      }
      const startMs = systemClock.monoMs(), endMs = o.minutes === undefined ? Infinity : startMs + o.minutes * 60_000
      const seeds = o.seeds ?? (o.minutes === undefined ? 100 : Infinity)
      const sum = { seeds: 0, delivered: 0, fetched: 0, relayed: 0 }
      let begun = 0
      const next = (): number | undefined => begun < seeds && systemClock.monoMs() < endMs ? o.from + begun++ : undefined
      const failure = await runParallel(Math.min(o.jobs, seeds), o, next, (result) => {
        sum.seeds++
        sum.delivered += result.delivered
        sum.fetched += result.fetched
        sum.relayed += result.relayed
      })
      const what = `${sum.delivered} keys delivered, ${sum.fetched} fetched${o.nodes > 2 ? `, ${sum.relayed} relayed blocks on lines` : ''}, ${((systemClock.monoMs() - startMs) / 1_000).toFixed(0)} s`
      print(failure === undefined ? `${sum.seeds} seeds from ${o.from}: no rule broken; ${what}` : `${describeFailure(failure, o)}\n(${sum.seeds} seeds from ${o.from}; ${what})`)
      if (failure !== undefined) process.exitCode = 1
    })
}
