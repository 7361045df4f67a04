import type { Command } from 'commander'
import type { Config } from '../../config/schema.js'
import { configFileOf, configOf, withConfigOption, type CliContext } from '../context.js'

/** What src/main.ts exports: runs a KME until it is stopped. @returns the exit code (src/cli/exit-codes.ts). */
export interface MainModule {
  run (start: { readonly config: Config, readonly configFile: string | undefined, readonly version: string }): Promise<number>
}

export const registerServe = (program: Command, context: CliContext): void => {
  withConfigOption(program.command('serve'))
    .description('Run a KME in the foreground until SIGTERM or Ctrl-C.')
    .addHelpText('after', '\nExamples:\n  qkme serve --config kme-a.yaml\n  QKME_LOGGING_LEVEL=debug qkme serve --config kme-a.yaml\n')
    .action(async (options: { config?: string }) => {
      const config = await configOf(context, options, true)
      // Loaded only now: it pulls in the addon and the servers, which no other command needs.
      const main = await import(new URL('../../main.js', import.meta.url).href) as MainModule
      context.exit.code = await main.run({ config, configFile: configFileOf(context, options), version: context.version })
    })
}
