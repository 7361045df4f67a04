import type { Config } from '../config/schema.js'
import { loadNative, type NativeVault } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import type { MasterKeySource } from '../store/master-key.js'
import { openStore, type Store } from '../store/open.js'
import type { CliContext } from './context.js'

/** These commands open one record at a time. */
const arenaBytes = 1_048_576

/** The master key as the configuration names it. */
export const masterKeyOf = (config: Config): MasterKeySource => {
  const { file, passphraseFile } = config.store.masterKey
  if (file !== undefined) return { keyFile: file }
  if (passphraseFile !== undefined) return { passphraseFile }
  throw new KmeError('CONFIG_INVALID', 'store.masterKey names no file') // The rules of the configuration forbid it.
}

/**
 * Opens the store of a KME that is not running, for one piece of work, and closes it whatever happens. A copy may be
 * looked at: voiding its stock is left to the next start of the KME.
 *
 * @throws KmeError what `openStore` throws; `STORE_LOCKED` while the KME runs.
 */
export const withStore = async <T>(
  context: CliContext, config: Config, options: { readonly create: boolean }, work: (store: Store, vault: NativeVault) => Promise<T>,
): Promise<T> => {
  const vault = loadNative().createVault({ arenaBytes, allowUnlockedMemory: config.memory.allowUnlocked })
  let failure: unknown
  const store = await openStore({
    folder: config.store.folder, master: masterKeyOf(config), vault, random: context.random, clock: context.clock,
    mapBytes: config.store.mapSizeBytes, reserveBytes: config.store.reserveBytes, copies: 'void', create: options.create,
    onFailure: (error) => { failure ??= error },
  })
  try {
    const result = await work(store, vault)
    if (failure !== undefined) throw failure
    return result
  } finally {
    await store.close()
    vault.zeroize()
  }
}
