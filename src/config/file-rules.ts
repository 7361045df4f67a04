import { accessSync, constants, statSync, type Stats } from 'node:fs'
import { dirname } from 'node:path'
import { KindGuard, type TSchema } from '@sinclair/typebox'
import type { Faults } from './fault.js'
import { configSchema, type Config } from './schema.js'
import type { SettingPath, SettingSchema } from './settings.js'

/** Places that qkme makes itself: there the folder above must be writable. Everything else must be a file that can be read. */
const made: ReadonlySet<string> = new Set(['folders.state', 'store.folder', 'admin.socketPath', 'logging.destination', 'links.ring.path', 'links.corFiles.folder', 'links.recordFile.path'])

const folders: ReadonlySet<string> = new Set(['folders.state', 'store.folder', 'links.corFiles.folder'])

/** Looks whether the files that the configuration names are there, readable, and, where secret, readable by the owner alone. */
export const checkFiles = (config: Config, faults: Faults): void => {
  visit(configSchema, config, [], (schema, file, path) => {
    if (schema.words?.includes(file) === true || file === '' || faults.isFaulty(path)) return
    const name = path.filter((part) => typeof part === 'string').join('.')
    const message = made.has(name) ? checkPlace(file, folders.has(name)) : checkFile(file, schema.secret === true)
    if (message !== undefined) faults.addDerived(path, message)
  })
}

const visit = (schema: TSchema, value: unknown, path: SettingPath, onPath: (schema: SettingSchema, file: string, path: SettingPath) => void): void => {
  if (typeof value === 'string' && (schema as SettingSchema).isPath === true) onPath(schema as SettingSchema, value, path)
  else if (Array.isArray(value) && KindGuard.IsArray(schema)) value.forEach((item, index) => { visit(schema.items, item, [...path, index], onPath) })
  else if (KindGuard.IsObject(schema) && typeof value === 'object' && value !== null) {
    for (const [name, property] of Object.entries(schema.properties)) visit(property, (value as Record<string, unknown>)[name], [...path, name], onPath)
  }
}

const statOf = (file: string): Stats | string => {
  try {
    return statSync(file)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : (error as Error).message
  }
}

const checkFile = (file: string, isSecret: boolean): string | undefined => {
  const stat = statOf(file)
  if (typeof stat === 'string') return `${file}: ${stat}`
  if (!stat.isFile()) return `${file} is not a file`
  if (isSecret && (stat.mode & 0o077) !== 0) return `${file} is a secret but others may read or write it (mode ${(stat.mode & 0o777).toString(8)}): chmod 600 ${file}`
  return accessible(file, constants.R_OK) ? undefined : `${file} cannot be read by this user`
}

/** A thing that will be made: the nearest folder that exists must let us. */
const checkPlace = (file: string, isFolder: boolean): string | undefined => {
  const own = statOf(file)
  if (typeof own !== 'string' && isFolder && !own.isDirectory()) return `${file} is not a folder`
  if (typeof own !== 'string') return accessible(file, constants.W_OK) ? undefined : `${file} cannot be written by this user`
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const stat = statOf(folder)
    if (typeof stat !== 'string') {
      if (!stat.isDirectory()) return `${folder} is not a folder`
      return accessible(folder, constants.W_OK) ? undefined : `${file} cannot be made: ${folder} cannot be written by this user`
    }
    if (folder === dirname(folder)) return `${file}: ${stat}`
  }
}

const accessible = (file: string, mode: number): boolean => {
  try {
    accessSync(file, mode)
    return true
  } catch {
    return false // Whatever the reason, the answer is no; the caller names the file.
  }
}
