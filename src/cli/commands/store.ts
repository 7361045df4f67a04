import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadNative } from '../../device/native.js'
import { KmeError } from '../../kernel/errors.js'
import { backupStore, restoreStore } from '../../store/backup.js'
import { checkStore, type CheckReport } from '../../store/check.js'
import { compactStore } from '../../store/compact.js'
import { openMasterKey, type MasterKeySource } from '../../store/master-key.js'
import { rotateMasterKey } from '../../store/rotate.js'
import { RECORDS_TABLE } from '../../store/shared-records.js'
import { configOf, outputOf, withConfigOption, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { grouped, table } from '../output.js'
import { withStore } from '../store-session.js'

/** Tables of the store whose values are sealed records. */
const sealedTables = ['frame', RECORDS_TABLE, 'grantedKey'] as const
const arenaBytes = 1_048_576

interface ConfigOption { readonly config?: string }

/** `qkme store …`: on the folder of a KME that is not running. */
export const registerStore = (program: Command, context: CliContext): void => {
  const store = program.command('store').description('The store of sealed key and its master key. The KME must be stopped.')
  registerCreateKey(store, context)
  registerCheck(store, context)
  registerRotate(store, context)
  registerCompact(store, context)
}

const registerCreateKey = (store: Command, context: CliContext): void => {
  withConfigOption(store.command('create-key')).description('Make a master key file: 32 random bytes, mode 0600. Never overwrites one.')
    .option('--file <path>', 'where, instead of store.masterKey.file of the configuration')
    .addHelpText('after', '\nExamples:\n  qkme store create-key --config kme-a.yaml\n  qkme store create-key --file /etc/qkme/master.key\n\nKeep a copy in a safe: without this key the store cannot be opened.\n')
    .action(async (options: ConfigOption & { file?: string }, command: Command) => {
      const out = outputOf(context, command)
      const file = options.file === undefined ? (await configOf(context, options, false)).store.masterKey.file : resolve(context.workingFolder, options.file)
      if (file === undefined) throw new KmeError('CONFIG_INVALID', 'the configuration uses a passphrase, not a key file; name a file with --file to make one')
      if (existsSync(file)) throw new KmeError('BAD_REQUEST', `${file} exists already; a master key is never overwritten, because its store could not be opened again`)
      // Only 32 bytes pass through, and the process ends at once: memory that cannot be locked is no reason to refuse.
      loadNative().createVault({ arenaBytes, allowUnlockedMemory: true }).createMasterKeyFile(file)
      out.data({ file })
      out.line(`made: ${file}`)
    })
}

const registerCheck = (store: Command, context: CliContext): void => {
  withConfigOption(store.command('check')).description('Verify every sealed record and the counts of every key slot.')
    .addHelpText('after', '\nExample:\n  qkme store check --config kme-a.yaml\n\nExit code 13 if anything is damaged.\n')
    .action(async (options: ConfigOption, command: Command) => {
      const out = outputOf(context, command), config = await configOf(context, options, false)
      const { report, mustVoid } = await withStore(context, config, { create: false }, async (opened, vault) => ({
        report: await checkStore({ kv: opened.kv, vault, keys: opened.keys, tables: sealedTables }), mustVoid: opened.mustVoid,
      }))
      const isGood = report.bad.length === 0 && report.badMore === 0 && report.wrongCounts.length === 0
      out.data({ ok: isGood, ...report, mustVoid: mustVoid ?? null })
      out.line(reportText(report))
      if (mustVoid !== undefined) out.note(`the store is ${mustVoid.reason} (${mustVoid.detail}): ${mustVoid.reason === 'copied' && config.store.copies === 'refuse' ? 'qkme serve refuses it; with store.copies: void it voids all its stock and goes on' : 'at its next start all its stock is void'}`)
      if (!isGood) context.exit.code = exitCodes.storeCorrupt.code
    })
}

const reportText = (report: CheckReport): string => [
  `${grouped(report.records)} sealed records, ${grouped(report.bytes)} bytes: ${report.bad.length + report.badMore === 0 ? 'all of them verify' : `${grouped(report.bad.length + report.badMore)} are bad`}`,
  ...report.bad.length === 0 ? [] : [table(['RECORD', 'WHY'], report.bad.slice(0, 50).map((bad) => [bad.name, bad.why]))],
  ...report.wrongCounts.map(({ slot, counted, found }) => `key slot ${slot} counts ${counted} records, but ${found} were found`),
].join('\n')

const registerRotate = (store: Command, context: CliContext): void => {
  withConfigOption(store.command('rotate-key')).description('Put another master key over the store. The records stay as they are.')
    .option('--to-file <path>', 'new key file (qkme store create-key --file)')
    .option('--to-passphrase-file <path>', 'or a file with the new passphrase')
    .addHelpText('after', '\nExample:\n  qkme store create-key --file new.key\n  qkme store rotate-key --config kme-a.yaml --to-file new.key\n\nAfterwards set store.masterKey in the configuration; the old key opens nothing any more.\n')
    .action(async (options: ConfigOption & { toFile?: string, toPassphraseFile?: string }, command: Command) => {
      const out = outputOf(context, command), config = await configOf(context, options, false)
      const next = nextKey(context, options)
      const count = await withStore(context, config, { create: false }, async ({ kv, folder, ring, master }, vault) => {
        const to = openMasterKey(vault, next, folder, context.random)
        try {
          return await rotateMasterKey({ vault, kv, folder, ring, from: master, to })
        } finally {
          vault.dropKey(to)
        }
      })
      const setting = 'keyFile' in next ? { file: next.keyFile } : next
      out.data({ rewrapped: count, masterKey: setting })
      out.line(`${grouped(count)} keys are wrapped anew. Now set in the configuration:\n  store: { masterKey: ${JSON.stringify(setting)} }`)
    })
}

const registerCompact = (store: Command, context: CliContext): void => {
  withConfigOption(store.command('compact')).description('Give the free pages of the data file back to the disk.')
    .addHelpText('after', '\nExample:\n  qkme store compact --config kme-a.yaml\n\nWrites a copy beside the store and puts it in place in one step; a cut at any moment is harmless.\n')
    .action(async (options: ConfigOption, command: Command) => {
      const out = outputOf(context, command), { store: { folder, mapSizeBytes, reserveBytes } } = await configOf(context, options, false)
      const { beforeBytes, afterBytes } = await compactStore({ folder, random: context.random, mapBytes: mapSizeBytes, reserveBytes })
      out.data({ folder, beforeBytes, afterBytes })
      out.line(`${folder}: ${grouped(beforeBytes)} bytes before, ${grouped(afterBytes)} now`)
    })
}

const nextKey = (context: CliContext, options: { toFile?: string, toPassphraseFile?: string }): MasterKeySource => {
  const { toFile, toPassphraseFile } = options
  if (toFile !== undefined && toPassphraseFile === undefined) return { keyFile: resolve(context.workingFolder, toFile) }
  if (toPassphraseFile !== undefined && toFile === undefined) return { passphraseFile: resolve(context.workingFolder, toPassphraseFile) }
  throw new KmeError('BAD_REQUEST', 'name the new key by one of --to-file and --to-passphrase-file')
}

/** `qkme backup` */
export const registerBackup = (program: Command, context: CliContext): void => {
  withConfigOption(program.command('backup')).description('Write SAEs and audit trail to a file, sealed by the master key. Never key stock.')
    .argument('<file>', 'new file')
    .addHelpText('after', '\nThe KME must be stopped. Key stock never travels: two copies of it would give the same key twice.\n')
    .action(async (file: string, options: ConfigOption, command: Command) => {
      const out = outputOf(context, command), config = await configOf(context, options, false), path = resolve(context.workingFolder, file)
      const rows = await withStore(context, config, { create: false }, async ({ kv, master }, vault) => backupStore(kv, vault, master, context.random, path))
      out.data({ file: path, rows })
      out.line(`${grouped(rows)} rows in ${path}`)
    })
}

/** `qkme restore` */
export const registerRestore = (program: Command, context: CliContext): void => {
  withConfigOption(program.command('restore')).description('Fill a new, empty store from a backup made under the same master key.')
    .argument('<file>', 'file made by qkme backup')
    .action(async (file: string, options: ConfigOption, command: Command) => {
      const out = outputOf(context, command), config = await configOf(context, options, false)
      const rows = await withStore(context, config, { create: true }, async ({ kv, master }, vault) => await restoreStore(kv, vault, master, resolve(context.workingFolder, file)))
      out.data({ folder: config.store.folder, rows })
      out.line(`${grouped(rows)} rows restored into ${config.store.folder}; at its next start the store takes a new identity and fills its pools anew`)
    })
}
