import { CommanderError } from 'commander'
import { environmentVariables } from '../kernel/environment.js'
import { systemClock } from '../kernel/system-clock.js'
import { systemRandom } from '../kernel/system-random.js'
import { exitCodeOf, exitCodes, expectedCodeOf } from './exit-codes.js'
import { processStreams } from './output.js'
import type { Network } from './start/network.js'
import { parseStartOptions } from './start/options.js'
import { Screen } from './start/screen.js'

/** npm hands a Ctrl-C on that the terminal has sent to everybody already: two within this time are one. */
const sameKeyMs = 500

const main = async (args: readonly string[]): Promise<number> => {
  const screen = new Screen(processStreams, process.stdout, systemClock)
  let network: Network | undefined, firstMs: number | undefined
  const stop = new Promise<void>((resolve) => {
    const onSignal = (): void => {
      if (firstMs !== undefined && systemClock.monoMs() - firstMs < sameKeyMs) return
      if (firstMs === undefined) {
        firstMs = systemClock.monoMs()
        resolve()
        if (network === undefined) process.exit(exitCodes.failed.code) // Nothing runs yet, and what is made so far is whole.
        return
      }
      screen.failed('forced: the KMEs were killed; their stores recover at the next start')
      network?.kill()
      process.exit(exitCodes.failed.code)
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  })
  process.on('exit', () => {
    screen.endBars()
    network?.terminate()
  })
  try {
    const options = parseStartOptions(args, processStreams)
    const { runStart } = await import('./start/run.js') // Only now: usage errors and help need nothing of it.
    return await runStart(options, {
      clock: systemClock, random: systemRandom, screen, workingFolder: process.cwd(), variables: environmentVariables(''),
    }, { stop, network: (made) => { network = made } })
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok.code : exitCodes.usage.code
    screen.endBars()
    processStreams.err(`✗ ${expectedCodeOf(error) === undefined ? `unexpected: ${error instanceof Error ? error.stack ?? error.message : String(error)}` : (error as Error).message}\n`)
    return exitCodeOf(error)
  }
}

// A reader that goes away (`npm start | head`) is no failure of ours; the signals above stop what runs.
let isReaderGone = false
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  if (isReaderGone) return
  isReaderGone = true
  process.kill(process.pid, 'SIGTERM')
})

process.exitCode = await main(process.argv.slice(2))
