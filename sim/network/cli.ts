import type { Command } from 'commander'
import { print, save } from '../link/cli/output.js'
import type { LiveNetwork } from './live.js'
import { ProcessNetwork } from './processes.js'
import { htmlReport, jsonReport, textReport } from './report.js'
import { runScenario } from './run.js'
import { readScenario } from './scenario.js'
import { SimulatedNetwork } from './simulated.js'

/** `sim network FILE`: runs a network of KMEs as a scenario says. Exit code 1 if keys were unequal or an account does not add up. */
export const addNetworkCommand = (program: Command): void => {
  program.command('network')
    .description('runs a network of KMEs from a scenario file (sim/network/scenarios), as processes or simulated, with load and faults')
    .argument('<file>', 'the scenario, YAML')
    .option('--json <file>', 'write everything that was measured')
    .option('--html <file>', 'write a report with plots')
    .action(async (file: string, o: { json?: string, html?: string }) => {
      const scenario = readScenario(file)
      print(`${scenario.name}: ${scenario.kmes.length} KMEs start (${scenario.mode})`)
      const network: LiveNetwork = scenario.mode === 'processes' ? await ProcessNetwork.start(scenario) : await SimulatedNetwork.start(scenario)
      try {
        await network.ready()
        print('every pool has key; the load begins')
        const result = await runScenario(scenario, network, print)
        print(`\n${textReport(result)}`)
        if (o.json !== undefined) save(o.json, jsonReport(result))
        if (o.html !== undefined) save(o.html, htmlReport(result))
        if (result.unequal > 0 || result.differenceBits > 0) process.exitCode = 1
      } finally {
        await network.stop()
      }
    })
}
