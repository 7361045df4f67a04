import type { Random } from '../src/kernel/random.js'
import type { Cancel, Clock } from '../src/kernel/time.js'
import type { CloseReason } from '../src/peer/refusal.js'
import type { Transport, TransportEvents } from '../src/peer/transport.js'

/** How one direction between two nodes treats what is sent. Chances are per frame, from 0 to 1. */
export interface LaneFaults {
  readonly delayMs: number
  /** Up to this much more, drawn per item; the order is kept. */
  readonly jitterMs: number
  readonly loss: number
  readonly duplicate: number
  /** The frame overtakes the one before it, if that is still under way. */
  readonly reorder: number
}

export type LaneItem =
  | { readonly kind: 'frame', readonly bytes: Uint8Array }
  | { readonly kind: 'ping' | 'pong' | 'open' }
  | { readonly kind: 'close', readonly reason: CloseReason, readonly text: string }

export interface LaneRules {
  readonly clock: Clock
  readonly random: Random
  /** Looked up at each use: tests change them while frames are under way. */
  faults (): LaneFaults
  isCut (): boolean
  /** What arrives in place of a frame; an attacker on the line. */
  tap (bytes: Uint8Array): readonly Uint8Array[]
}

/**
 * One direction of one connection: a queue that delivers in order and on time. A cut holds everything back, like a network that
 * drops what TCP sends again and again; healing lets it go. Loss, doubling and reordering are what TLS and TCP never do, and an
 * attacker or a broken relay may.
 */
export class Lane {
  readonly #queue: { readonly item: LaneItem, readonly dueMs: number }[] = []
  #cancel: Cancel | undefined
  #bytes = 0

  constructor (private readonly rules: LaneRules, private readonly deliver: (item: LaneItem) => void) {}

  /** Bytes of frames under way. */
  get bytes (): number { return this.#bytes }

  put (item: LaneItem): void {
    if (item.kind !== 'frame') { this.#enqueue(item); return }
    for (const bytes of this.rules.tap(item.bytes)) {
      const { loss, duplicate } = this.rules.faults()
      if (this.#happens(loss)) continue
      this.#enqueue({ kind: 'frame', bytes })
      if (this.#happens(duplicate)) this.#enqueue({ kind: 'frame', bytes })
    }
  }

  /** Delivers what is due, unless the line is cut. Called by its timer and when a cut heals. */
  readonly pump = (): void => {
    this.#cancel?.()
    this.#cancel = undefined
    for (;;) {
      const head = this.#queue[0]
      if (head === undefined || this.rules.isCut()) return
      const waitMs = head.dueMs - this.rules.clock.monoMs()
      if (waitMs > 0) {
        this.#cancel = this.rules.clock.after(waitMs, this.pump)
        return
      }
      this.#queue.shift()
      if (head.item.kind === 'frame') this.#bytes -= head.item.bytes.length
      this.deliver(head.item)
    }
  }

  /** Forgets all that is under way. */
  clear (): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#queue.length = 0
    this.#bytes = 0
  }

  #enqueue (item: LaneItem): void {
    const { delayMs, jitterMs, reorder } = this.rules.faults()
    const last = this.#queue.at(-1)
    const arrivalMs = this.rules.clock.monoMs() + delayMs + (jitterMs > 0 ? this.rules.random.integer(jitterMs + 1) : 0)
    const dueMs = Math.max(arrivalMs, last?.dueMs ?? 0)
    if (item.kind === 'frame') this.#bytes += item.bytes.length
    if (last?.item.kind === 'frame' && item.kind === 'frame' && this.#happens(reorder)) this.#queue.splice(-1, 1, { item, dueMs: last.dueMs }, { item: last.item, dueMs })
    else this.#queue.push({ item, dueMs })
    if (this.#cancel === undefined) this.pump()
  }

  #happens (chance: number): boolean { return chance > 0 && this.rules.random.integer(1_000_000) < chance * 1_000_000 }
}

/** One end of a simulated connection. What it sends goes into `out`; what the other end sends comes through `arrived`. */
export class LaneEnd implements Transport {
  #events: TransportEvents | undefined
  #isClosed = false
  out: Lane | undefined

  /** @param windowBytes What the network itself takes up before bytes wait in the sender's process. */
  constructor (private readonly windowBytes: number, private readonly onGone: (end: LaneEnd) => void) {}

  get isClosed (): boolean { return this.#isClosed }
  get bufferedBytes (): number { return Math.max(0, (this.out?.bytes ?? 0) - this.windowBytes) }

  attach (events: TransportEvents): void { this.#events = events }

  send (bytes: Uint8Array): boolean {
    if (this.#isClosed) return false
    this.out?.put({ kind: 'frame', bytes })
    return true
  }

  ping (): void { if (!this.#isClosed) this.out?.put({ kind: 'ping' }) }

  close (reason: CloseReason, text: string): void {
    if (this.#isClosed) return
    const wasStuck = this.bufferedBytes > 0
    this.#isClosed = true
    if (wasStuck) this.out?.clear()
    this.out?.put({ kind: 'close', reason: wasStuck ? 'network' : reason, text })
    this.onGone(this)
  }

  /** The process behind this end has died: it learns nothing, the other end sees a broken connection. */
  die (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.out?.clear()
    this.out?.put({ kind: 'close', reason: 'network', text: 'connection reset' })
    this.onGone(this)
  }

  arrived (item: LaneItem): void {
    if (this.#isClosed) return
    if (item.kind === 'frame') { this.#events?.frame(item.bytes); return }
    if (item.kind === 'close') {
      this.#isClosed = true
      this.onGone(this)
      this.#events?.closed(item.reason, item.text)
      return
    }
    if (item.kind === 'ping') this.out?.put({ kind: 'pong' })
    if (item.kind !== 'open') this.#events?.heard()
  }

  /** The other end has taken a frame of ours. */
  taken (): void { if (!this.#isClosed) this.#events?.drained() }
}
