#!/usr/bin/env node
import { Command } from 'commander'
import { KmeError } from '../src/kernel/errors.js'
import { addFloodCommand } from './flood/flood.js'
import { addEveCommand } from './link/cli/eve.js'
import { addLinkCommand } from './link/cli/link.js'
import { addPublishedCommand } from './link/cli/published.js'
import { addRateCommand } from './link/cli/rate.js'
import { addSweepCommand } from './link/cli/sweep.js'
import { addNetworkCommand } from './network/cli.js'
import { addCheckCommand } from './check/cli.js'

/** Every subcommand of `npm run sim --` adds itself; this file only lists them and turns errors into exit codes. */
const commands = [addRateCommand, addLinkCommand, addEveCommand, addSweepCommand, addPublishedCommand, addCheckCommand, addFloodCommand, addNetworkCommand]

const program = new Command('sim').description('simulators of qkme')
for (const add of commands) add(program)

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof KmeError)) throw error
  process.stderr.write(`sim: ${error.message}\n`)
  process.exitCode = 2
}
