import { invariant } from '../kernel/errors.js'
import type { Cancel } from '../kernel/time.js'
import type { AdapterDeps, DeviceSource, FrameName } from './adapter.js'
import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES, PRODUCER, PRODUCER_NUMBERS, SIDE_STATE, type NativeRingProducer } from './native.js'
import { RingSource, type RingListener, type RingView } from './ring-source.js'

/** Flags of a frame that an adapter may set (native/frame.h). */
export const FRAME_FLAG = { last: 1, test: 4, aborted: 8, gap: 16 } as const

/** One frame as an adapter knows it. */
export interface FeedFrame {
  /** 16 bytes: the device's key block, equal at both ends. */
  readonly block: Uint8Array
  /** Of the payload within it; with `block` the name. */
  readonly offset: number
  /** 1 to FRAME_BYTES_MAX bytes. Copied; the caller wipes it. */
  readonly payload: Uint8Array
  readonly flags?: number
  /** In units of 1e-6; unknown when left out. */
  readonly qberPpm?: number
  /** Wall clock of the device, for display. */
  readonly timeMs?: number
}

/** What a feed may do: everything that leaves a software adapter goes through here. */
export interface FeedOutlet {
  /** Publishes a frame. 0: there is no room; go on at `room`. Else its number, which `durable` will reach. */
  publish (frame: FeedFrame): number
  /**
   * Something came under this name that its own checksum or form refuses. It counts as a bad frame: told, not stored, and three
   * in a row quarantine the link. False: no room.
   */
  publishBad (frame: Pick<FeedFrame, 'block' | 'offset'>): boolean
  /** `away`: no device is there; `idle`: it is, and has nothing now; `running`; `stalled`: it should give and does not. */
  state (state: 'away' | 'idle' | 'running' | 'stalled', why?: string): void
  /** The adapter cannot go on: it is closed, and opened anew after a while. */
  fault (reason: string): void
}

/** The part of a software adapter that speaks with its device. JavaScript thread only; must not throw from its callbacks. */
export interface Feed {
  start (out: FeedOutlet): void
  /** There is room again after `publish` said 0. */
  room (): void
  /** Every frame up to this number is done with: stored on disk, known before, or refused. */
  durable (number: number): void
  want? (frames: readonly FrameName[]): void
  counters? (): Record<string, number>
  /** No callback after it; frees everything. */
  stop (): void
}

const RING_SLOTS = 256
const BEAT_MS = 500
const QBER_UNKNOWN = 0xffff_ffff
const STATES = { away: SIDE_STATE.absent, idle: SIDE_STATE.drained, running: SIDE_STATE.run, stalled: SIDE_STATE.fault } as const

/**
 * A software adapter as a device source: what its feed takes from the device goes as frames into a private ring, and from
 * there the way of every device. So names, replays, health, sealing and backpressure are checked by the same code as for
 * hardware. The ring is sealed memory of this process, locked where the limit allows; slots are wiped as they are read.
 */
export class FeedSource implements DeviceSource, FeedOutlet {
  private readonly ring: RingSource
  private readonly producer: NativeRingProducer
  private readonly frameHeader = new Uint8Array(FRAME_HEADER_BYTES)
  private readonly fields = new DataView(this.frameHeader.buffer)
  private readonly numbers = new Float64Array(PRODUCER_NUMBERS)
  private listener: RingListener | undefined
  private now: keyof typeof STATES = 'away'
  private why: string
  private published = 0
  private told = 0
  private faulty = false
  private closed = false
  private stopBeating: Cancel = () => {}
  readonly want?: (frames: readonly FrameName[]) => void

  /** @param where What the device is, for messages: a folder, an address. */
  constructor (private readonly deps: AdapterDeps, private readonly where: string, private readonly feed: Feed) {
    const { addon, vault, clock, linkId, fingerprintKey, sealing } = deps
    this.why = `${where}: nothing has come yet`
    this.ring = new RingSource({
      addon, vault, clock, sealing, ring: { kind: 'private', path: where, linkId, fingerprintKey, slots: RING_SLOTS },
      absence: () => this.why, onDurable: () => { this.tellDurable() },
    })
    try {
      this.producer = addon.openRingProducer({ path: where, linkId, shared: this.ring.share() })
    } catch (error) {
      this.ring.close()
      throw error
    }
    const wanted = feed.want?.bind(feed)
    if (wanted !== undefined) this.want = (frames) => { if (!this.closed && this.listener !== undefined) wanted(frames) }
  }

  remember (recordHeader: Uint8Array): void { this.ring.remember(recordHeader) }

  start (listener: RingListener): void {
    this.listener = listener
    this.beat()
    this.ring.start(listener)
    this.producer.start(() => { if (!this.closed) this.feed.room() })
    this.feed.start(this)
  }

  resume (): void { this.ring.resume() }
  view (): RingView { return this.ring.view() }
  counters (): Record<string, number> { return { ...this.ring.counters(), ...this.feed.counters?.() } }
  header (): Record<string, number> { return this.ring.header() }
  recentHeaders (out: Uint8Array): number { return this.ring.recentHeaders(out) }

  close (): void {
    if (this.closed) return
    this.closed = true
    this.stopBeating()
    this.feed.stop()
    this.producer.close()
    this.ring.close()
  }

  // --- for the feed ---------------------------------------------------------------------------------------------------

  publish (frame: FeedFrame): number {
    invariant(frame.payload.length >= 1 && frame.payload.length <= FRAME_BYTES_MAX, 'a payload fits a frame')
    if (this.closed) return 0
    this.fill(frame, frame.flags ?? 0)
    this.fields.setUint32(12, frame.qberPpm ?? QBER_UNKNOWN, true)
    this.fields.setBigUint64(40, BigInt(Math.trunc(frame.timeMs ?? this.deps.clock.wallMs())) * 1_000_000n, true)
    if (!this.producer.publish(this.frameHeader, frame.payload)) { this.sleep(); return 0 }
    return ++this.published
  }

  publishBad (frame: Pick<FeedFrame, 'block' | 'offset'>): boolean {
    if (this.closed) return false
    this.fill(frame, 0)
    const form = this.fields
    form.setUint32(0, 0x46444B51, true)
    form.setUint8(4, 1)
    form.setUint8(5, FRAME_HEADER_BYTES)
    form.setUint32(8, this.deps.linkId, true)
    form.setUint32(48, 1, true) // One byte of payload, and a checksum that cannot fit: the ring refuses it as any other.
    const raw = new Uint8Array(FRAME_HEADER_BYTES + 1)
    raw.set(this.frameHeader)
    new DataView(raw.buffer).setUint32(60, 0xffff_ffff, true)
    if (!this.producer.publishRaw(raw)) { this.sleep(); return false }
    this.published++
    return true
  }

  state (state: keyof typeof STATES, why?: string): void {
    if (this.closed) return
    const reason = why === undefined ? this.why : `${this.where}: ${why}`
    const isNews = state === 'away' && this.now === 'away' && reason !== this.why
    this.now = state
    this.why = reason
    this.producer.state(this.numbers, STATES[state])
    if (isNews && this.ring.view().state === 'detached') this.listener?.report({ type: 'device.absent', reason }) // The ring tells changes of state only.
  }

  fault (reason: string): void {
    if (this.closed || this.faulty) return
    this.faulty = true
    this.listener?.report({ type: 'device.fault', reason: `${this.where}: ${reason}` })
  }

  // --- inside ---------------------------------------------------------------------------------------------------------

  private fill (frame: Pick<FeedFrame, 'block' | 'offset'>, flags: number): void {
    invariant(frame.block.length === 16, 'a block id has 16 bytes')
    this.frameHeader.fill(0)
    this.fields.setUint16(6, flags, true)
    this.frameHeader.set(frame.block, 24)
    this.fields.setUint32(52, frame.offset, true)
  }

  // False: a slot came free meanwhile, and no bell will ring for it.
  private sleep (): void {
    if (this.producer.sleep()) return
    this.deps.clock.after(0, () => { if (!this.closed) this.feed.room() })
  }

  private tellDurable (): void {
    if (this.closed) return
    this.producer.state(this.numbers, STATES[this.now])
    const durable = this.numbers[PRODUCER.durable]!
    if (durable <= this.told) return
    this.told = durable
    this.feed.durable(durable)
  }

  // A feed lives as long as this process: its beats say that, its state says what the device does.
  private beat (): void {
    if (this.closed) return
    this.producer.state(this.numbers, STATES[this.now])
    this.tellDurable()
    this.stopBeating = this.deps.clock.after(BEAT_MS, () => { this.beat() })
  }
}
