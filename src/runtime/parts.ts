import { adminMachine, restMachine } from '../../machines/server.js'
import { deviceMachine } from '../../machines/device.js'
import { linkLimits, linkMachine } from '../../machines/link.js'
import { peerLimits, peerMachine } from '../../machines/peer.js'
import { poolLimits, poolMachine, type PoolLimits } from '../../machines/pool.js'
import { layers, type PartSpec } from '../../machines/root.js'
import type { RestartPolicy } from '../../machines/supervise.js'
import type { Config } from '../config/schema.js'
import { createRingActor } from '../device/ring-actor.js'
import type { Random } from '../kernel/random.js'
import type { Clock } from '../kernel/time.js'
import { dialRole } from '../peer/collision.js'
import type { PeerManager } from '../peer/manager.js'
import { relayPoolId } from '../relay/link.js'
import { createPeerActor } from '../peer/peer-actor.js'
import type { PartBoard } from './board.js'
import { createLinkEffects } from './link-shell.js'
import type { LinkPath } from './link-path.js'
import { retryWithJitter } from './peer-shell.js'
import type { PoolPath } from './pool-path.js'
import { createPoolEffects } from './pool-shell.js'
import { createServerListener, type StartServer } from './server-shell.js'

/** Where the effects come from. Looked up when a part starts: the store is open then. */
export interface PartSources {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly link: (id: number) => LinkPath
  readonly pool: (kme: string) => PoolPath
  readonly peers: Pick<PeerManager, 'attach' | 'dialOnce' | 'hangUp'>
  readonly startRest: StartServer
  readonly startAdmin: StartServer
}

/** The side with the higher ID lets the other dial first. */
const GRACE_MS = 3_000

export const partIds = {
  device: (link: number): string => `device/${link}`, link: (link: number): string => `link/${link}`,
  pool: (kme: string): string => `pool/${kme}`, peer: (kme: string): string => `peer/${kme}`,
}

/** Every part under the root supervisor, with its real effects. */
export const createParts = (s: PartSources) => (board: PartBoard): readonly PartSpec[] => {
  const { config } = s
  const policy = policyOf(config)
  const part = (id: string, layer: number, logic: PartSpec['logic'], input: unknown, vital = false): PartSpec => ({ id, layer, logic, input, vital, policy })

  const devices = config.links.map(({ id }) => {
    const ring = createRingActor((device) => s.link(id).open(device), {
      opened: (source) => { s.link(id).outlet.opened(source) }, batch: (b) => { s.link(id).outlet.batch(b) }, notice: (n) => { s.link(id).outlet.notice(n) },
    })
    return part(partIds.device(id), layers.devices, deviceMachine.provide({ actors: { ring } }), { device: partIds.device(id) })
  })
  const links = config.links.map(({ id, peer, qber }) => {
    const port = { listen: (report: Parameters<LinkPath['listen']>[0]) => s.link(id).listen(report), setAdmission: (cause: Parameters<LinkPath['setAdmission']>[0]) => { s.link(id).setAdmission(cause) } }
    const effects = createLinkEffects(port, board, { device: partIds.device(id), peer: partIds.peer(peer) })
    const limits = { ...linkLimits, qberWarn: qber.warn, qberClear: qber.warn * 0.9, qberAbort: qber.abort }
    return part(partIds.link(id), layers.links, linkMachine.provide({ actors: { effects } }), () => ({ link: partIds.link(id), limits, quarantined: s.link(id).quarantined, heldThere: s.link(id).heldThere }))
  })
  const peers = config.peers.map(({ kme, url }) => part(partIds.peer(kme), layers.peers,
    peerMachine.provide({ actors: { channel: createPeerActor(s.peers) }, delays: { retry: retryWithJitter(s.random) } }),
    { peer: kme, dials: dialRole(config.kme.id, kme, url !== undefined) !== 'never', limits: { ...peerLimits, retryMinMs: config.peering.retry.minMs, retryMaxMs: config.peering.retry.maxMs },
      graceMs: dialRole(config.kme.id, kme, url !== undefined) === 'after-grace' ? GRACE_MS : 0 }))
  const poolOf = (id: string): PartSpec => poolPart(s, id)
  const pools = [...config.peers.map(({ kme }) => poolOf(kme)), ...config.network.relay.pools.map((pool) => poolOf(relayPoolId(pool.kme, pool))), ...(config.localPool.enabled ? [poolOf(config.kme.id)] : [])]
  const servers = [
    part('admin', layers.admin, adminMachine.provide({ actors: { listener: createServerListener(s.startAdmin) } }), { server: 'admin' }),
    part('rest', layers.rest, restMachine.provide({ actors: { listener: createServerListener(s.startRest) } }), { server: 'rest' }, true),
  ]
  return [...devices, ...links, ...peers, ...pools, ...servers]
}

/** The part of a pool, by the pool's name. */
export const poolPart = (s: Pick<PartSources, 'config' | 'clock' | 'pool'>, id: string): PartSpec => {
  const { config } = s
  const lazy = {
    listen: (report: Parameters<PoolPath['listen']>[0]) => s.pool(id).listen(report), level: () => s.pool(id).level(),
    setSuspension: (reason: string) => { s.pool(id).setSuspension(reason) }, replenish: (reason: Parameters<PoolPath['replenish']>[0]) => s.pool(id).replenish(reason),
    close: () => s.pool(id).close(),
  }
  const logic = poolMachine.provide({ actors: { effects: createPoolEffects(lazy, s.clock) } })
  return { id: partIds.pool(id), layer: layers.pools, logic, vital: false, policy: policyOf(config),
    input: () => ({ pool: partIds.pool(id), suspended: s.pool(id).suspended, held: s.pool(id).held, limits: id === config.kme.id ? localLimitsOf(config) : poolLimitsOf(config) }) }
}

const policyOf = ({ supervision: { minMs, maxMs, stableMs, attemptsMax } }: Config): RestartPolicy => ({ minMs, maxMs, stableMs, attemptsMax, stopMs: 10_000 })

const poolLimitsOf = (config: Config): PoolLimits => {
  const bits = config.pools.keySizeBits
  const lowBits = Math.max(config.pools.lowKeys * bits, config.pools.maxKeySizeBits * 4)
  const exhaustedBits = Math.max(config.pools.maxKeySizeBits, Math.min(config.pools.criticalKeys * bits, lowBits / 2))
  return { ...poolLimits, lowBits, readyBits: Math.round(lowBits * 1.2), exhaustedBits, resumeBits: Math.min(lowBits, exhaustedBits * 2) }
}

/** A local pool makes its own stock: it is low when it cannot keep up. */
const localLimitsOf = (config: Config): PoolLimits => {
  const stockBits = config.localPool.stockBytes * 8
  return { ...poolLimits, readyBits: stockBits / 2, lowBits: stockBits / 4, exhaustedBits: config.pools.maxKeySizeBits, resumeBits: stockBits / 8 }
}
