import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { FrameRows, storedFrames } from './frame-rows.js'
import type { FrameRef } from './rows.js'

/** A frame that waits: `order` counts arrivals. */
export interface Waiting { readonly frame: FrameRef, readonly order: number, readonly sinceMs: number }

const nameOf = (f: { link: number, id: string, offset: number }): string => `${f.link}/${f.id}/${f.offset}`
/** By its place, which a damaged record has, too. */
const placeOf = (f: FrameRef): string => f.at === undefined ? nameOf(f) : `${f.link}@${f.at.row}/${f.at.index}`

/** A proposal whose frames are not here comes again each second. */
const LACK_MS = 3_000
/** What came so long ago and is in no block yet waits for something else. */
const FRESH_MS = 5_000
/** Names kept of frames that were burned here and belonged to no block. */
const GONE_MAX = 8_192

/**
 * Frames of the pool's links that belong to no block yet, in order of arrival. Bounded by the pool's limit of stock and in
 * number: the ring is not drained while `full`, so the device keeps them (device.md 5.6). While the other side proposes
 * frames that are not here, only their number bounds them: those that are asked for lie behind others in the ring.
 */
export class PendingFrames {
  private readonly waiting = new Map<string, Waiting>()
  private readonly rows = new FrameRows()
  private order = 0
  private lackedUntilMs = -Infinity
  /** When the newest came. */
  private cameMs = -Infinity
  private readonly gone = new Set<string>()
  bytes = 0

  constructor (private readonly core: PoolCore, readonly links: readonly number[], private readonly framesMax = 8_192) {}

  get size (): number { return this.waiting.size }
  get full (): boolean { return this.isStuffed || (this.isAtLimit && !this.isLacking) }
  /** No more frames are taken at all. */
  get isStuffed (): boolean { return this.waiting.size >= this.framesMax }
  /** The other side has proposed frames lately that are not here. */
  get isLacking (): boolean { return this.core.deps.clock.monoMs() < this.lackedUntilMs }
  get isAtLimit (): boolean { return this.bytes >= this.core.deps.limits.maxStockBytes }
  get oldestMs (): number | undefined { for (const w of this.waiting.values()) return w.sinceMs; return undefined }

  /** At start: every stored frame that no block holds. @returns those whose record cannot be what was stored. */
  restore (): FrameRef[] {
    const damaged: FrameRef[] = []
    const taken = new Set<string>()
    for (const number of this.core.blocks.keys()) for (const f of this.core.framesOf(number)) taken.add(placeOf(f))
    for (const link of this.links) {
      for (const { frame, isWhole } of storedFrames(this.core.deps.kv, link)) {
        if (taken.has(placeOf(frame))) continue
        if (isWhole) this.add(frame)
        else damaged.push(frame)
      }
    }
    return damaged
  }

  /** The other side proposes frames that are not here. */
  lack (): void { this.lackedUntilMs = this.core.deps.clock.monoMs() + LACK_MS }

  add (frame: FrameRef, sinceMs = this.core.deps.clock.monoMs()): void {
    this.waiting.set(nameOf(frame), { frame, order: ++this.order, sinceMs })
    this.bytes += frame.length
    this.cameMs = sinceMs
  }

  /** The oldest frames, up to `count`, still waiting. */
  peek (count: number): FrameRef[] {
    const out: FrameRef[] = []
    for (const w of this.waiting.values()) {
      if (out.length === count) break
      out.push(w.frame)
    }
    return out
  }

  /** The newest frames, up to `count`, in order of arrival. */
  newest (count: number): FrameRef[] { return [...this.waiting.values()].slice(-count).map((w) => w.frame) }

  find (name: { link: number, id: string, offset: number }): FrameRef | undefined { return this.entry(name)?.frame }
  entry (name: { link: number, id: string, offset: number }): Waiting | undefined { return this.waiting.get(nameOf(name)) }

  remove (frames: readonly { link: number, id: string, offset: number }[]): void {
    for (const f of frames) {
      const name = nameOf(f), w = this.waiting.get(name)
      if (w === undefined) continue
      this.bytes -= w.frame.length
      this.waiting.delete(name)
    }
  }

  /** As `remove`, of frames that are burned. */
  burned (frames: readonly FrameRef[]): void {
    this.remove(frames)
    for (const f of frames) this.gone.add(nameOf(f))
    for (const oldest of this.gone) {
      if (this.gone.size <= GONE_MAX) break
      this.gone.delete(oldest)
    }
  }

  /** Burned here in this run of the program: it never comes, and nobody need wait for it. */
  isGone (name: { link: number, id: string, offset: number }): boolean { return this.gone.size > 0 && this.gone.has(nameOf(name)) }

  /** Frames that arrived before this one. */
  before (order: number): FrameRef[] {
    const out: FrameRef[] = []
    for (const w of this.waiting.values()) {
      if (w.order >= order) break
      out.push(w.frame)
    }
    return out
  }

  ofDeviceBlock (link: number, id: string): FrameRef[] {
    return [...this.waiting.values()].map((w) => w.frame).filter((f) => f.link === link && f.id === id)
  }

  /** Whether frames wait that may soon be blocks. The other side may lack older ones: they are nobody's. */
  get isFresh (): boolean { return this.size > 0 && this.core.deps.clock.monoMs() - this.cameMs < FRESH_MS }

  orderOf (name: { link: number, id: string, offset: number }): number { return this.entry(name)?.order ?? 0 }

  /** Time away from the peer does not count against a frame. */
  restartClocks (): void {
    const now = this.core.deps.clock.monoMs()
    for (const [name, w] of this.waiting) this.waiting.set(name, { ...w, sinceMs: now })
  }

  /** Stores sealed records as they came from the addon (`FrameRows.put`), in the caller's transaction, who counts them in their key slot. */
  take (tx: KvWriter, records: Uint8Array, meta: ArrayLike<number>, count: number): void {
    const sinceMs = this.core.deps.clock.monoMs()
    for (const frame of this.rows.put(tx, records, meta, count)) {
      this.core.account.ingested += frame.length
      this.add(frame, sinceMs)
    }
  }
}
