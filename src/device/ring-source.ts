import type { DeviceReport } from '../../machines/device.js'
import type { Cancel, Clock } from '../kernel/time.js'
import {
  DRAIN, DRAIN_NUMBERS, INCIDENT_BYTES, QUARANTINES, RING_FAULTS, SIDE_STATE, TICK, TICK_NUMBERS,
  type NativeAddon, type NativeRingConsumer, type NativeVault, type RingOptions, type RingShare, type SealerHandle,
} from './native.js'
import { RingBatches, type DurableMark, type RingBatch } from './ring-batches.js'
import { readIncidents, type RingNotice } from './ring-notices.js'

/** Under what the next frames are sealed: the sealer of the pool's present hour. */
export interface Sealing { readonly sealer: SealerHandle, readonly keySlot: number }

export interface RingSourceOptions {
  readonly addon: NativeAddon
  readonly vault: NativeVault
  readonly ring: RingOptions
  readonly clock: Clock
  /** Asked before each drain. */
  readonly sealing: () => Sealing
  /** Batches that may wait for somebody to copy them; then frames stay in the ring. Default 2 (1 MiB each). */
  readonly batchesMax?: number
  /** Frames of a busy link are taken together: at most one drain in this time. The first after a rest is taken at once. Default 2. */
  readonly gatherMs?: number
  /** Silence of the device that counts as stalled. Default 3000. */
  readonly stalledMs?: number
  /** The ring has no bell and is looked at each 5 ms. Default: it is a device's memory. */
  readonly polled?: boolean
  /** Why no device is there, for its alert. Default: nobody is connected to the ring's path. */
  readonly absence?: () => string
  /** Something became durable and the ring says so: for the adapter that writes into a private ring. */
  readonly onDurable?: () => void
}

export interface RingListener {
  /** Sealed records to store. Must not throw. */
  batch (batch: RingBatch): void
  /** Life of the device, for its actor. `device.frames` is told once after any other report. */
  report (report: DeviceReport): void
  notice (notice: RingNotice): void
}

export type RingState = 'detached' | 'attached' | 'running' | 'stalled' | 'faulty'
export interface RingView {
  readonly state: RingState
  /** '' or why the link is quarantined. */
  readonly quarantine: typeof QUARANTINES[number]
  readonly waitingFrames: number
  readonly batchesInFlight: number
}

const TICK_MS = 500
const POLL_MS = 5
const FREE_MS = 1
const INCIDENTS_PER_DRAIN = 64

/**
 * One QKD link's ring as a source of sealed batches. Frames are drained by the doorbell; what is not acknowledged stays
 * bounded, and then frames wait in the ring, where the device's own rules hold (docs/ring-format.md, "When the ring is full").
 * After a `device.fault` nothing more is taken: close and open anew, with the store's names (`remember`).
 */
export class RingSource {
  private readonly consumer: NativeRingConsumer
  private readonly batches: RingBatches
  private readonly status = new Uint32Array(DRAIN_NUMBERS)
  private readonly health = new Uint32Array(TICK_NUMBERS)
  private readonly incidents = new Uint8Array(INCIDENTS_PER_DRAIN * INCIDENT_BYTES)
  private listener: RingListener | undefined
  private stopTicking: Cancel = () => {}
  private stopPolling: Cancel = () => {}
  private pumpPlanned = false
  /** The last drain found no memory: the next that is free begins one. */
  private isStarved = false
  private closed = false
  private lastPumpMs = -Infinity
  private lastFramesMs = -Infinity
  private flowing = false // frames came since the device attached or said that it has none
  private level = 0
  private incidentsLost = 0
  private quarantineTold = 0
  private framesTold = false
  private witness: DurableMark = { epoch: 0, sequence: 0 }
  private state: RingState = 'detached'

  /** @throws errors with code `RING_INVALID` (what, where, what to do). */
  constructor (private readonly options: RingSourceOptions) {
    this.consumer = options.addon.openRingConsumer(options.vault, options.ring)
    this.batches = new RingBatches(options.batchesMax ?? 2, (ticket) => { this.acknowledge(ticket) }, () => { this.onFree() })
  }

  private acknowledge (ticket: number): void {
    if (this.closed) return
    this.consumer.acknowledge(ticket)
    this.options.onDurable?.()
  }

  /** Descriptors for a producer of this process: `kind: 'private'`. */
  share (): RingShare { return this.consumer.share() }

  /** A record that the store holds or has finished, by its 64-byte header, oldest first; before `start`. */
  remember (recordHeader: Uint8Array): void { this.consumer.remember(recordHeader) }

  start (listener: RingListener): void {
    this.listener = listener
    this.tellWitness(listener)
    this.consumer.start(() => { this.onBell() })
    this.tick()
    if (this.state === 'detached') this.tellAbsent(listener)
    if (this.options.polled ?? this.options.ring.kind === 'device') this.poll()
    this.plan()
  }

  /** Ends a quarantine: an operator's decision. What waits in the ring is discarded. */
  resume (): void {
    this.consumer.resume()
    this.status[DRAIN.quarantine] = this.quarantineTold = 0
    this.plan()
  }

  view (): RingView {
    return {
      state: this.state,
      quarantine: QUARANTINES[this.status[DRAIN.quarantine]!] ?? '',
      waitingFrames: this.health[TICK.waiting]!,
      batchesInFlight: this.batches.inFlight,
    }
  }

  /** Counters since the ring was opened, for metrics: read at scrape. */
  counters (): Record<string, number> { return this.consumer.counters() }
  /** What the region and the last frame's header say. */
  header (): Record<string, number> { return this.consumer.header() }
  recentHeaders (out: Uint8Array): number { return this.consumer.recentHeaders(out) }

  /** Batches under way may still be stored; their acknowledgement does nothing. */
  close (): void {
    if (this.closed) return
    this.closed = true
    this.stopTicking()
    this.stopPolling()
    this.consumer.close()
  }

  // What came while a batch was made durable need not wait longer. Not when its memory is free, at once after the drain: that would
  // make batches of single frames.
  private onFree (): void {
    if (this.isStarved || this.options.clock.monoMs() - this.lastPumpMs >= FREE_MS) this.plan()
  }

  // A bell after a rest is answered at once. On a busy link the producer rings for the first frame of each
  // stretch only, because nobody announces sleep before the drain.
  private onBell (): void {
    if (this.closed || this.pumpPlanned) return
    const leftMs = (this.options.gatherMs ?? 2) - (this.options.clock.monoMs() - this.lastPumpMs)
    if (leftMs <= 0) { this.pump(); return }
    this.pumpPlanned = true
    this.options.clock.after(leftMs, () => { this.pumpPlanned = false; this.pump() })
  }

  // One drain per turn of the event loop, so that requests are served in between.
  private plan (): void {
    if (this.closed || this.pumpPlanned || this.listener === undefined) return
    this.pumpPlanned = true
    setImmediate(() => { this.pumpPlanned = false; this.pump() })
  }

  private pump (): void {
    const { listener, status } = this
    if (this.closed || listener === undefined || status[DRAIN.fault] !== 0) return
    const buffers = this.batches.borrow()
    this.isStarved = buffers === undefined
    if (buffers === undefined) return
    const { sealer, keySlot } = this.options.sealing()
    const count = this.consumer.drain(sealer, keySlot, buffers.records, buffers.meta, status)
    this.lastPumpMs = this.options.clock.monoMs()
    const taken = count + status[DRAIN.repeats]! + status[DRAIN.refused]!
    this.tellProgress(listener, taken)
    const mark = { epoch: status[DRAIN.epoch]!, sequence: status[DRAIN.sequenceLow]! + status[DRAIN.sequenceHigh]! * 2 ** 32 }
    if (taken > 0) listener.batch(this.batches.issue(buffers, count, status[DRAIN.ticket]!, mark))
    else this.batches.giveBack(buffers)
    this.tellStops(listener)
    if (status[DRAIN.more] !== 0) this.plan()
  }

  private tellProgress (listener: RingListener, taken: number): void {
    const { status } = this
    if (taken > 0) {
      this.lastFramesMs = this.lastPumpMs
      this.flowing = true
    }
    if (taken > 0 && !this.framesTold) {
      if (this.state === 'detached') this.tell(listener, { type: 'device.attached', epoch: this.epoch() })
      this.state = 'running'
      this.framesTold = true
      listener.report({ type: 'device.frames' })
    }
    if (status[DRAIN.level] !== this.level) {
      this.level = status[DRAIN.level]!
      listener.notice({ type: 'watermark', level: this.level })
    }
    if (status[DRAIN.incidents]! > 0) this.tellIncidents(listener)
  }

  private tellIncidents (listener: RingListener): void {
    for (const incident of readIncidents(this.incidents, this.consumer.takeIncidents(this.incidents))) {
      listener.notice({ type: 'incident', incident })
      if (incident.kind === 'gap') this.tell(listener, { type: 'device.gap', frames: incident.detail })
      if (incident.kind === 'restarted') this.tell(listener, { type: 'device.epoch', epoch: String(incident.epoch) })
    }
  }

  private tellStops (listener: RingListener): void {
    const { status } = this
    if (status[DRAIN.quarantine] !== this.quarantineTold) {
      this.quarantineTold = status[DRAIN.quarantine]!
      const reason = QUARANTINES[this.quarantineTold]
      if (reason !== undefined && reason !== '') listener.notice({ type: 'quarantined', reason })
    }
    if (status[DRAIN.fault] !== 0) this.fail(listener, status[DRAIN.fault]!)
  }

  private fail (listener: RingListener, fault: number): void {
    if (this.state === 'faulty') return
    this.status[DRAIN.fault] = fault
    this.state = 'faulty'
    this.tell(listener, { type: 'device.fault', reason: `ring ${this.options.ring.path}: ${RING_FAULTS[fault] ?? 'fault'}` })
  }

  private tell (listener: RingListener, report: DeviceReport): void {
    this.framesTold = false
    listener.report(report)
  }

  private tick (): void {
    if (this.closed) return
    this.consumer.tick(this.health)
    if (this.listener !== undefined) { this.tellWitness(this.listener); this.follow(this.listener) }
    if (this.closed) return // A listener may close the source that tells it.
    this.stopTicking = this.options.clock.after(TICK_MS, () => { this.tick() })
    // A device that writes but rings no bell, or rings it badly, is served twice a second.
    if (this.health[TICK.waiting]! > 0) this.plan()
  }

  private poll (): void {
    if (this.closed) return
    this.plan()
    this.stopPolling = this.options.clock.after(POLL_MS, () => { this.poll() })
  }

  /** From what the tick saw to the device's state; each change is told once. */
  private follow (listener: RingListener): void {
    const { health } = this
    const lost = this.status[DRAIN.incidentsLost]!
    if (lost > this.incidentsLost) listener.notice({ type: 'incidents-lost', count: lost - this.incidentsLost })
    this.incidentsLost = lost
    if (health[TICK.fault] !== 0) { this.fail(listener, health[TICK.fault]!); return }
    if (this.state === 'faulty') return
    const next = this.seen()
    if (next === this.state) return
    const before = this.state
    this.state = next
    if (next === 'detached' || next === 'attached') this.flowing = false
    if (next === 'detached') { this.tellAbsent(listener); return }
    if (before === 'detached') this.tell(listener, { type: 'device.attached', epoch: this.epoch() })
    if (next === 'stalled') this.tell(listener, { type: 'device.stalled' })
    if (next === 'attached' && before !== 'detached') this.tell(listener, { type: 'device.drained' })
  }

  private tellAbsent (listener: RingListener): void {
    this.tell(listener, { type: 'device.absent', reason: this.options.absence?.() ?? `no device is connected to ${this.options.ring.path}` })
  }

  // Before the first drain the region's own mark stands there, from a former start if it is a file; later it is ours.
  private tellWitness (listener: RingListener): void {
    const at = this.consumer.header()
    const told = (epoch: number, sequence: number): void => {
      if (sequence === 0 || (epoch === this.witness.epoch && sequence === this.witness.sequence)) return
      this.witness = { epoch, sequence }
      listener.notice({ type: 'witness', mark: this.witness })
    }
    if (!this.flowing && this.lastPumpMs === -Infinity) told(at['durableEpoch']!, at['durableSequence']!)
    told(at['witnessEpoch']!, at['witnessSequence']!)
  }

  private epoch (): string { return String(this.header()['epoch'] ?? 0) }

  private seen (): RingState {
    const { health } = this
    if (health[TICK.connected] === 0) return 'detached'
    const silentMs = Math.min(health[TICK.beatAgeMs]!, this.options.clock.monoMs() - this.lastFramesMs)
    if (health[TICK.producerState] === SIDE_STATE.fault || silentMs > (this.options.stalledMs ?? 3_000)) return 'stalled'
    return this.flowing && health[TICK.producerState] !== SIDE_STATE.drained ? 'running' : 'attached'
  }
}
