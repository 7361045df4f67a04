import { checkNetwork, checkTls } from './connect.js'
import { checkExchange } from './exchange.js'
import { checkFiles } from './files.js'
import type { SaeAccess, Step } from './report.js'
import { checkStatus } from './status.js'

export interface Visit {
  readonly master: SaeAccess
  /** SAE ID of the slave. */
  readonly slave: string | undefined
  /** How the slave reaches its KME; with it a key is exchanged. */
  readonly slaveAccess: SaeAccess | undefined
}

/**
 * Walks from the outside in, as an SAE: files, network, TLS, the KME's identity, clock, registration, permission, stock and, if asked
 * for, one exchange. Stops at the first failure, because what comes after it would fail for the same reason.
 */
export const visit = async (input: Visit, nowMs: () => number): Promise<Step[]> => {
  const master = await reach(input.master, nowMs())
  if (master.failed) return master.steps
  const status = await checkStatus(input.master, master.saeId, input.slave, nowMs)
  const steps = [...master.steps, ...status]
  if (input.slaveAccess === undefined || input.slave === undefined || status.some((step) => step.result === 'failed')) return steps
  const slave = await reach(input.slaveAccess, nowMs())
  steps.push(...slave.steps)
  if (slave.failed) return steps
  return [...steps, await checkExchange({ access: input.master, saeId: master.saeId ?? '' }, { access: input.slaveAccess, saeId: input.slave })]
}

const reach = async (access: SaeAccess, nowMs: number): Promise<{ steps: Step[], saeId: string | undefined, failed: boolean }> => {
  const { steps, saeId } = checkFiles(access, nowMs)
  const isFailed = (): boolean => steps.some((step) => step.result === 'failed')
  if (!isFailed()) steps.push(await checkNetwork(access))
  if (!isFailed()) steps.push(...await checkTls(access))
  return { steps, saeId, failed: isFailed() }
}
