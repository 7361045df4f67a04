import { Command, CommanderError } from 'commander'
import type { CliContext } from './context.js'
import { exitCodeOf, exitCodes, expectedCodeOf } from './exit-codes.js'
import { createOutput } from './output.js'

type Register = (program: Command, context: CliContext) => void

/**
 * The commands by their first word, in the order of the help. Each group is loaded only when it is used: certificates and
 * schemas take most of a second to load on a busy machine, and `qkme status` needs neither.
 */
const groups: Readonly<Record<string, () => Promise<Register>>> = {
  'serve': async () => (await import('./commands/serve.js')).registerServe,
  'config': async () => (await import('./commands/config.js')).registerConfig,
  'pki': async () => (await import('./commands/pki.js')).registerPki,
  'store': async () => (await import('./commands/store.js')).registerStore,
  'backup': async () => (await import('./commands/store.js')).registerBackup,
  'restore': async () => (await import('./commands/store.js')).registerRestore,
  'audit': async () => (await import('./commands/audit.js')).registerAudit,
  'zeroize': async () => (await import('./commands/zeroize.js')).registerZeroize,
  'status': async () => (await import('./commands/operate.js')).registerStatus,
  'account': async () => (await import('./commands/operate.js')).registerAccount,
  'sae': async () => (await import('./commands/operate.js')).registerSae,
  'void': async () => (await import('./commands/incident.js')).registerVoid,
  'incident': async () => (await import('./commands/incident.js')).registerIncident,
  'device': async () => (await import('./commands/device.js')).registerDevice,
  'link': async () => (await import('./commands/link.js')).registerLink,
  'pool': async () => (await import('./commands/link.js')).registerPool,
  'peer': async () => (await import('./commands/operate.js')).registerPeer,
  'topology': async () => (await import('./commands/topology.js')).registerTopology,
  'doctor': async () => (await import('./commands/doctor.js')).registerDoctor,
  'exit-codes': async () => (await import('./commands/exit-codes.js')).registerExitCodes,
}

/** Builds the `qkme` command with the group that `argv` uses, or with all of them for the help. */
export const buildProgram = async (argv: readonly string[], context: CliContext, inJson = false): Promise<Command> => {
  const program = new Command('qkme')
    .description('Key Management Entity for quantum key distribution networks.')
    .version(context.version, '-V, --version')
    .option('--json', 'results as JSON on stdout, errors as JSON on stderr')
    .showHelpAfterError('(see --help)')
    .configureHelp({ showGlobalOptions: true, helpWidth: 80 })
    .configureOutput({ writeOut: context.streams.out, writeErr: inJson ? () => {} : context.streams.err })
    .exitOverride()
    .addHelpText('after', '\nFirst steps:\n  qkme pki init && qkme pki issue --profile sae --id sae-1\n  qkme config check --config kme-a.yaml\n  qkme serve --config kme-a.yaml\n')
  const wanted = groups[argv[0] ?? '']
  for (const load of wanted === undefined ? Object.values(groups) : [wanted]) (await load())(program, context)
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
    await (await buildProgram(argv, context, inJson)).parseAsync([...argv], { from: 'user' })
    return context.exit.code
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitCodes.ok.code // Help and version come as "errors" too.
      // In words Commander has told it already.
      if (inJson) out.error('USAGE', error.message === '(outputHelp)' ? 'a command is missing; see --help' : error.message)
      return exitCodes.usage.code
    }
    const code = expectedCodeOf(error)
    if (code !== undefined) out.error(code, (error as Error).message)
    else out.error('INTERNAL', `unexpected: ${(error as Error).stack ?? String(error)}`)
    return exitCodeOf(error)
  }
}
