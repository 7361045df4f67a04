import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadNative } from '../../device/native.js'
import { KmeError } from '../../kernel/errors.js'
import { configOf, outputOf, withConfigOption, type CliContext } from '../context.js'

/** The smallest arena: these commands hold no key but the master key. */
const arenaBytes = 1_048_576

export const registerStore = (program: Command, context: CliContext): void => {
  const store = program.command('store').description('The store of sealed key and its master key.')
  withConfigOption(store.command('create-key')).description('Make a master key file: 32 random bytes, mode 0600. Never overwrites one.')
    .option('--file <path>', 'where, instead of store.masterKey.file of the configuration')
    .addHelpText('after', '\nExamples:\n  qkme store create-key --config kme-a.yaml\n  qkme store create-key --file /etc/qkme/master.key\n\nKeep a copy in a safe: without this key the store cannot be opened.\n')
    .action((options: { config?: string, file?: string }, command: Command) => {
      const out = outputOf(context, command)
      const file = options.file === undefined ? configOf(context, options, false).store.masterKey.file : resolve(context.workingFolder, options.file)
      if (file === undefined) throw new KmeError('CONFIG_INVALID', 'the configuration uses a passphrase, not a key file; name a file with --file to make one')
      // Only 32 bytes pass through, and the process ends at once: memory that cannot be locked is no reason to refuse.
      loadNative().createVault({ arenaBytes, allowUnlockedMemory: true }).createMasterKeyFile(file)
      out.data({ file })
      out.line(`made: ${file}`)
    })
}
