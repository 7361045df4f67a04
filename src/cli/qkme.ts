#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { environmentVariables } from '../kernel/environment.js'
import { systemClock } from '../kernel/system-clock.js'
import { systemRandom } from '../kernel/system-random.js'
import { processStreams } from './output.js'
import { runProgram } from './program.js'

/** The package's version, from its one place. From dist/src/cli the package is three folders up. */
const packageVersion = (): string =>
  (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version

// A reader that goes away (`qkme … | head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => { if (error.code !== 'EPIPE') throw error })

process.exitCode = await runProgram(process.argv.slice(2), {
  clock: systemClock, random: systemRandom, streams: processStreams, variables: environmentVariables('QKME_'),
  workingFolder: process.cwd(), version: packageVersion(), exit: { code: 0 },
})
