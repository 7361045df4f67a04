import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import { kindOf, kindOfCode, packBody, unpackBody } from '../peer/body.js'
import type { Body, Column, MessageName } from '../peer/messages.js'
import type { AuthPads, PeerChannel, PeerHandler } from '../peer/ports.js'
import { classNumber, classOf, type PoolClass } from './pool-class.js'

export interface FarEndOptions {
  readonly self: KmeId
  readonly remote: KmeId
  /** Of our store, for the connection's own hello. */
  readonly storeId: Uint8Array, readonly incarnation: number, readonly nonce: Uint8Array
  /** The far end opens a pool that we do not have: `add` it and say '', or say why not. */
  readonly invite: (cls: PoolClass) => string
  /** Both ends have the pool now. */
  readonly opened: (cls: PoolClass, isKept: boolean) => void
  /** The far end has no such pool, and says why. */
  readonly refused: (cls: PoolClass, reason: string) => void
  /** The far end has given the pool up. Its stock is void. */
  readonly left: (cls: PoolClass, reason: string) => void
}

interface Entry {
  readonly cls: PoolClass
  readonly handler: PeerHandler
  readonly isKept: boolean
  /** Our hello went out over this connection. */
  isSent: boolean
  theirs: Body<'poolOpen'> | undefined
  isReady: boolean
  /** The far end has said no, or has left: `retry` asks again. */
  isRefused: boolean
}

/** The session of a control channel makes its tags: no pads of a pool are used. */
const noPads: AuthPads = { take: () => undefined, open: () => undefined }
/** Messages that stand for themselves on a control channel. */
const notWithin: ReadonlySet<MessageName> = new Set<MessageName>(['hello', 'poolOpen', 'inPool', 'poolRefused', 'poolLeave'])

/**
 * One end of the control channel with a KME: carries the pools that we share with it over others, one of each class. Each opens by a hello of
 * its own (`poolOpen`) from both sides and has its messages in `inPool`; a fault in one ends the connection, and so all of them.
 */
export class FarEnd implements PeerHandler {
  readonly pads = noPads
  private readonly entries = new Map<number, Entry>()
  private channel: PeerChannel | undefined

  constructor (private readonly o: FarEndOptions) {}

  /** Pools that this end has, open or not. */
  get size (): number { return this.entries.size }
  get isConnected (): boolean { return this.channel !== undefined }

  /** Another pool; opened now if there is a connection. `handler`: the pool joined with what shares its messages (parts.ts). */
  add (cls: PoolClass, handler: PeerHandler, isKept: boolean): void {
    const number = classNumber(cls)
    if (this.entries.has(number)) throw new Error(`invariant violated: one pool of a class with ${this.o.remote}`)
    const entry: Entry = { cls, handler, isKept, isSent: false, theirs: undefined, isReady: false, isRefused: false }
    this.entries.set(number, entry)
    this.advance(entry)
  }

  /** The pool is no more: the far end is told why, if it has it. */
  remove (cls: PoolClass, reason: string): void {
    const number = classNumber(cls), entry = this.entries.get(number), { channel } = this
    if (entry === undefined) return
    const isThere = entry.isSent && !entry.isRefused
    this.entries.delete(number)
    this.end(entry, reason)
    if (isThere && channel !== undefined && channel.send('poolLeave', { pool: number, reason: reason.slice(0, 200) }) !== 'sent') channel.close(reason) // The next connection opens without it.
  }

  /** Asks again for what the far end has refused or left. */
  retry (): void {
    for (const entry of [...this.entries.values()]) {
      if (!entry.isRefused) continue
      entry.isRefused = false
      this.advance(entry)
    }
  }

  // --- the channel ----------------------------------------------------------------------------------------------------

  hello (): object {
    const { self, storeId, incarnation, nonce } = this.o
    const mine: Column = {
      storeId, incarnation, nonce, bye: 0, byeCursor: [], horizons: [], grant: 0, highestBlock: 0, highestAssociation: 0, epochs: [],
      padBlock: 0, padOffset: 0, lastSent: 0, voids: 0,
    }
    return { kme: self, mine, yours: null, saes: 0 }
  }

  onHello (body: unknown): void {
    const { mine } = body as Body<'hello'>
    if (Buffer.compare(mine.storeId, this.o.storeId) === 0) throw new KmeError('PROTOCOL', `${this.o.remote} runs on a copy of this store`)
  }

  onReady (channel: PeerChannel): void {
    this.channel = channel
    for (const entry of [...this.entries.values()]) this.advance(entry)
  }

  onClosed (reason: string): void {
    this.channel = undefined
    for (const entry of this.entries.values()) this.end(entry, reason)
  }

  onWritable (): void {
    for (const entry of [...this.entries.values()]) {
      if (entry.isReady) entry.handler.onWritable?.()
      else if (!entry.isRefused) this.advance(entry)
    }
  }

  onMessage (name: MessageName, body: unknown): void {
    if (name === 'inPool') this.onInPool(body as Body<'inPool'>)
    else if (name === 'poolOpen') this.onOpen(body as Body<'poolOpen'>)
    else if (name === 'poolRefused') this.onRefused(body as Body<'poolRefused'>)
    else if (name === 'poolLeave') this.onLeave(body as Body<'poolLeave'>)
    else throw new KmeError('PROTOCOL', `${this.o.remote}: unexpected ${name} outside of a pool`)
  }

  // --- pools ----------------------------------------------------------------------------------------------------------

  private onOpen (body: Body<'poolOpen'>): void {
    const cls = classOf(body.pool)
    if (cls === undefined) throw new KmeError('PROTOCOL', `${this.o.remote}: a pool of class ${body.pool}, which is none`)
    if (!this.entries.has(body.pool)) {
      const why = this.o.invite(cls)
      if (why !== '') { this.channel?.send('poolRefused', { pool: body.pool, reason: why.slice(0, 200) }); return }
    }
    const entry = this.entries.get(body.pool)
    if (entry === undefined) return
    if (entry.theirs !== undefined) throw new KmeError('PROTOCOL', `${this.o.remote}: a pool is opened twice`)
    entry.theirs = body
    this.advance(entry)
  }

  /** Says our hello once; when theirs is there, too, the pool is open. Ours is made before theirs is acted on: each compares what it knew until now. */
  private advance (entry: Entry): void {
    const { channel } = this
    if (channel === undefined || entry.isReady) return
    if (!entry.isSent) {
      const { mine, yours, saes } = entry.handler.hello() as Body<'hello'>
      if (channel.send('poolOpen', { pool: classNumber(entry.cls), kept: entry.isKept, mine, yours, saes }) !== 'sent') return
      entry.isSent = true
    }
    const { theirs } = entry
    if (theirs === undefined) return
    entry.handler.onHello({ kme: this.o.remote, mine: theirs.mine, yours: theirs.yours, saes: theirs.saes })
    if (this.channel !== channel || this.entries.get(classNumber(entry.cls)) !== entry) return // The hello has ended it.
    entry.isReady = true
    entry.handler.onReady(this.within(entry))
    if (entry.isReady) this.o.opened(entry.cls, theirs.kept)
  }

  private within (entry: Entry): PeerChannel {
    const pool = classNumber(entry.cls)
    return {
      remote: this.o.remote,
      send: (name, body) => entry.isReady && this.channel !== undefined ? this.channel.send('inPool', { pool, type: kindOf(name).code, body: packBody(name, body) }) : 'closed',
      close: (reason) => { this.channel?.close(reason) },
    }
  }

  /** What was under way to a pool that has just been left is dropped: it is void. */
  private onInPool ({ pool, type, body }: Body<'inPool'>): void {
    const { name } = kindOfCode(type)
    if (notWithin.has(name)) throw new KmeError('PROTOCOL', `${this.o.remote}: ${name} within a pool`)
    const entry = this.entries.get(pool)
    if (entry?.isReady === true) entry.handler.onMessage(name, unpackBody(name, body))
  }

  private onRefused ({ pool, reason }: Body<'poolRefused'>): void {
    const entry = this.entries.get(pool)
    if (entry === undefined || entry.isReady) return
    entry.isSent = false // What they open from now on they have not had our hello for.
    entry.isRefused = true
    this.o.refused(entry.cls, reason)
  }

  private onLeave ({ pool, reason }: Body<'poolLeave'>): void {
    const entry = this.entries.get(pool)
    if (entry === undefined) return
    this.end(entry, reason)
    entry.isRefused = true
    this.o.left(entry.cls, reason)
  }

  private end (entry: Entry, reason: string): void {
    const wasReady = entry.isReady
    entry.isReady = entry.isSent = entry.isRefused = false
    entry.theirs = undefined
    if (wasReady) entry.handler.onClosed(reason)
  }
}
