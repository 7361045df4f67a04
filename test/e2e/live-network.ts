import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ProcessNetwork } from '../../sim/network/processes.js'
import { runScenario, type RunResult } from '../../sim/network/run.js'
import { readScenario, type Scenario } from '../../sim/network/scenario.js'
import { eventually } from './process.js'

export interface LiveScenario { readonly scenario: Scenario, readonly network: ProcessNetwork }

/** A scenario (sim/network/scenario.ts, YAML) as real processes, ready: every pair of it has had a key. Gone with the test. */
export const startLive = async (t: Test, text: string): Promise<LiveScenario> => {
  const file = join(t.testdir(), 'scenario.yaml')
  writeFileSync(file, text)
  const scenario = readScenario(file), network = await ProcessNetwork.start(scenario)
  t.teardown(() => network.stop())
  await network.ready()
  return { scenario, network }
}

/** Both ways between these KMEs: two keys each, equal at both ends. Who is told 503 asks again, as SAEs do. */
export const exchangeAll = async (t: Test, network: ProcessNetwork, pairs: Scenario['load']['between'], about = '', demands: Readonly<Record<string, unknown>> = {}): Promise<void> => {
  for (const [a, b] of pairs) for (const [from, to] of [[a, b], [b, a]] as const) {
    let why = ''
    await eventually(`keys from ${from} to ${to}${about}`, async () => {
      why = (await network.exchange(from, to, 2, demands)).why
      return why.includes(' 503 ') ? undefined : true
    }, 60_000, () => why)
    t.equal(why, '', `${from} to ${to}${about}`)
  }
}

/** The load and the faults of the scenario; no key differs and no bit is lost from the accounts, whatever they do. */
export const runLive = async (t: Test, { scenario, network }: LiveScenario): Promise<RunResult> => {
  const result = await runScenario(scenario, network, () => {})
  t.equal(result.unequal, 0, 'no two SAEs have different keys')
  t.equal(result.differenceBits, 0, 'every account adds up')
  return result
}
