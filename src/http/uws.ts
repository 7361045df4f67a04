import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { KmeError } from '../kernel/errors.js'
import { weakenVersionNeed } from './elf.js'
import type { UwsModule, UwsResponse } from './uws-types.js'

const NEEDED_VERSION = 'GLIBC_2.38'
const require = createRequire(import.meta.url)
// From dist/src/http/ and from src/http/ the package root is two or three levels up.
const packageRoot = new URL(import.meta.url.includes('/dist/') ? '../../../' : '../../', import.meta.url).pathname

const openAddon = (path: string, flags: number): unknown => {
  const module = { exports: {} }
  process.dlopen(module, path, flags)
  return module.exports
}

/**
 * A copy of `source` whose need of glibc 2.38 is weak, kept beside our own addon or, where that folder cannot be
 * written, in a fresh private folder. The name carries the copy's hash and its bytes are compared before use, so
 * that a damaged or foreign file is never loaded; the rename makes two processes starting at once harmless.
 *
 * @returns Path of the copy, and whether the caller has to remove its folder after loading.
 * @throws Error if no folder can be written, or if the file does not need glibc 2.38.
 */
export const patchedCopy = (source: string, cacheFolder: string): { path: string, temporary: boolean } => {
  const bytes = readFileSync(source)
  if (weakenVersionNeed(bytes, NEEDED_VERSION) === 0) throw new Error(`${source} does not need ${NEEDED_VERSION}`)
  const name = `uws-${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}.node`
  const kept = join(cacheFolder, name)
  if (existsSync(kept) && readFileSync(kept).equals(bytes)) return { path: kept, temporary: false }
  const write = (path: string): void => {
    const partial = `${path}.${randomBytes(6).toString('hex')}`
    writeFileSync(partial, bytes, { mode: 0o600, flag: 'wx' })
    renameSync(partial, path)
  }
  try {
    mkdirSync(cacheFolder, { recursive: true })
    write(kept)
    return { path: kept, temporary: false }
  } catch {
    // A read-only installation is normal (a container, a package owned by root): use a folder that only we can enter.
    const folder = mkdtempSync(join(tmpdir(), 'qkme-uws-'))
    write(join(folder, name))
    return { path: join(folder, name), temporary: true }
  }
}

const loadOnOlderGlibc = (source: string): unknown => {
  openAddon(join(packageRoot, 'build/Release/glibc_shim.node'), constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL)
  const copy = patchedCopy(source, join(packageRoot, 'build/Release'))
  try {
    return openAddon(copy.path, constants.dlopen.RTLD_NOW)
  } finally {
    if (copy.temporary) rmSync(dirname(copy.path), { recursive: true, force: true })
  }
}

let loaded: UwsModule | undefined

/**
 * Loads uWebSockets.js, once per process. Its Linux binaries want glibc 2.38, for three symbols that only differ in
 * reading binary literals; Debian 12 has 2.36. So the file is loaded as it is, and only if the system's loader
 * answers that this version is missing, a patched copy is loaded after our own addon that exports the three symbols.
 *
 * @throws KmeError `ADDON_MISSING` with what to install.
 */
export const loadUws = (): UwsModule => {
  if (loaded !== undefined) return loaded
  const file = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`
  try {
    const source = join(dirname(require.resolve('uWebSockets.js')), file)
    try {
      loaded = openAddon(source, constants.dlopen.RTLD_NOW) as UwsModule
    } catch (cause) {
      if (!(cause instanceof Error && cause.message.includes(`\`${NEEDED_VERSION}' not found`))) throw cause
      loaded = loadOnOlderGlibc(source) as UwsModule
    }
    return loaded
  } catch (cause) {
    throw new KmeError('ADDON_MISSING', `the HTTP server library does not load (${file}): use Node 20, 22 or 24 on Linux with glibc, ` +
      `then run: npm install (${cause instanceof Error ? cause.message : String(cause)})`, { cause })
  }
}

let connectionOf: ((res: UwsResponse) => number) | undefined

/**
 * Loads what tells the connections of the library apart: a function that gives the name of a response's connection, the same in the
 * filter and in each request until the connection is closed; 0 if the response is dead.
 *
 * @throws KmeError `ADDON_MISSING`
 */
export const loadConnectionOf = (): (res: UwsResponse) => number => {
  try {
    return connectionOf ??= (require(join(packageRoot, 'build/Release/uws_connection.node')) as { connectionOf: (res: UwsResponse) => number }).connectionOf
  } catch (cause) {
    throw new KmeError('ADDON_MISSING', 'the addon build/Release/uws_connection.node is missing or does not load; run npm run build:native', { cause })
  }
}
