import type { KmeId } from '../src/kernel/ids.js'
import type { Random } from '../src/kernel/random.js'
import type { Cancel, Clock } from '../src/kernel/time.js'
import type { CloseReason } from '../src/peer/refusal.js'
import type { AcceptEvents, DialEvents, Dialler, Link, Listen, PeerAddress } from '../src/peer/transport.js'
import { chooseVersion, normalOffer, offeredProtocols } from '../src/peer/versions.js'
import { Lane, LaneEnd, type LaneFaults, type LaneItem } from './network-lane.js'

export interface SimNetworkOptions {
  readonly clock: Clock
  readonly random: Random
  readonly faults?: Partial<LaneFaults>
  readonly windowBytes?: number
  readonly connectTimeoutMs?: number
}

/** What one node needs to take part. */
export interface SimNode { readonly dialler: Dialler, readonly listen: Listen }

/** Sees each frame before the network has it and says what travels instead. */
export type Tap = (from: KmeId, to: KmeId, bytes: Uint8Array) => readonly Uint8Array[]

interface Wire { readonly from: KmeId, readonly to: KmeId, readonly ends: readonly [LaneEnd, LaneEnd], readonly lanes: readonly [Lane, Lane] }

const directed = (from: KmeId, to: KmeId): string => `${from} ${to}`
const noFaults: LaneFaults = { delayMs: 1, jitterMs: 0, loss: 0, duplicate: 0, reorder: 0 }

/**
 * The network between simulated KMEs in one process. Time comes from a Clock and chance from a seeded Random, so a run
 * repeats exactly. Certificates are what `revoke` says of them; everything above the transport is the real code.
 */
export class SimNetwork {
  tap: Tap | undefined
  readonly #o: Required<Omit<SimNetworkOptions, 'faults'>>
  readonly #defaults: LaneFaults
  readonly #faults = new Map<string, LaneFaults>()
  readonly #cuts = new Set<string>()
  readonly #listeners = new Map<KmeId, AcceptEvents>()
  readonly #wires = new Set<Wire>()
  readonly #revoked = new Set<KmeId>()

  constructor (options: SimNetworkOptions) {
    this.#o = { windowBytes: 65_536, connectTimeoutMs: 10_000, ...options }
    this.#defaults = { ...noFaults, ...options.faults }
  }

  node (id: KmeId): SimNode {
    return {
      dialler: { dial: (peer, on) => this.#dial(id, peer, on), reload: () => {} },
      listen: async (on) => {
        this.#listeners.set(id, on)
        return { port: 0, reload: () => {}, stop: () => { this.#unlisten(id, on) } }
      },
    }
  }

  /** As one process of a node has it: a dial that is under way when the process dies leads nowhere. @param dials Each dial's end, for whoever ends the process. */
  process (id: KmeId, dials: Cancel[]): SimNode {
    const { dialler, listen } = this.node(id)
    return {
      listen,
      dialler: {
        reload: () => { dialler.reload() },
        dial: (peer, on) => {
          const cancel = dialler.dial(peer, on)
          dials.push(cancel)
          return cancel
        },
      },
    }
  }

  /** Sets how frames from one node to another fare from now on. */
  setFaults (from: KmeId, to: KmeId, faults: Partial<LaneFaults>): void {
    this.#faults.set(directed(from, to), { ...this.#faultsOf(from, to), ...faults })
  }

  /** Nothing gets through in this direction until it is healed. */
  cut (from: KmeId, to: KmeId): void { this.#cuts.add(directed(from, to)) }

  heal (from: KmeId, to: KmeId): void {
    this.#cuts.delete(directed(from, to))
    for (const wire of [...this.#wires]) {
      if (wire.from === from && wire.to === to) wire.lanes[0].pump()
      if (wire.from === to && wire.to === from) wire.lanes[1].pump()
    }
  }

  partition (a: KmeId, b: KmeId): void {
    this.cut(a, b)
    this.cut(b, a)
  }

  join (a: KmeId, b: KmeId): void {
    this.heal(a, b)
    this.heal(b, a)
  }

  /** The process of a node dies: its ends and its port are gone, its peers see broken connections. */
  kill (id: KmeId): void {
    this.#listeners.delete(id)
    for (const wire of [...this.#wires]) {
      if (wire.from === id) wire.ends[0].die()
      if (wire.to === id) wire.ends[1].die()
    }
  }

  /** The node's certificate holds no more; `false` makes it good again. */
  revoke (id: KmeId, isRevoked = true): void {
    if (isRevoked) this.#revoked.add(id)
    else this.#revoked.delete(id)
  }

  /** Connections that at least one end believes in. */
  get wires (): number { return this.#wires.size }

  #unlisten (id: KmeId, on: AcceptEvents): void { if (this.#listeners.get(id) === on) this.#listeners.delete(id) }

  #faultsOf (from: KmeId, to: KmeId): LaneFaults { return this.#faults.get(directed(from, to)) ?? this.#defaults }

  #certificateFault (id: KmeId): string { return this.#revoked.has(id) ? `the certificate of ${id} is revoked` : '' }

  /** The request travels there, the answer back; a cut or a giving-up at any point is possible. */
  #dial (from: KmeId, peer: PeerAddress, on: DialEvents): Cancel {
    const { clock } = this.#o
    const to = peer.id
    let isOver = false
    let wire: Wire | undefined
    const timers: Cancel[] = []
    const over = (): boolean => {
      if (isOver) return false
      isOver = true
      for (const cancel of timers) cancel()
      return true
    }
    const fail = (reason: CloseReason, text: string): void => {
      if (!over()) return
      wire?.ends[0].close(reason, text)
      on.failed(reason, text)
    }
    const answer = (reason: CloseReason, text: string): void => {
      timers.push(clock.after(this.#faultsOf(to, from).delayMs, () => { if (!this.#isCut(to, from)) fail(reason, text) }))
    }
    timers.push(clock.after(this.#o.connectTimeoutMs, () => { fail('connect-timeout', `no connection within ${this.#o.connectTimeoutMs} ms`) }))
    timers.push(clock.after(this.#faultsOf(from, to).delayMs, () => {
      if (this.#isCut(from, to)) return
      const listener = this.#listeners.get(to)
      if (listener === undefined) { answer('connect-failed', `${to} does not listen`); return }
      const refused = this.#certificateFault(from) || listener.admit(from)
      if (refused !== '') { answer(this.#revoked.has(from) ? 'certificate' : 'not-a-peer', refused); return }
      wire = this.#wire(from, to, (link) => { if (over()) return on.opened(link); return undefined })
      wire.ends[1].attach(listener.accepted(this.#link(wire, 'acceptor')))
      wire.lanes[1].put({ kind: 'open' })
    }))
    return () => {
      if (over()) wire?.ends[0].close('closed', 'the attempt was given up')
    }
  }

  #link (wire: Wire, role: Link['role']): Link {
    const remote = role === 'dialler' ? wire.to : wire.from
    const offered = normalOffer(offeredProtocols.join(','))
    return {
      remote, role, offered, version: chooseVersion(offered) as number,
      transport: wire.ends[role === 'dialler' ? 0 : 1], recheck: () => this.#certificateFault(remote),
    }
  }

  #wire (from: KmeId, to: KmeId, opened: (link: Link) => Parameters<LaneEnd['attach']>[0] | undefined): Wire {
    const gone = (): void => {
      if (ends[0].isClosed && ends[1].isClosed) this.#wires.delete(wire)
    }
    const ends = [new LaneEnd(this.#o.windowBytes, gone), new LaneEnd(this.#o.windowBytes, gone)] as const
    const arrive = (sender: LaneEnd, receiver: LaneEnd, item: LaneItem): void => {
      if (item.kind === 'open' && !receiver.isClosed) {
        const events = opened(this.#link(wire, 'dialler'))
        if (events !== undefined) receiver.attach(events)
      }
      receiver.arrived(item)
      if (item.kind === 'frame') sender.taken()
    }
    const lanes = [
      this.#lane(from, to, (item) => { arrive(ends[0], ends[1], item) }),
      this.#lane(to, from, (item) => { arrive(ends[1], ends[0], item) }),
    ] as const
    ends[0].out = lanes[0]
    ends[1].out = lanes[1]
    const wire: Wire = { from, to, ends, lanes }
    this.#wires.add(wire)
    return wire
  }

  #lane (from: KmeId, to: KmeId, deliver: (item: LaneItem) => void): Lane {
    return new Lane({
      clock: this.#o.clock, random: this.#o.random,
      faults: () => this.#faultsOf(from, to), isCut: () => this.#isCut(from, to),
      tap: (bytes) => this.tap?.(from, to, bytes) ?? [bytes],
    }, deliver)
  }

  #isCut (from: KmeId, to: KmeId): boolean { return this.#cuts.has(directed(from, to)) }
}
