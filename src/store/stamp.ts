/**
 * Where a store thinks it lives. A store whose stamp is not its own is a copy of another, and everything that two
 * copies both hold must count as spent (design: copies).
 */
import { readFileSync, statSync } from 'node:fs'
import { KmeError } from '../kernel/errors.js'

export interface Stamp {
  /** Inode of the data file, and its birth in nanoseconds since 1970 (0 where the file system has none). */
  readonly inode: string
  readonly birthNs: string
  /** Of /etc/machine-id; empty where there is none. */
  readonly machine: string
}

/** @param machineIdPath Usually /etc/machine-id. */
export const takeStamp = (dataFile: string, machineIdPath: string): Stamp => {
  const { ino, birthtimeNs } = statSync(dataFile, { bigint: true })
  return { inode: String(ino), birthNs: String(birthtimeNs), machine: readMachine(machineIdPath) }
}

const readMachine = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim().slice(0, 64)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new KmeError('STORE_UNAVAILABLE', `cannot read ${path}: ${(error as Error).message}. It tells this machine from others; make it readable`, { cause: error })
  }
}

/** In which fields two stamps differ; empty if they are the same place. */
export const stampDifference = (a: Stamp, b: Stamp): (keyof Stamp)[] =>
  (['inode', 'birthNs', 'machine'] as const).filter((field) => a[field] !== b[field])

export const encodeStamp = (stamp: Stamp): Uint8Array => new TextEncoder().encode(JSON.stringify(stamp))

/** @throws KmeError `STORE_CORRUPT` */
export const decodeStamp = (bytes: Uint8Array): Stamp => {
  const raw = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>
  const text = (field: string): string => {
    const value = raw[field]
    if (typeof value !== 'string') throw new KmeError('STORE_CORRUPT', `the store's stamp has no ${field}`)
    return value
  }
  return { inode: text('inode'), birthNs: text('birthNs'), machine: text('machine') }
}
