import { runMeshModel } from '../mesh/check/model.js'
import { runModel } from '../pool/model.js'

/** Which model a campaign runs: two KMEs with one link (`sim/pool`), or a network of them (`sim/mesh/check`). */
export interface CheckOptions {
  /** 2: the pool model. 3 to 12: a random network. */
  readonly nodes: number
  /** Of the pool model. */
  readonly steps: number
  /** Of the pool model: restored, new and doubled stores, voided pools. A network always has restored ones in its mix. */
  readonly restores?: boolean
  /** Of the pool model: block numbers jump ahead, as in years of use. */
  readonly jumps?: boolean
}

export interface CheckResult {
  readonly seed: number
  readonly violations: readonly string[]
  readonly delivered: number, readonly fetched: number
  /** Relayed blocks on lines between neighbours. */
  readonly relayed: number
  readonly log: readonly string[]
}

/** One run; the same options and seed give the same run. */
export const runSeed = async (seed: number, { nodes, steps, restores = false, jumps = false }: CheckOptions): Promise<CheckResult> => {
  if (nodes > 2) return runMeshModel({ seed, nodes })
  return { relayed: 0, ...await runModel({ seed, steps, restores, jumps }) }
}

export interface CampaignOptions extends CheckOptions {
  readonly from: number
  readonly seeds: number
}

/** Runs seeds one after the other until one finds a violation, or all are done. `each` sees every result. */
export const runCampaign = async (options: CampaignOptions, each: (result: CheckResult) => void = () => {}): Promise<CheckResult | undefined> => {
  for (let seed = options.from; seed < options.from + options.seeds; seed++) {
    const result = await runSeed(seed, options)
    each(result)
    if (result.violations.length > 0) return result
  }
  return undefined
}

/** What a reader needs to see a failure again. */
export const describeFailure = (result: CheckResult, { nodes, steps, restores, jumps }: CheckOptions): string => {
  const how = nodes > 2 ? `--nodes ${nodes}` : `--steps ${steps}${restores === true ? ' --restores' : ''}${jumps === true ? ' --jumps' : ''}`
  return [
    `seed ${result.seed} (${how}):`, ...result.violations.slice(0, 5).map((v) => `  ${v}`),
    'what happened before (simulated ms):', ...result.log.slice(-25).map((l) => `  ${l}`),
    `again: npm run sim -- check --from ${result.seed} --seeds 1 ${how}`,
  ].join('\n')
}
