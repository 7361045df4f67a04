import { invariant, KmeError } from '../kernel/errors.js'
import type { Cancel } from '../kernel/time.js'
import { decideCollision, SplitBrain, type Rival } from './collision.js'
import { Connection } from './connection.js'
import { countEnd, createPeerCounters, type PeerCounters } from './counters.js'
import type { CloseReason } from './refusal.js'
import { reportEnd, type EndedBy } from './report.js'
import type { PeerConfig, PeerEvent, PeerManagerOptions, PeerState, PeerStatus } from './state.js'
import type { Link, TransportEvents } from './transport.js'

export interface EntryDeps extends Omit<PeerManagerOptions, 'peers' | 'listen'> { readonly peer: PeerConfig }

interface Live { readonly connection: Connection, readonly role: Link['role'], readonly link: Link }

/** One peer's attempt, connections and state. At most one dial, one pending connection per role, and one current. */
export class PeerEntry {
  readonly counters: PeerCounters = createPeerCounters()
  readonly #sinks = new Set<(event: PeerEvent) => void>()
  #dial: Cancel | undefined
  readonly #pending = new Map<Link['role'], Live>()
  #current: Live | undefined
  #isResynchronising = false
  #state: PeerState = 'disconnected'
  #lastEnd: CloseReason | '' = ''
  readonly #splitBrain: SplitBrain

  constructor (private readonly d: EntryDeps) {
    this.#splitBrain = new SplitBrain(d.clock, (isNow) => {
      if (isNow) d.log.security({ category: 'peer', severity: 'critical', event: 'peer.splitBrain', subject: d.peer.id, outcome: 'refused', fields: { detail: 'an earlier start calls while a later one is connected' } })
      d.twice?.(d.peer.id, isNow)
    })
  }

  attach (on: (event: PeerEvent) => void): Cancel {
    this.#sinks.add(on)
    return () => { this.#sinks.delete(on) }
  }

  status (): PeerStatus {
    return {
      state: this.#state, role: this.#current?.role, incarnation: this.#current?.connection.channel.peersIncarnation ?? 0,
      bufferedBytes: this.#current?.link.transport.bufferedBytes ?? 0, lastEnd: this.#lastEnd, counters: this.counters,
    }
  }

  /** '' or why the peer is refused now. */
  admit (): string { return this.d.handlerFor(this.d.peer.id) === undefined ? `${this.d.peer.id} is not accepted now` : '' }

  dialOnce (): void {
    const { peer, dialler } = this.d
    if (peer.url === undefined) throw new KmeError('CONFIG_INVALID', `peer ${peer.id} has no URL to dial`)
    if (this.#dial !== undefined || this.#current !== undefined || this.#pending.size > 0) return
    // Before the dial: it may fail within the call, and whoever waits for its end must have seen its beginning.
    const mark: Cancel = () => {}
    this.#dial = mark
    this.#update()
    if (this.#dial !== mark) return // Ended by whoever was told.
    let isOver = false
    const over = (): void => {
      isOver = true
      this.#dial = undefined
    }
    const cancel = dialler.dial({ id: peer.id, url: peer.url }, {
      opened: (link) => {
        over()
        return this.opened(link)
      },
      failed: (reason, text) => {
        over()
        countEnd(this.counters, reason)
        this.#noteEnd(reason, text, 'us')
      },
    })
    if (!isOver) this.#dial = cancel
  }

  /** A transport is open. Its hello exchange begins. */
  opened (link: Link): TransportEvents {
    invariant(link.remote === this.d.peer.id, 'a connection is opened for the peer that it belongs to')
    const handler = this.d.handlerFor(link.remote)
    if (handler === undefined) return this.#turnAway(link)
    const { limits, clock, self, vault, random } = this.d
    const connection: Connection = new Connection({
      self, link, handler, vault, random, clock, limits, counters: this.counters,
      admit: () => { this.#promote(live) },
      progress: (step) => {
        this.#isResynchronising = step === 'resynchronising'
        this.#update()
      },
      ended: (reason, text, by) => { this.#ended(live, reason, text, by) },
    })
    const live: Live = { connection, link, role: link.role }
    const older = this.#pending.get(link.role)
    this.#pending.set(link.role, live)
    older?.connection.channel.end('replaced', 'the peer has connected again')
    this.#update()
    connection.start()
    return connection
  }

  /** Accepted when the connection began, and no more now that it is open. */
  #turnAway (link: Link): TransportEvents {
    const text = `${link.remote} is not accepted now`
    link.transport.close('not-a-peer', text)
    countEnd(this.counters, 'not-a-peer')
    this.#noteEnd('not-a-peer', text, 'us')
    return { frame: () => {}, heard: () => {}, drained: () => {}, closed: () => {} }
  }

  recheck (): void { for (const { connection } of this.#all()) connection.recheck() }

  end (reason: CloseReason, why: string): void {
    const cancel = this.#dial
    this.#dial = undefined
    cancel?.()
    for (const { connection } of this.#all()) connection.channel.end(reason, why)
    if (cancel !== undefined) this.#noteEnd(reason, why, 'us')
  }

  #all (): Live[] { return [...this.#pending.values(), ...this.#current === undefined ? [] : [this.#current]] }

  /** The hello of a pending connection fits: it becomes the current one, or is refused in favour of another. */
  #promote (live: Live): void {
    const older = this.#current
    if (older !== undefined) {
      this.#splitBrain.saw(rival(older), rival(live))
      decideCollision(this.d.self, this.d.peer.id, rival(older), rival(live))
      older.connection.channel.end('replaced', 'a newer connection of this peer has taken over')
    }
    this.#pending.delete(live.role)
    this.#current = live
    this.#isResynchronising = false
    this.#dial?.()
    this.#dial = undefined
  }

  #ended (live: Live, reason: CloseReason, text: string, by: EndedBy): void {
    if (this.#current === live) this.#current = undefined
    if (this.#pending.get(live.role) === live) this.#pending.delete(live.role)
    this.#noteEnd(reason, text, by)
  }

  #noteEnd (reason: CloseReason, text: string, by: EndedBy): void {
    this.#lastEnd = reason
    reportEnd(this.d.log, this.d.peer.id, reason, text, by)
    this.#update({ reason, text })
  }

  #update (end: { reason: CloseReason, text: string } = { reason: 'closed', text: '' }): void {
    const state = this.#present()
    if (state === this.#state) return
    this.#state = state
    const event: PeerEvent = state === 'disconnected' ? { type: 'peer.disconnected', ...end } : { type: `peer.${state}` }
    for (const sink of [...this.#sinks]) sink(event)
  }

  #present (): PeerState {
    if (this.#current?.connection.channel.isReady === true) return this.#isResynchronising ? 'resynchronising' : 'ready'
    if (this.#current !== undefined || this.#pending.size > 0) return 'authenticating'
    return this.#dial === undefined ? 'disconnected' : 'connecting'
  }
}

const rival = (live: Live): Rival => ({ role: live.role, peersIncarnation: live.connection.channel.peersIncarnation })
