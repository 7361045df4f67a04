import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { loadConfig } from '../../config/load.js'
import type { Config } from '../../config/schema.js'
import { loadNative } from '../../device/native.js'
import { KmeError } from '../../kernel/errors.js'
import type { Random } from '../../kernel/random.js'
import type { Clock } from '../../kernel/time.js'
import { expectedCodeOf } from '../exit-codes.js'
import { openFolder, refuseRunning, resetFolder, sites, startCommand, type SiteName } from './folder.js'
import type { StartOptions } from './options.js'
import { checkPhysics } from './physics.js'
import { makePki } from './pki.js'
import { checkPorts, choosePorts, type NamedPort } from './ports.js'
import type { Screen } from './screen.js'
import { configFile, writeConfigs } from './site-config.js'

export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly screen: Screen
  readonly workingFolder: string
  /** All environment variables, for the children. */
  readonly variables: Readonly<Record<string, string>>
}

/** Everything is there and checked; nothing runs yet. */
export interface Prepared {
  readonly folder: string
  readonly configs: Readonly<Record<SiteName, Config>>
  /** Environment of both KMEs. */
  readonly env: Readonly<Record<string, string>>
}

const keyFileArenaBytes = 1_048_576

/**
 * Checks the machine and makes what is missing: folder, PKI, master keys, configurations.
 *
 * @throws KmeError whose message says what to do.
 */
export const prepare = async (options: StartOptions, world: World): Promise<Prepared> => {
  const { screen } = world, folder = resolve(world.workingFolder, options.folder)
  loadNative()
  if (options.physics !== undefined) checkPhysics(options.physics)
  refuseRunning(folder)
  if (options.reset && existsSync(folder)) {
    resetFolder(folder)
    screen.done(`reset: ${folder} is deleted, with all keys in it`)
  }
  const { isNew, remembered } = openFolder(folder)
  screen.done(`folder ${folder} (${isNew ? 'new' : 'going on with what is in it'})`)
  const pkiIsNew = await makePki(folder, world.clock, world.random)
  screen.done(pkiIsNew ? 'development certificates: 3 authorities, 2 KMEs, 4 SAEs, 1 operator' : 'development certificates: there')
  for (const site of sites) makeMasterKey(folder, site, startCommand(folder, world.workingFolder, '--reset'))
  const portsAsked = options.freePorts || [options.restPorts, options.peeringPorts, options.adminPorts].some((pair) => pair !== undefined)
  const left = writeConfigs(folder, remembered, await choosePorts(options, remembered.ports, world.random), options.rateBps, portsAsked)
  if (left.length > 0) screen.warn(`${left.join(' and ')}: changed by hand, used as ${left.length > 1 ? 'they are' : 'it is'}`)
  const variables = Object.fromEntries(Object.entries(world.variables).filter(([name]) => name.startsWith('QKME_') && name !== 'QKME_CONFIG'))
  const read = (site: SiteName): Config => loadConfig({ file: configFile(folder, site), variables, workingFolder: folder })
  const configs = { a: read('a'), b: read('b') }
  const ports = namedPorts(configs)
  await checkPorts(ports, startCommand(folder, world.workingFolder, '--free-ports'))
  screen.done(`configurations ${sites.map((site) => `kme-${site}.yaml`).join(', ')}; ports ${ports.map(({ port }) => port).join(', ')} are free`)
  const { QKME_CONFIG: _, ...env } = world.variables
  return { folder, configs, env: checkMemory(configs.a, screen) ? env : { ...env, QKME_MEMORY_ALLOW_UNLOCKED: 'true' } }
}

/** Never a second key for a store that exists: it could not be opened again. */
const makeMasterKey = (folder: string, site: SiteName, anew: string): void => {
  const file = join(folder, `kme-${site}-master.key`), store = join(folder, `kme-${site}`, 'store')
  if (existsSync(file)) return
  if (existsSync(store)) {
    throw new KmeError('MASTER_KEY_MISSING', `${file} is missing, and the store ${store} cannot be opened without it\nPut the file back, or begin anew without the stored keys: ${anew}`)
  }
  loadNative().createVault({ arenaBytes: keyFileArenaBytes, allowUnlockedMemory: true }).createMasterKeyFile(file)
}

const namedPorts = (configs: Prepared['configs']): NamedPort[] => sites.flatMap((site) => {
  const { kme, rest, peering, admin } = configs[site]
  return [
    { use: `${kme.id} for SAEs`, port: rest.port, option: '--rest-ports' },
    { use: `${kme.id} for the other KME`, port: peering.port, option: '--peering-ports' },
    ...admin.https === undefined ? [] : [{ use: `${kme.id} for operators`, port: admin.https.port, option: '--admin-ports' }],
  ]
})

/** Tries what the KMEs will do. @returns whether the memory for key can be locked; if not, the person has been told. */
const checkMemory = (config: Config, screen: Screen): boolean => {
  if (config.memory.allowUnlocked) return true
  try {
    loadNative().createVault({ arenaBytes: config.memory.arenaBytes, allowUnlockedMemory: false }).zeroize()
    return true
  } catch (error) {
    if (expectedCodeOf(error) !== 'MEMORY_NOT_LOCKED') throw error
    const mib = (config.memory.arenaBytes / 1_048_576).toFixed(0)
    screen.warn(`the limit on locked memory is too low for the ${mib} MiB that hold keys in clear, so they stay UNLOCKED: keys may be written`)
    screen.line('  to swap. Good enough for a trial, never for real keys. Raise the limit: ulimit -l unlimited (as root), or LimitMEMLOCK= in systemd.')
    return false
  }
}
