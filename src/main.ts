import { url as inspectorUrl } from 'node:inspector'
import type { MainModule } from './cli/commands/serve.js'
import { exitCodes } from './cli/exit-codes.js'
import type { Config } from './config/schema.js'
import { environmentVariables } from './kernel/environment.js'
import { KmeError, type KmeErrorCode } from './kernel/errors.js'
import type { LogLevel } from './kernel/log.js'
import { stayAlive, systemClock, systemSoon } from './kernel/system-clock.js'
import { systemRandom } from './kernel/system-random.js'
import { endInTime, exitNow } from './runtime/ending.js'
import { installFatal } from './runtime/fatal.js'
import { Kme } from './runtime/kme.js'
import { openLogDestination } from './runtime/log-destination.js'
import { refuseInspector } from './runtime/no-inspector.js'
import { createPinoLog, type LogRoot } from './runtime/pino-log.js'
import { installSignals } from './runtime/signals.js'

/** Runs a KME until it is stopped. Every end has its exit code, for the service manager. */
export const run: MainModule['run'] = async ({ config, version }) => {
  refuseInspector({ execArgv: process.execArgv, nodeOptions: environmentVariables('NODE_OPTIONS')['NODE_OPTIONS'] ?? '', url: inspectorUrl() })
  const destination = openLogDestination(config.logging.destination)
  const logs = createPinoLog({
    clock: systemClock, kme: config.kme.id, level: config.logging.level as LogLevel, levels: config.logging.levels as Record<string, LogLevel>, destination: destination.stream,
  })
  try {
    return await live(config, version, logs, destination)
  } finally {
    logs.flush()
    destination.flush()
    endInTime({ clock: systemClock, code: () => Number(process.exitCode ?? 0), tell: (text) => { logs.log('runtime').fatal(text); logs.flush(); destination.flush() }, exit: exitNow })
  }
}

const live = async (config: Config, version: string, logs: LogRoot, destination: ReturnType<typeof openLogDestination>): Promise<number> => {
  const log = logs.log('runtime')
  const kme = await Kme.make({ config, version, clock: systemClock, soon: systemSoon, random: systemRandom, logs })
  const stopSignals = installSignals(process, {
    stop: () => { kme.stop() }, force: () => { kme.supervisor.force() },
    reload: () => { kme.reload(); destination.reopen() },
  }, log)
  const stopFatal = installFatal(process, {
    wipe: () => { kme.keyspace.vault.zeroize() }, flush: () => { logs.flush(); destination.flush() }, exit: exitNow,
  }, log, exitCodes.failed.code)
  log.info('KME starts', { version, pid: process.pid })
  const letGo = stayAlive()
  kme.start()
  const end = await kme.supervisor.ended
  log.info('KME ended', { cause: end.cause, code: end.code, reason: end.reason })
  stopSignals()
  stopFatal()
  await kme.dispose()
  letGo()
  if (end.cause === 'clean') return exitCodes.ok.code
  if (end.cause === 'forced') { // Nothing was closed: servers, connections and the store's threads would keep the process alive, and the store locked.
    logs.flush()
    destination.flush()
    exitNow(exitCodes.failed.code)
  }
  if (end.code === '') return exitCodes.gaveUp.code
  throw new KmeError(end.code as KmeErrorCode, end.reason)
}

