import type { Command } from 'commander'
import { loadConfig } from '../config/load.js'
import type { Config } from '../config/schema.js'
import type { Random } from '../kernel/random.js'
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

export const configFileOf = (context: CliContext, options: { config?: string }): string | undefined => options.config ?? context.variables['QKME_CONFIG']

/** @throws KmeError `CONFIG_INVALID` */
export const configOf = (context: CliContext, options: { config?: string }, checkFiles: boolean): Config => {
  const file = configFileOf(context, options)
  return loadConfig({ ...file === undefined ? {} : { file }, variables: context.variables, workingFolder: context.workingFolder, checkFiles })
}

/** How to reach the running KME: a socket given, or that of the configuration. */
export const adminOf = (context: CliContext, options: { config?: string, socket?: string }): AdminClient =>
  new AdminClient(options.socket ?? configOf(context, options, false).admin.socketPath)

/** `--config` and `--socket`, for every command that talks to a running KME. */
export const withAdminOptions = (command: Command): Command => withConfigOption(command)
  .option('--socket <path>', 'admin socket of the KME, instead of the one in the configuration')

export const withConfigOption = (command: Command): Command => command
  .option('-c, --config <file>', 'configuration file (or QKME_CONFIG)')
