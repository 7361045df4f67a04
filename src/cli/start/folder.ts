import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { KmeError } from '../../kernel/errors.js'
import { makeFolders } from '../../kernel/folders.js'
import { defaultFolder, type PortPairs } from './options.js'

export const sites = ['a', 'b'] as const
export type SiteName = (typeof sites)[number]

/** What `npm start` remembers in its folder. A folder without it is somebody else's, and is never written to or deleted. */
export interface Remembered {
  readonly madeBy: 'qkme start'
  readonly ports?: PortPairs
  /** SHA-256 of each configuration file as it was written, to see whether somebody changed it since. */
  readonly written: Readonly<Record<string, string>>
}

const memoryFile = 'start.json'
/** sockaddr_un holds 108 bytes with the final zero; this is the longest of our sockets below the folder. */
const socketPathBytesMax = 107
const longestSocket = 'kme-a/store/lock.sock'

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex')

/** The command that starts what is in this folder; whoever used another one than the default must not be sent there. */
export const startCommand = (folder: string, workingFolder: string, options = ''): string => {
  const words = [...folder === resolve(workingFolder, defaultFolder) ? [] : ['--folder', folder], ...options === '' ? [] : [options]]
  return ['npm start', ...words.length === 0 ? [] : ['--', ...words]].join(' ')
}

/** @returns what is remembered, or undefined if the folder is not one of `npm start`. */
export const readRemembered = (folder: string): Remembered | undefined => {
  try {
    const found = JSON.parse(readFileSync(join(folder, memoryFile), 'utf8')) as Partial<Remembered>
    return found.madeBy === 'qkme start' && typeof found.written === 'object' ? found as Remembered : undefined
  } catch {
    return undefined // Absent or damaged: either way it does not show that the folder is ours.
  }
}

export const remember = (folder: string, remembered: Remembered): void => {
  const path = join(folder, memoryFile), next = `${path}.new`
  writeFileSync(next, `${JSON.stringify(remembered, null, 2)}\n`, { mode: 0o600 })
  renameSync(next, path)
}

/**
 * Makes the folder (0700) if it is not there, and says whether it was used before.
 *
 * @throws KmeError `CONFIG_INVALID` if it cannot be written, belongs to something else, or its path is too long for a socket.
 */
export const openFolder = (folder: string): { readonly isNew: boolean, readonly remembered: Remembered } => {
  if (Buffer.byteLength(join(folder, longestSocket)) > socketPathBytesMax) {
    throw new KmeError('CONFIG_INVALID', `the folder's path is too long for the sockets in it: ${folder}\nChoose a shorter one (at most ${socketPathBytesMax - longestSocket.length - 1} bytes): npm start -- --folder /tmp/qkme`)
  }
  try {
    makeFolders(folder, 0o700)
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new KmeError('CONFIG_INVALID', `the folder ${folder} cannot be written (${(cause as NodeJS.ErrnoException).code ?? String(cause)})\nGive this user the right to write there, or choose another folder: npm start -- --folder ~/qkme`, { cause })
  }
  const known = readRemembered(folder)
  if (known === undefined && readdirSync(folder).length > 0) {
    throw new KmeError('CONFIG_INVALID', `the folder ${folder} holds files that npm start did not make\nChoose an empty or a new folder: npm start -- --folder OTHER`)
  }
  const remembered = known ?? { madeBy: 'qkme start', written: {} }
  if (known === undefined) remember(folder, remembered)
  return { isNew: known === undefined, remembered }
}

/**
 * Deletes the folder with all keys in it. Only one that `npm start` made, and in which nothing runs.
 *
 * @throws KmeError `CONFIG_INVALID` for any other folder.
 */
export const resetFolder = (folder: string): void => {
  if (!existsSync(folder)) return
  const real = realpathSync(folder)
  if (readRemembered(real) === undefined) {
    throw new KmeError('CONFIG_INVALID', `${folder} was not made by npm start (it holds no ${memoryFile} of ours), so --reset does not delete it\nDelete it yourself if you are sure, or choose another folder with --folder`)
  }
  rmSync(real, { recursive: true })
}

/**
 * @throws KmeError `STORE_LOCKED` naming the process if a KME of this folder still runs.
 */
export const refuseRunning = (folder: string): void => {
  for (const name of ['kme-a', 'kme-b', 'device']) {
    const pid = runningPid(join(folder, `${name}.pid`), folder)
    if (pid !== undefined) {
      throw new KmeError('STORE_LOCKED', `${name} of the folder ${folder} runs already (process ${pid})\nStop it with Ctrl-C in its terminal, or: kill ${pid}\nOr run a second network beside it: npm start -- --folder OTHER --free-ports`)
    }
  }
}

/** The process that a pid file names, if it lives and its command line names this folder: numbers are used again. */
const runningPid = (pidFile: string, folder: string): number | undefined => {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'))
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) ? pid : undefined
  } catch {
    return undefined // No pid file, or no such process.
  }
}
