import { Command, CommanderError } from 'commander'
import { KmeError } from '../kernel/errors.js'
import { registerConfig } from './commands/config.js'
import { registerDoctor } from './commands/doctor.js'
import { registerActs, registerLook, registerSae } from './commands/operate.js'
import { registerPki } from './commands/pki.js'
import { registerServe } from './commands/serve.js'
import { registerStore } from './commands/store.js'
import type { CliContext } from './context.js'
import { exitCodeOf, exitCodes } from './exit-codes.js'
import { createOutput, table } from './output.js'

/** Builds the `qkme` command. */
export const buildProgram = (context: CliContext, inJson = false): Command => {
  const program = new Command('qkme')
    .description('Key Management Entity for quantum key distribution networks.')
    .version(context.version, '-V, --version')
    .option('--json', 'results as JSON on stdout, errors as JSON on stderr')
    .showHelpAfterError('(see --help)')
    .configureHelp({ showGlobalOptions: true, helpWidth: 80 })
    .configureOutput({ writeOut: context.streams.out, writeErr: inJson ? () => {} : context.streams.err })
    .exitOverride()
    .addHelpText('after', '\nFirst steps:\n  qkme pki init && qkme pki issue --profile sae --id sae-1\n  qkme config check --config kme-a.yaml\n  qkme serve --config kme-a.yaml\n')
  registerServe(program, context)
  registerConfig(program, context)
  registerPki(program, context)
  registerStore(program, context)
  registerLook(program, context)
  registerSae(program, context)
  registerActs(program, context)
  registerDoctor(program, context)
  program.command('exit-codes').description('List the exit codes.').action((_options: object, command: Command) => {
    const out = createOutput(command.optsWithGlobals<{ json?: boolean }>().json === true, context.streams)
    out.data(Object.values(exitCodes))
    out.line(table(['CODE', 'NAME', 'MEANING'], Object.values(exitCodes).map(({ code, name, meaning }) => [String(code), name, meaning]), 'rl'))
  })
  inherit(program)
  return program
}

/** Commander does not hand exitOverride and the output down to commands that were made before; so it is done for all. */
const inherit = (command: Command): void => {
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    inherit(child)
  }
}

/**
 * Runs one command line.
 *
 * @param argv Arguments without the program's own name.
 * @returns the exit code; every failure has been told on stderr.
 */
export const runProgram = async (argv: readonly string[], context: CliContext): Promise<number> => {
  const inJson = argv.includes('--json'), out = createOutput(inJson, context.streams)
  try {
    await buildProgram(context, inJson).parseAsync([...argv], { from: 'user' })
    return context.exit.code
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitCodes.ok.code // Help and version come as "errors" too.
      // In words Commander has told it already.
      if (inJson) out.error('USAGE', error.message === '(outputHelp)' ? 'a command is missing; see --help' : error.message)
      return exitCodes.usage.code
    }
    if (error instanceof KmeError) out.error(error.code, error.message)
    else out.error('INTERNAL', `unexpected: ${(error as Error).stack ?? String(error)}`)
    return exitCodeOf(error)
  }
}
