import type { Faults } from './fault.js'
import { checkRelay, checkRouting } from './rules-routing.js'
import type { Config } from './schema.js'
import { deviceKinds } from './schema-links.js'
import { settingName, type SettingPath } from './settings.js'

/** A Unix socket's path must fit into sockaddr_un with its final zero. */
const socketPathBytesMax = 107
/** A sealed record of 4096 bytes carries at most 3968 bytes of key; a tenth more for the store's own trees. */
const storeBytesPerKeyByte = 4096 / 3968 * 1.1

/** Rules between settings. Each tells its own cause only: what is already known to be wrong is not told again. */
export const checkRules = (config: Config, faults: Faults): void => {
  checkPools(config, faults)
  checkLimits(config, faults)
  checkUnique(config, faults)
  checkNeighbours(config, faults)
  checkRouting(config, faults)
  checkRelay(config, faults)
  checkPorts(config, faults)
  checkTrust(config, faults)
  checkStore(config, faults)
  checkAlerts(config, faults)
}

const checkPools = ({ pools }: Config, faults: Faults): void => {
  const atMost = (smaller: keyof Config['pools'], larger: keyof Config['pools'], strictly = false): void => {
    const fits = strictly ? pools[smaller] < pools[larger] : pools[smaller] <= pools[larger]
    if (!fits) faults.addDerived(['pools', smaller], `(${pools[smaller]}) must be ${strictly ? 'less than' : 'at most'} pools.${larger} (${pools[larger]})`, [['pools', larger]])
  }
  atMost('minKeySizeBits', 'keySizeBits')
  atMost('keySizeBits', 'maxKeySizeBits')
  atMost('leaseMinBytes', 'leaseMaxBytes')
  atMost('leaseMs', 'runwayMs')
  atMost('authFloorBytes', 'authReserveBytes', true)
  atMost('criticalKeys', 'lowKeys', true)
  atMost('lowKeys', 'maxKeyCount', true)
  const { saes, percent } = pools.reserve
  if (percent > 0 && saes.length === 0) faults.addDerived(['pools', 'reserve', 'saes'], `is empty, so ${percent} % of each lane could be used by nobody`, [['pools', 'reserve', 'percent']])
  if (percent === 0 && saes.length > 0) faults.addDerived(['pools', 'reserve', 'percent'], 'is 0, so nothing would be kept for the SAEs of pools.reserve.saes', [['pools', 'reserve', 'saes']])
}

const checkLimits = (config: Config, faults: Faults): void => {
  const { pools, rateLimits, supervision, peering } = config
  const largestBits = pools.maxKeyPerRequest * pools.maxKeySizeBits
  if (rateLimits.keyBitsPerS > 0 && rateLimits.keyBitBurst < largestBits) {
    faults.addDerived(['rateLimits', 'keyBitBurst'], `(${rateLimits.keyBitBurst}) is less than the largest request (${largestBits} bits), which could then never be served`, [['pools', 'maxKeyPerRequest'], ['pools', 'maxKeySizeBits']])
  }
  const waits: [SettingPath, { minMs: number, maxMs: number }][] = [[['supervision'], supervision], [['peering', 'retry'], peering.retry]]
  for (const [path, { minMs, maxMs }] of waits) {
    if (minMs > maxMs) faults.addDerived([...path, 'minMs'], `(${minMs}) must be at most maxMs (${maxMs})`, [[...path, 'maxMs']])
  }
  config.links.forEach((link, index) => {
    if (link.qber.warn >= link.qber.abort) faults.addDerived(['links', index, 'qber', 'warn'], `(${link.qber.warn}) must be less than abort (${link.qber.abort})`, [['links', index, 'qber', 'abort']])
    if (link.ring !== undefined && (link.ring.slots & (link.ring.slots - 1)) !== 0) faults.addDerived(['links', index, 'ring', 'slots'], `must be a power of two, not ${link.ring.slots}`)
    checkDevice(link, index, faults)
  })
}

/** A link has one device, and each device its own place. */
const checkDevice = (link: Config['links'][number], index: number, faults: Faults): void => {
  const chosen = deviceKinds.filter((kind) => link[kind] !== undefined)
  if (chosen.length !== 1) faults.addDerived(['links', index], `needs exactly one device (${deviceKinds.join(', ')}), and has ${chosen.length === 0 ? 'none' : chosen.join(' and ')}`, deviceKinds.map((kind) => ['links', index, kind]))
  const { qix, push004, uio } = link
  for (const kind of ['uio', 'vfio', 'xdma'] as const) {
    const slots = link[kind]?.slots ?? 1
    if ((slots & (slots - 1)) !== 0) faults.addDerived(['links', index, kind, 'slots'], `must be a power of two, not ${slots}`)
  }
  if (uio !== undefined && (uio.interruptStatus === undefined) !== (uio.interruptAck === undefined)) faults.addDerived(['links', index, 'uio'], 'needs interruptStatus and interruptAck together, or none of them')
  if (push004 !== undefined && (push004.deviceUrl === undefined) !== (push004.streamId === undefined)) faults.addDerived(['links', index, 'push004'], 'needs deviceUrl and streamId together, or none of them')
  if (qix !== undefined && (qix.connect === undefined) === (qix.listen === undefined)) faults.addDerived(['links', index, 'qix'], `needs exactly one of connect and listen, and has ${qix.connect === undefined ? 'none' : 'both'}`)
}

/** Where a device brings its key: two links must not share it. */
const placeOf = ({ ring, corFiles, recordFile, pull014, qix, pciBar, uio, vfio, xdma }: Config['links'][number]): string | undefined =>
  ring?.path ?? corFiles?.folder ?? recordFile?.path ?? pull014?.url ?? qix?.connect ?? qix?.listen ?? pciBar?.address ?? uio?.address ?? vfio?.address ?? xdma?.data

const checkUnique = (config: Config, faults: Faults): void => {
  const unique = (list: string, names: readonly (string | number | undefined)[], member: SettingPath): void => {
    const first = new Map<string | number, number>()
    names.forEach((name, index) => {
      if (name === undefined) return
      const earlier = first.get(name)
      if (earlier === undefined) first.set(name, index)
      else faults.addDerived([list, index, ...member], `is the same as that of ${list}[${earlier}]`, [[list, earlier, ...member]])
    })
  }
  unique('peers', config.peers.map((peer) => peer.kme), ['kme'])
  unique('links', config.links.map((link) => link.id), ['id'])
  unique('links', config.links.map((link) => link.ring?.path), ['ring', 'path'])
  unique('links', config.links.map((link) => link.ring === undefined ? placeOf(link) : undefined), [])
  unique('saes', config.saes.map((sae) => sae.id), ['id'])
  const operators = config.admin.roles.map((role) => role.operator)
  operators.forEach((name, index) => {
    const earlier = operators.indexOf(name)
    if (earlier < index) faults.addDerived(['admin', 'roles', index, 'operator'], `has a role already (admin.roles[${earlier}])`)
  })
}

const checkNeighbours = (config: Config, faults: Faults): void => {
  const known = new Set(config.peers.map((peer) => peer.kme))
  config.peers.forEach((peer, index) => {
    if (peer.kme === config.kme.id) faults.addDerived(['peers', index, 'kme'], 'is this KME itself', [['kme']])
    if (peer.url === undefined && !config.peering.listen) faults.addDerived(['peers', index], 'has no url and peering.listen is false, so no connection can ever come about', [['peering', 'listen']])
  })
  config.links.forEach((link, index) => {
    if (!known.has(link.peer)) faults.addDerived(['links', index, 'peer'], `"${link.peer}" is none of the peers (${[...known].join(', ') || 'there are none'})`, [['peers']])
  })
  if (config.peers.length > 0 && config.peering.tls === undefined) faults.addDerived(['peering'], 'needs tls (certificate, key, ca) as soon as there are peers', [['peering', 'tls']])
  config.policy.pairs.forEach((pair, index) => {
    if (pair.master === pair.slave && pair.master !== '*') faults.addDerived(['policy', 'pairs', index], 'names the same SAE twice')
  })
}

const checkPorts = (config: Config, faults: Faults): void => {
  const doors: { path: SettingPath, host: string, port: number }[] = [{ path: ['rest'], ...config.rest }]
  if (config.peering.listen && config.peers.length > 0) doors.push({ path: ['peering'], ...config.peering })
  config.links.forEach(({ push004 }, index) => { if (push004 !== undefined) doors.push({ path: ['links', index, 'push004'], ...push004 }) })
  if (config.admin.https !== undefined) doors.push({ path: ['admin', 'https'], ...config.admin.https })
  const everywhere = (host: string): boolean => host === '0.0.0.0' || host === '::'
  doors.forEach((door, index) => {
    const other = doors.slice(0, index).find((one) => one.port === door.port && (one.host === door.host || everywhere(one.host) || everywhere(door.host)))
    if (other !== undefined && door.port !== 0) faults.addDerived([...door.path, 'port'], `(${door.port}) is taken by ${settingName(other.path)}.port`, [[...other.path, 'port']])
  })
}

const checkTrust = (config: Config, faults: Faults): void => {
  const { uriPrefix, dns, cn } = config.rest.identity
  if (uriPrefix === '' && !dns && !cn) faults.addDerived(['rest', 'identity'], 'turns every place off; no SAE could ever be identified')
  const doors: [SettingPath, { crlRequired: boolean, crlFiles: readonly string[] } | undefined][] = [
    [['rest', 'tls'], config.rest.tls], [['peering', 'tls'], config.peering.tls], [['admin', 'https', 'tls'], config.admin.https?.tls],
  ]
  for (const [path, tls] of doors) {
    if (tls?.crlRequired === true && tls.crlFiles.length === 0) faults.addDerived([...path, 'crlFiles'], 'is empty, so every certificate would be refused; name the CRL files or set crlRequired: false', [[...path, 'crlRequired']])
  }
  if (config.admin.https !== undefined && config.admin.roles.length === 0) faults.addDerived(['admin', 'roles'], 'is empty, so nobody could use admin.https', [['admin', 'https']])
  if (Buffer.byteLength(config.admin.socketPath) > socketPathBytesMax) faults.addDerived(['admin', 'socketPath'], `is longer than ${socketPathBytesMax} bytes, the most that a Unix socket can have; choose a shorter place`)
}

const checkAlerts = ({ alerts: { syslog } }: Config, faults: Faults): void => {
  if (syslog !== undefined && (syslog.host === undefined) === (syslog.socket === undefined)) faults.addDerived(['alerts', 'syslog'], `needs exactly one of host and socket, and has ${syslog.host === undefined ? 'none' : 'both'}`)
}

const checkStore = (config: Config, faults: Faults): void => {
  const { file, passphraseFile } = config.store.masterKey
  if ((file === undefined) === (passphraseFile === undefined)) faults.addDerived(['store', 'masterKey'], `needs exactly one of file and passphraseFile, and has ${file === undefined ? 'none' : 'both'}; qkme store create-key makes a file`)
  const { pools: relayed, automatic } = config.network.relay
  const pools = config.peers.length + relayed.length + (automatic.accept || automatic.open !== 'never' ? automatic.poolsMax : 0)
  const stocks = pools * config.pools.maxKeyCount * config.pools.keySizeBits / 8 + (config.localPool.enabled ? config.localPool.stockBytes : 0)
  const neededBytes = Math.ceil(stocks * storeBytesPerKeyByte)
  if (neededBytes > config.store.mapSizeBytes) faults.addDerived(['store', 'mapSizeBytes'], `(${config.store.mapSizeBytes}) is too small for the full stock of ${pools} pools, which needs ${neededBytes} bytes; raise it or lower pools.maxKeyCount`, [['pools', 'maxKeyCount'], ['pools', 'keySizeBits']])
}
