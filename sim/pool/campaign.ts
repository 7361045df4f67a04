import { runModel, type ModelOptions, type ModelResult } from './model.js'

export interface CampaignOptions extends Omit<ModelOptions, 'seed'> {
  readonly from: number
  readonly seeds: number
}

/** Runs seeds one after the other until one finds a violation, or all are done. `each` sees every result. */
export const runCampaign = async (options: CampaignOptions, each: (result: ModelResult) => void = () => {}): Promise<ModelResult | undefined> => {
  const { from, seeds, ...run } = options
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await runModel({ ...run, seed })
    each(result)
    if (result.violations.length > 0) return result
  }
  return undefined
}

/** What a reader needs to see a failure again. */
export const describeFailure = (result: ModelResult, options: Omit<ModelOptions, 'seed'>): string => [
  `seed ${result.seed} of the pool model, ${options.steps} steps${options.restores === true ? ', restores' : ''}:`,
  ...result.violations.slice(0, 5).map((v) => `  ${v}`),
  'what happened before (simulated ms):', ...result.log.slice(-25).map((l) => `  ${l}`),
  `again: npm run sim -- check --from ${result.seed} --seeds 1 --steps ${options.steps}${options.restores === true ? ' --restores' : ''}`,
].join('\n')
