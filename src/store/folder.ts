/** The store's folder: there, ours, writable, and with room on its disk. */
import { accessSync, constants, existsSync, lstatSync, statfsSync } from 'node:fs'
import { KmeError } from '../kernel/errors.js'
import { makeFolders } from '../kernel/folders.js'

export interface FolderOptions { readonly folder: string, readonly create: boolean, readonly reserveBytes: number }

/** Makes the folder (mode 0700) if it may. @throws KmeError `STORE_UNAVAILABLE`, `STORE_FULL` */
export const prepareFolder = ({ folder, create, reserveBytes }: FolderOptions): void => {
  const refuse = (what: string, wayOut: string, cause?: unknown): never => {
    throw new KmeError('STORE_UNAVAILABLE', `${folder} ${what}. ${wayOut}`, { cause })
  }
  if (!existsSync(folder)) {
    if (!create) refuse('does not exist', 'Check store.folder; qkme serve makes a store')
    try {
      makeFolders(folder, 0o700)
    } catch (cause) {
      refuse(`cannot be made: ${(cause as Error).message}`, 'Make it, owned by the user that runs qkme', cause)
    }
  }
  if (!lstatSync(folder).isDirectory()) refuse('is not a folder', 'Set store.folder to a folder of its own')
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    refuse('cannot be written', 'Give it to the user that runs qkme (chown), mode 0700', cause)
  }
  const { bavail, bsize } = statfsSync(folder)
  if (bavail * bsize < reserveBytes) {
    throw new KmeError('STORE_FULL', `the disk of ${folder} has ${bavail * bsize} bytes free, below the reserve of ${reserveBytes}. Free space, or lower store.reserveBytes`)
  }
}
