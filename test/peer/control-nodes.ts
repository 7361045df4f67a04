/** KMEs in a graph: neighbours joined by the simulated network, control channels tunnelled through them. */
import { createHmac } from 'node:crypto'
import type { BlockHandle, KeyHandle } from '../../src/device/native.js'
import type { Clock } from '../../src/kernel/time.js'
import { createControlPeers, type ControlPeers } from '../../src/peer/control/control.js'
import { TunnelHub } from '../../src/peer/control/hub.js'
import { defaultTunnelLimits, type TunnelLimits } from '../../src/peer/control/limits.js'
import type { Parcel } from '../../src/peer/control/outlet.js'
import type { EndToEnd, Path } from '../../src/peer/control/ports.js'
import { defaultPeerLimits, type PeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import { joinParts, type PeerPart } from '../../src/peer/parts.js'
import type { AuthPads, PadBytes, PadRef, PeerHandler } from '../../src/peer/ports.js'
import { keepConnected } from '../../src/peer/redial.js'
import type { PeerEvent } from '../../src/peer/state.js'
import type { TagVault } from '../../src/peer/tags.js'
import { createSimEndToEnd } from '../../sim/control-layer.js'
import { SimNetwork, type SimNetworkOptions } from '../../sim/network.js'
import { SimRandom } from '../../sim/random.js'
import { Desk } from './desk.js'
import { noting } from './nodes.js'

/** Pads without end, so that tests of tunnels need not care. `dry` gives none for the time being. */
export class EndlessPads implements AuthPads {
  dry = false
  #next = 0
  #opened = -1
  take (): PadBytes | undefined { return this.dry ? undefined : { block: 1, offset: 16 * this.#next++, handle: 1 as BlockHandle } }
  open (ref: PadRef): PadBytes | undefined {
    if (ref.offset <= this.#opened) return undefined
    this.#opened = ref.offset
    return { ...ref, handle: 1 as BlockHandle }
  }
}

/** Tags between neighbours that cost little; the real ones have tests of their own. */
const quickVault: TagVault = {
  takeHashKey: () => 1 as KeyHandle,
  tag: (_key, _block, offset, data, out) => { out.set(createHmac('sha256', String(offset)).update(data).digest().subarray(0, 16)) },
  verifyTag: (_key, _block, offset, data, tag) => createHmac('sha256', String(offset)).update(data).digest().subarray(0, 16).equals(tag),
  dropKey: () => {},
}

export interface MeshNode {
  readonly id: string
  readonly hub: TunnelHub
  readonly neighbours: PeerManager
  readonly control: ControlPeers
  /** Pools' stand-ins: of neighbours, and of KMEs behind them. */
  readonly desks: Map<string, Desk>
  readonly pads: Map<string, EndlessPads>
  readonly security: string[]
  readonly events: string[]
  /** Ends this process. */
  kill (): void
}

export interface MeshOptions {
  readonly clock: Clock
  readonly edges: readonly string[]
  readonly endToEnd?: (id: string) => EndToEnd
  readonly net?: Partial<SimNetworkOptions>
  readonly limits?: Partial<PeerLimits>
  readonly tunnels?: Partial<TunnelLimits>
  readonly seed?: number
  /** A node that lies: sees what a neighbour hands it before its tunnels do, and says what they get instead. */
  readonly evil?: (id: string, from: string, parcel: Parcel) => readonly Parcel[]
}

export class Mesh {
  readonly network: SimNetwork
  readonly nodes = new Map<string, MeshNode>()
  /** What every router knows, at once. */
  readonly edges: Set<string>
  readonly #random: SimRandom
  readonly #pads = new Map<string, EndlessPads>()
  readonly #limits: PeerLimits
  incarnation = 1

  constructor (readonly o: MeshOptions) {
    this.#random = new SimRandom(o.seed ?? 1)
    this.edges = new Set(o.edges)
    this.network = new SimNetwork({ clock: o.clock, random: this.#random.fork(), ...o.net })
    this.#limits = { ...defaultPeerLimits, backoffMinMs: 100, backoffMaxMs: 400, ...o.limits }
  }

  at (id: string): MeshNode { return this.nodes.get(id) as MeshNode }

  async startAll (): Promise<this> {
    for (const id of [...new Set(this.o.edges.flatMap((edge) => [...edge]))].sort()) await this.start(id)
    return this
  }

  /** Names are single letters, edges two of them. */
  async start (id: string): Promise<MeshNode> {
    const { clock } = this.o, random = this.#random.fork(), security: string[] = [], events: string[] = []
    const log = noting(security)
    const hub = new TunnelHub({ self: id, clock, random, log, limits: { ...defaultTunnelLimits, ...this.o.tunnels } })
    const remotes = [...new Set(this.o.edges.flatMap((edge) => [...edge]))].filter((other) => this.o.edges.some((edge) => edge === id + other || edge === other + id))
    const desks = new Map<string, Desk>(), handlers = new Map<string, PeerHandler>(), pads = new Map<string, EndlessPads>()
    for (const remote of remotes) {
      pads.set(remote, this.#padsOf(id, remote))
      desks.set(remote, new Desk(id, pads.get(remote) as EndlessPads, this.incarnation))
      handlers.set(remote, joinParts(desks.get(remote) as Desk, [this.#honest(id, remote, hub.neighbour(remote))]))
    }
    const shared = { self: id, vault: quickVault, clock, random, log, limits: this.#limits }
    const neighbours = createPeerManager({ ...shared, peers: remotes.map((remote) => ({ id: remote, url: `sim://${remote}` })), handlerFor: (remote) => handlers.get(remote), ...this.network.node(id) })
    await neighbours.start()
    const control = createControlPeers({
      ...shared, hub, endToEnd: this.o.endToEnd?.(id) ?? createSimEndToEnd(id, 'secret of the run', clock),
      paths: { paths: (destination) => this.paths(id, destination), isUsable: (path) => path.every((to, i) => i === 0 || this.edges.has(path[i - 1] + to) || this.edges.has(to + path[i - 1])) },
      handlerFor: (remote) => {
        if (!desks.has(remote)) desks.set(remote, new Desk(id, new EndlessPads(), this.incarnation))
        return desks.get(remote)
      },
    })
    await control.manager.start()
    const stops = remotes.map((remote) => keepConnected({ self: id, remote, hasUrl: true, manager: neighbours, clock, random, limits: this.#limits, onWait: () => {} }))
    control.watch({
      opened: (remote) => {
        control.manager.attach(remote, (event: PeerEvent) => { events.push(`${remote} ${event.type === 'peer.disconnected' ? `disconnected:${event.reason}` : event.type.slice(5)}`) })
        stops.push(keepConnected({ self: id, remote, hasUrl: true, manager: control.manager, clock, random, limits: this.#limits, onWait: () => {} }))
      },
      closed: () => {},
    })
    const node: MeshNode = {
      id, hub, neighbours, control, desks, pads, security, events,
      kill: () => {
        this.network.kill(id)
        for (const stop of stops) stop()
        neighbours.stop()
        control.stop()
      },
    }
    this.nodes.set(id, node)
    return node
  }

  /** All ways without loops over the edges that are known, shortest first, then by name. */
  paths (from: string, to: string): Path[] {
    const found: string[] = []
    const walk = (path: string): void => {
      const last = path.at(-1) as string
      if (last === to) { found.push(path); return }
      for (const edge of this.edges) {
        const next = edge[0] === last ? edge[1] : edge[1] === last ? edge[0] : undefined
        if (next !== undefined && !path.includes(next)) walk(path + next)
      }
    }
    walk(from)
    return found.sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).map((path) => [...path])
  }

  /** Two KMEs want a channel, and time passes until it is there. */
  open (a: string, b: string): void {
    this.at(a).control.open(b)
    this.at(b).control.open(a)
  }

  #honest (id: string, remote: string, part: PeerPart): PeerPart {
    const { evil } = this.o
    return evil === undefined ? part : {
      ...part, onMessage: (name, body) => { for (const parcel of evil(id, remote, { name, body } as Parcel)) part.onMessage(parcel.name, parcel.body) },
    }
  }

  stop (): void { for (const node of this.nodes.values()) node.kill() }

  /** Reserves outlive a process. */
  #padsOf (id: string, remote: string): EndlessPads {
    const name = `${id}${remote}`
    const known = this.#pads.get(name) ?? new EndlessPads()
    this.#pads.set(name, known)
    return known
  }
}
