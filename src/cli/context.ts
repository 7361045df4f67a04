import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Config } from '../config/schema.js'
import type { Random } from '../kernel/random.js'
import { KmeError } from '../kernel/errors.js'
import type { Clock } from '../kernel/time.js'
import { AdminClient } from './admin-client.js'
import { createOutput, type Output, type Streams } from './output.js'

/** What the commands need from the process. */
export interface CliContext {
  readonly clock: Clock
  readonly random: Random
  readonly streams: Streams
  readonly variables: Readonly<Record<string, string>>
  readonly workingFolder: string
  readonly version: string
  /** The code the process ends with, unless an error decides otherwise. */
  readonly exit: { code: number }
}

/** Output in the form the user asked for (`--json` works anywhere on the line). */
export const outputOf = (context: CliContext, command: Command): Output =>
  createOutput(command.optsWithGlobals<{ json?: boolean }>().json === true, context.streams)

/** The configuration file, absolute; undefined when there is none, only variables. */
export const configFileOf = (context: CliContext, options: { config?: string }): string | undefined => {
  const file = options.config ?? context.variables['QKME_CONFIG']
  return file === undefined ? undefined : resolve(context.workingFolder, file)
}

/** @throws KmeError `CONFIG_INVALID` */
export const configOf = async (context: CliContext, options: { config?: string }, checkFiles: boolean): Promise<Config> => {
  const { loadConfig } = await import('../config/load.js') // Slow to load, and not needed with --socket.
  const file = configFileOf(context, options)
  if (file === undefined && !Object.keys(context.variables).some((name) => name.startsWith('QKME_'))) {
    throw new KmeError('CONFIG_INVALID', 'no configuration is named: give --config FILE, or set QKME_CONFIG to it (or every setting to a variable QKME_…)')
  }
  return loadConfig({ ...file === undefined ? {} : { file }, variables: context.variables, workingFolder: context.workingFolder, checkFiles })
}

/** How to reach the running KME: a socket given, or that of the configuration. */
export const adminOf = async (context: CliContext, options: { config?: string, socket?: string }): Promise<AdminClient> =>
  new AdminClient(options.socket ?? (await configOf(context, options, false)).admin.socketPath)

/** `--config` and `--socket`, for every command that talks to a running KME. */
export const withAdminOptions = (command: Command): Command => withConfigOption(command)
  .option('--socket <path>', 'admin socket of the KME, instead of the one in the configuration')

export const withConfigOption = (command: Command): Command => command
  .option('-c, --config <file>', 'configuration file (or QKME_CONFIG)')
