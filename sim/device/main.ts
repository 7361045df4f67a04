import { MessageChannel } from 'node:worker_threads'
import { loadNative } from '../../src/device/native.js'
import { KmeError } from '../../src/kernel/errors.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { openControl } from './control.js'
import { LinkDevice } from './link-device.js'
import { parseOptions, USAGE } from './options.js'

/** Events go to standard output, one JSON object a line, for a parent process. */
const tell = (event: unknown): void => { process.stdout.write(`${JSON.stringify(event)}\n`) }

const run = async (args: readonly string[]): Promise<void> => {
  if (args.includes('--help')) { process.stdout.write(`${USAGE}\n`); return }
  const options = parseOptions(args.filter((arg) => arg !== '--check'))
  if (args.includes('--check')) return
  const device = new LinkDevice(options, loadNative(), systemClock, tell)
  // Timers of the clock do not keep a process alive, and a device without ring has no bell yet.
  const { port1: alive } = new MessageChannel()
  alive.on('message', () => {})
  const control = options.controlPath === undefined ? undefined : await openControl(options.controlPath, (command) => {
    if (command.cmd === 'stop') setImmediate(end)
    return device.command(command)
  })
  const end = (): void => {
    device.stop()
    control?.close()
    alive.close()
    process.exit(0)
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.on('disconnect', end)
  process.stdout.on('error', end) // The parent is gone.
  device.start()
}

run(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof KmeError ? error.message : String(error instanceof Error ? error.stack : error)}\n`)
  process.exit(error instanceof KmeError ? 2 : 1)
})
