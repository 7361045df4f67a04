import { KmeError } from '../../kernel/errors.js'
import type { KmeId } from '../../kernel/ids.js'
import type { Log } from '../../kernel/log.js'
import type { Random } from '../../kernel/random.js'
import type { Clock } from '../../kernel/time.js'
import type { Body, MessageName, TunnelFaultReason } from '../messages.js'
import type { PeerPart } from '../parts.js'
import { Budget } from './budget.js'
import type { TunnelLimits } from './limits.js'
import { Outlet, type LossReason, type Parcel } from './outlet.js'
import { Pace } from './pace.js'
import type { OtherWay, Path, Tunnel, TunnelEvents } from './ports.js'
import { TunnelSession } from './session.js'

export interface HubOptions {
  readonly self: KmeId
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly limits: TunnelLimits
}

/** Since the start of the process; read at scrape. */
export interface HubCounters {
  forwarded: number
  forwardedBytes: number
  /** Frames dropped because their path is not one, or not over this neighbour. */
  badPath: number
  /** Frames dropped at a bound. */
  congested: number
  /** Frames whose next node is no neighbour now. */
  unroutable: number
  faultsSent: number
  /** Sessions that end here and went over to another path. */
  moved: number
}

/** A session that somebody opened to us. '' takes it; otherwise the reason why not goes back. */
export type AcceptTunnel = (remote: KmeId, attach: (events: TunnelEvents) => Tunnel) => '' | TunnelFaultReason

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/**
 * All tunnels of a KME: passes frames of others on, and holds the ends of its own. A frame names its whole path, so that it
 * cannot run in circles; each node checks that it stands on it behind the neighbour from which the frame came. Nothing is kept
 * for a session on its way, and nothing of it is looked at.
 */
export class TunnelHub {
  readonly counters: HubCounters = { forwarded: 0, forwardedBytes: 0, badPath: 0, congested: 0, unroutable: 0, faultsSent: 0, moved: 0 }
  /** Whoever takes sessions in; none are taken before. */
  accept: AcceptTunnel = () => 'refused'
  readonly #outlets = new Map<KmeId, Outlet>()
  readonly #paces = new Map<KmeId, Pace>()
  readonly #sessions = new Map<string, TunnelSession>()
  readonly #budget: Budget

  constructor (private readonly o: HubOptions) {
    this.#budget = new Budget(o.clock, o.limits.sourceFramesPerS, o.limits.sourcesMax)
  }

  /** Sessions whose end is here. */
  get sessions (): number { return this.#sessions.size }

  /** Bytes of others' frames, and ours, that wait for a neighbour. */
  waitingBytes (neighbour: KmeId): number { return this.#outlets.get(neighbour)?.waitingBytes ?? 0 }

  /** The part of a neighbour's channel that carries tunnels (parts.ts, `joinParts`). */
  neighbour (remote: KmeId): PeerPart {
    return {
      names: ['tunnel', 'tunnelFault'],
      onReady: (channel) => {
        this.#outlets.set(remote, new Outlet(this.o.self, channel, this.o.clock, this.o.limits))
        // Half of our share: acknowledgements, probes and ends are the other half.
        this.#paces.set(remote, new Pace(this.o.clock, this.o.limits.sourceFramesPerS / 2))
      },
      onClosed: () => { this.#lose(remote) },
      onWritable: () => { this.#outlets.get(remote)?.flush() },
      onMessage: (name, body) => { this.#receive(remote, name, body) },
    }
  }

  /**
   * Opens a session over a path. @param otherWay Where it goes when its path breaks.
   *
   * @throws KmeError `PEER_DOWN` if the first node is not connected, `QUEUE_FULL` at the bound of sessions.
   */
  open (path: Path, events: TunnelEvents, otherWay: OtherWay = () => undefined): Tunnel {
    const first = path[1]
    if (first === undefined || !this.#outlets.has(first)) throw new KmeError('PEER_DOWN', `${first ?? 'the next node'} is not connected`)
    if (this.#sessions.size >= this.o.limits.sessionsMax) throw new KmeError('QUEUE_FULL', `${this.o.limits.sessionsMax} tunnels end here already`)
    const session = this.#session(path, this.o.random.bytes(16), otherWay)
    session.events = events
    return session
  }

  /** The network has changed: sessions whose path may be broken go another way, or are asked for a sign of life while there is none. */
  reconsider (mayBeBroken: (path: Path) => boolean): void {
    for (const session of [...this.#sessions.values()]) if ((session.isStuck || mayBeBroken(session.path)) && !session.move()) session.probe()
  }

  #session (path: Path, id: Uint8Array, otherWay: OtherWay | undefined): TunnelSession {
    const remote = path.at(-1) as KmeId, name = sessionName(remote, id)
    const session = new TunnelSession({
      path, id, clock: this.o.clock, limits: this.o.limits, otherWay,
      post: (body) => this.#outlets.get(body.path[1] as KmeId)?.put({ name: 'tunnel', body }, (why) => { this.#dropped(session, body, why) }) ?? 'unroutable',
      mayPost: (first, wake) => this.#paces.get(first)?.take(wake) ?? true, // Without the neighbour `post` fails.
      gone: () => { this.#sessions.delete(name) },
      moved: (to) => {
        this.counters.moved++
        this.o.log.info('a control channel goes another way', { kme: remote, path: to.join(' '), before: session.formerPath.join(' ') })
      },
    })
    this.#sessions.set(name, session)
    return session
  }

  /** A frame of ours waited for a neighbour in vain. */
  #dropped (session: TunnelSession, { path }: Body<'tunnel'>, why: LossReason): void {
    if (path[1] !== session.path[1]) return // It has gone another way meanwhile, and taken what was lost with it.
    const text = `a frame towards ${session.remote} was lost: ${why}`
    if (why === 'unroutable') session.broken(text)
    else session.lost('network', text)
  }

  #lose (neighbour: KmeId): void {
    const outlet = this.#outlets.get(neighbour)
    this.#outlets.delete(neighbour)
    this.#paces.get(neighbour)?.stop()
    this.#paces.delete(neighbour)
    outlet?.close()
    for (const session of [...this.#sessions.values()]) {
      if (session.path[1] === neighbour) session.broken(`the connection to ${neighbour}, the next node, has ended`)
    }
  }

  // --- what a neighbour hands us ------------------------------------------------------------------------------------

  #receive (from: KmeId, name: MessageName, body: unknown): void {
    const parcel = { name, body } as Parcel
    const { path, hop } = parcel.body
    if (path[hop] !== this.o.self || path[hop - 1] !== from || new Set(path).size !== path.length) {
      this.counters.badPath++
      this.o.log.security({ category: 'peer', severity: 'medium', event: 'tunnel.badPath', subject: from, outcome: 'refused' })
      return
    }
    const budget = this.#budget.take(`${from} ${path[0] as KmeId}`)
    if (budget !== 'taken') {
      this.counters.congested++
      if (budget === 'first') this.#answer(parcel, 'congested')
      return
    }
    if (hop < path.length - 1) this.#forward(parcel)
    else if (parcel.name === 'tunnel') this.#deliver(parcel.body)
    else this.#onFault(parcel.body)
  }

  #forward (parcel: Parcel): void {
    const { path, hop } = parcel.body
    const next = { ...parcel, body: { ...parcel.body, hop: hop + 1 } } as Parcel
    const dropped = (why: 'unroutable' | 'congested'): void => {
      this.counters[why]++
      this.#answer(parcel, why)
    }
    const why = this.#outlets.get(path[hop + 1] as KmeId)?.put(next, dropped) ?? 'unroutable'
    if (why !== '') { dropped(why); return }
    this.counters.forwarded++
    if (parcel.name === 'tunnel') this.counters.forwardedBytes += parcel.body.bytes.length
  }

  #deliver (body: Body<'tunnel'>): void {
    const remote = body.path[0] as KmeId
    const known = this.#sessions.get(sessionName(remote, body.session))
    if (known !== undefined) {
      // Another path than the session's: its opener proves that it moves, or nobody whom we trust with it sent this.
      const isGood = body.kind === 'move' ? known.follow(body) : sameReversed(known.path, body.path)
      if (!isGood && !sameReversed(known.formerPath, body.path)) this.counters.badPath++
      else if (isGood && body.kind !== 'move') known.receive(body)
      return
    }
    if (body.kind === 'end' || body.kind === 'ack') return // Of a session that is over.
    if (body.kind !== 'data' || body.seq !== 1) { this.#answer({ name: 'tunnel', body }, 'unknown'); return }
    if (this.#sessions.size >= this.o.limits.sessionsMax) { this.#answer({ name: 'tunnel', body }, 'congested'); return }
    const refused = this.accept(remote, (events) => {
      const session = this.#session([...body.path].reverse(), body.session, undefined)
      session.events = events
      return session
    })
    if (refused !== '') { this.#answer({ name: 'tunnel', body }, refused); return }
    this.#sessions.get(sessionName(remote, body.session))?.receive(body)
  }

  /** A node on the path of one of our sessions could not carry it on; the far end may have refused it. */
  #onFault ({ session: id, path, at, reason }: Body<'tunnelFault'>): void {
    const text = hex(id)
    for (const session of [...this.#sessions.values()]) {
      const isOurs = session.id === text && session.path[1] === path.at(-2) && session.path.includes(at)
      const words = `${at} says of the way to ${session.remote}: ${reason}`
      if (isOurs && reason === 'unroutable') session.broken(words)
      else if (isOurs) session.lost(reason === 'refused' ? 'not-a-peer' : 'network', words)
    }
  }

  /** Tells the source of a frame what became of it. Never of a fault, so that faults beget none. */
  #answer ({ name, body }: Parcel, reason: TunnelFaultReason): void {
    if (name === 'tunnelFault') return
    const back = body.path.slice(0, body.hop + 1).reverse()
    const fault: Parcel = { name: 'tunnelFault', body: { path: back, hop: 1, session: body.session, at: this.o.self, reason } }
    if (this.#outlets.get(back[1] as KmeId)?.put(fault, () => {}) === '') this.counters.faultsSent++
  }
}

const sessionName = (remote: KmeId, id: Uint8Array): string => `${hex(id)} ${remote}`

const sameReversed = (a: Path, b: Path): boolean => a.length === b.length && a.every((id, i) => id === b[b.length - 1 - i])
