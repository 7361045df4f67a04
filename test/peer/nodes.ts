/** Whole peer sides in one process: real managers and channels over the simulated network. */
import { quietLog, type Log, type SecurityEvent } from '../../src/kernel/log.js'
import { defaultPeerLimits, type PeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import { keepConnected } from '../../src/peer/redial.js'
import type { PeerEvent } from '../../src/peer/state.js'
import { SimClock } from '../../sim/clock.js'
import { SimNetwork, type SimNetworkOptions } from '../../sim/network.js'
import { SimRandom } from '../../sim/random.js'
import { Desk, PAD_BLOCK_BYTES, TestPads } from './desk.js'
import { ReferenceVault } from './reference-tag.js'

export interface Node {
  readonly id: string
  readonly desk: Desk
  readonly manager: PeerManager
  readonly events: string[]
  readonly waitsMs: number[]
  readonly security: string[]
  readonly vault: ReferenceVault
  /** What it was told of two processes with its peer's identity. */
  readonly twice: boolean[]
  stopDialling: () => void
}

export interface World {
  readonly clock: SimClock
  readonly network: SimNetwork
  readonly random: SimRandom
  /** Starts a KME, or starts it again with the next incarnation: with one peer, and dialling it if it knows a URL. */
  start (id: string, remote: string, options?: { url?: boolean, incarnation?: number, dials?: boolean, refuses?: () => boolean }): Promise<Node>
}

export const noting = (into: string[]): Log => ({ ...quietLog, security: (event: SecurityEvent) => { into.push(`${event.event} ${event.subject} ${event.outcome}`) } })

export const makeWorld = (seed = 1, limits: Partial<PeerLimits> = {}, net: Partial<SimNetworkOptions> = {}): World => {
  const clock = new SimClock(), random = new SimRandom(seed)
  const network = new SimNetwork({ clock, random: random.fork(), ...net })
  const all = { ...defaultPeerLimits, ...limits }
  const blocks = new Map<string, Uint8Array>()
  /** The block that `owner` spends towards `other`: the same bytes on both sides, and its pads fresh at each start. */
  const blockOf = (owner: string, other: string): Uint8Array => {
    const name = `${owner}>${other}`
    if (!blocks.has(name)) blocks.set(name, random.bytes(PAD_BLOCK_BYTES))
    return blocks.get(name) as Uint8Array
  }
  const pads = new Map<string, TestPads>()
  const vaults = new Map<string, ReferenceVault>()
  return {
    clock, network, random,
    start: async (id, remote, options = {}) => {
      const name = `${id}|${remote}`
      const vault = vaults.get(name) ?? new ReferenceVault()
      vaults.set(name, vault)
      // The reserve is durable: a KME that starts again goes on where it was.
      if (!pads.has(name)) pads.set(name, new TestPads({ number: 1, handle: vault.addBlock(blockOf(id, remote)) }, { number: 1, handle: vault.addBlock(blockOf(remote, id)) }))
      const desk = new Desk(id, pads.get(name) as TestPads, options.incarnation ?? 1)
      const security: string[] = [], events: string[] = [], waitsMs: number[] = [], twice: boolean[] = []
      const manager = createPeerManager({
        self: id, peers: [{ id: remote, ...options.url === false ? {} : { url: `sim://${remote}` } }], handlerFor: () => options.refuses?.() === true ? undefined : desk,
        vault, clock, random: random.fork(), log: noting(security), limits: all, twice: (_, isNow) => { twice.push(isNow) }, ...network.node(id),
      })
      manager.attach(remote, (event: PeerEvent) => { events.push(event.type === 'peer.disconnected' ? `disconnected:${event.reason}` : event.type.slice(5)) })
      await manager.start()
      const stopDialling = options.dials === false ? () => {} : keepConnected({
        self: id, remote, hasUrl: options.url !== false, manager, clock, random: random.fork(), limits: all, onWait: (ms) => { waitsMs.push(ms) },
      })
      return { id, desk, manager, events, waitsMs, security, vault, twice, stopDialling }
    },
  }
}
