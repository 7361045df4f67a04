import { Option, type Command } from 'commander'
import { describeFailure, runCampaign } from './campaign.js'
import { KmeError } from '../../src/kernel/errors.js'

const whole = (min: number) => (text: string): number => {
  if (!/^\d+$/.test(text) || Number(text) < min) throw new KmeError('CONFIG_INVALID', `${text}: not a whole number of at least ${min}`)
  return Number(text)
}

interface CheckOptions { seeds: number, from: number, steps: number, restores?: true }

/** `sim check`: a campaign of the pool model. Stops at the first seed that breaks a rule, with exit code 1. */
export const addCheckCommand = (program: Command): void => {
  program.command('check')
    .description('runs two KMEs under random trouble, seed after seed, and checks what must always hold')
    .addOption(new Option('--seeds <n>', 'how many seeds').argParser(whole(1)).default(100))
    .addOption(new Option('--from <seed>', 'the first of them').argParser(whole(0)).default(1))
    .addOption(new Option('--steps <n>', 'steps of a run').argParser(whole(1)).default(150))
    .option('--restores', 'with restored, new and doubled stores, and voided pools')
    .action(async (o: CheckOptions) => {
      let delivered = 0, fetched = 0
      const failure = await runCampaign(o, (result) => { delivered += result.delivered; fetched += result.fetched })
      process.stdout.write(failure === undefined
        ? `${o.seeds} seeds from ${o.from}: no rule broken; ${delivered} keys delivered, ${fetched} fetched\n`
        : `${describeFailure(failure, o)}\n`)
      if (failure !== undefined) process.exitCode = 1
    })
}
