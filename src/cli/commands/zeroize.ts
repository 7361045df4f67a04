import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { Config } from '../../config/schema.js'
import { KmeError } from '../../kernel/errors.js'
import { overwriteFile } from '../../store/files.js'
import { lockStore } from '../../store/lock.js'
import { SLOT_FILE } from '../../store/rotate.js'
import { AdminClient } from '../admin-client.js'
import { configOf, outputOf, withAdminOptions, type CliContext } from '../context.js'
import { expectedCodeOf } from '../exit-codes.js'
import { withStore } from '../store-session.js'

/** `qkme zeroize` */
export const registerZeroize = (program: Command, context: CliContext): void => {
  withAdminOptions(program.command('zeroize')).description('Erase all key of this KME for good: key slots and memory. Devices keep theirs. Cannot be undone.')
    .requiredOption('--confirm <kme>', 'ID of the KME whose key is erased')
    .addHelpText('after', '\nExample:\n  qkme zeroize --config kme-a.yaml --confirm kme-a\n\nA running KME erases its key and ends. Of a stopped one the store is erased. Peers void their stock when this\nKME comes back with a new store; until then run qkme peer retire at each. Clear the devices by their own means.\n')
    .action(async (options: { config?: string, socket?: string, confirm: string }, command: Command) => {
      const out = outputOf(context, command), config = await configOf(context, options, false)
      if (options.confirm !== config.kme.id) throw new KmeError('BAD_REQUEST', `this configuration is of ${config.kme.id}: --confirm must say so`)
      const how = await zeroize(context, config, options.socket ?? config.admin.socketPath)
      out.data({ kme: config.kme.id, zeroized: true, how })
      out.line(`zeroized: ${how}`)
    })
}

const zeroize = async (context: CliContext, config: Config, socket: string): Promise<string> => {
  try {
    await new AdminClient(socket).post('/v1/zeroize', { confirm: `zeroize ${config.kme.id}` })
    return 'the running KME erased its key and ends'
  } catch (error) {
    if (expectedCodeOf(error) !== 'PEER_DOWN') throw error // It runs and refuses: its words count.
  }
  const slots = join(config.store.folder, SLOT_FILE)
  if (!existsSync(slots)) throw new KmeError('NOT_FOUND', `no KME answers on ${socket}, and there is no store in ${config.store.folder}: nothing to erase here`)
  try {
    await withStore(context, config, { create: false }, async (store) => { await store.zeroize() })
    return `the store in ${config.store.folder}; no KME was running`
  } catch (error) {
    if (expectedCodeOf(error) === 'STORE_LOCKED') throw error
    return await overwriteSlots(context, config.store.folder, slots, error)
  }
}

/** A store that cannot be opened (no master key, damage) is erased all the same: without its slots no record ever opens. */
const overwriteSlots = async (context: CliContext, folder: string, slots: string, cause: unknown): Promise<string> => {
  const lock = await lockStore(folder, context.random)
  try {
    overwriteFile(slots)
  } finally {
    await lock.release()
  }
  return `the key slots in ${folder}; the store itself could not be opened (${(cause as Error).message}) and must be made anew`
}
