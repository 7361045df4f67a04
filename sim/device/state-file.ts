import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { KmeError } from '../../src/kernel/errors.js'

/** What a device must know after a restart so that no name is used for other bytes. */
export interface DeviceState {
  /** Block numbers below this may have been used. Written ahead, so it is never behind. */
  readonly reservedBlock: number
  /** Every block below this is durable at both ends. */
  readonly durableBlock: number
  /** The greatest epoch of any ring. */
  readonly epoch: number
  /** Blocks have one shape for ever: a block made again must be equal. */
  readonly frameBytes: number
  readonly blockFrames: number
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** Undefined if there is no file yet. @throws KmeError `CONFIG_INVALID` if it cannot be read or understood. */
export const readState = (path: string): DeviceState | undefined => {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new KmeError('CONFIG_INVALID', `device state ${path}: cannot be read (${String(cause)})`, { cause })
  }
  const damaged = new KmeError('CONFIG_INVALID', `device state ${path}: damaged; remove it only together with the stores of both KMEs`)
  let parsed: Partial<Record<keyof DeviceState, unknown>>
  try { parsed = JSON.parse(text) as typeof parsed } catch { throw damaged }
  const { reservedBlock, durableBlock, epoch, frameBytes, blockFrames } = parsed ?? {}
  if (!isCount(reservedBlock) || !isCount(durableBlock) || !isCount(epoch) || !isCount(frameBytes) || !isCount(blockFrames)) throw damaged
  if (durableBlock > reservedBlock || epoch >= 2 ** 32) throw damaged
  return { reservedBlock, durableBlock, epoch, frameBytes, blockFrames }
}

/** Replaces the file atomically and flushes it and its folder. */
export const writeState = (path: string, state: DeviceState): void => {
  const fresh = `${path}.new`
  const file = openSync(fresh, 'w', 0o600)
  try {
    writeSync(file, `${JSON.stringify(state)}\n`)
    fsyncSync(file)
  } finally { closeSync(file) }
  renameSync(fresh, path)
  const folder = openSync(dirname(path), 'r')
  try { fsyncSync(folder) } finally { closeSync(folder) }
}
