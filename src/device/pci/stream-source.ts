import type { Cancel } from '../../kernel/time.js'
import type { AdapterDeps, DeviceSource, OpenAdapter } from '../adapter.js'
import { RingSource, type RingListener, type RingView } from '../ring-source.js'
import { STREAM, STREAM_NUMBERS, type NativeDeviceStream } from './native-pci.js'

/** Settings of a character device that streams frames, in the manner of Xilinx XDMA (docs/device-pci.md). */
export interface StreamSettings {
  /** Node with blocking reads: /dev/xdma0_c2h_0. */
  readonly data: string
  /** Node of events, read before each burst: /dev/xdma0_events_0. */
  readonly events?: string | undefined
  /** Node that takes reports of what is durable: /dev/xdma0_h2c_0. */
  readonly reports?: string | undefined
  readonly slots: number
  readonly macKeyFile?: string | undefined
  readonly stalledMs?: number | undefined
}

const TICK_MS = 500

/**
 * Frames of a character device. A thread of the addon reads them into locked memory and publishes them, as the device made
 * them, into a private ring; from there they go the way of every device. What the ring has no room for stays in the device.
 */
export class StreamSource implements DeviceSource {
  private readonly ring: RingSource
  private readonly stream: NativeDeviceStream
  private readonly state = new Float64Array(STREAM_NUMBERS)
  private listener: RingListener | undefined
  private stopTicking: Cancel = () => {}
  private closed = false

  constructor (settings: StreamSettings, private readonly deps: AdapterDeps) {
    const { addon, vault, clock, sealing, linkId, fingerprintKey } = deps, { data, events, reports, slots, macKeyFile, stalledMs } = settings
    this.ring = new RingSource({
      addon, vault, clock, sealing, absence: () => `${data}: nothing writes into it`, ...(stalledMs === undefined ? {} : { stalledMs }),
      ring: { kind: 'private', path: data, linkId, slots, fingerprintKey, ...(macKeyFile === undefined ? {} : { macKeyPath: macKeyFile }) },
    })
    try {
      this.stream = addon.openDeviceStream({
        dataPath: data, linkId, shared: this.ring.share(), ...(events === undefined ? {} : { eventPath: events }), ...(reports === undefined ? {} : { reportPath: reports }),
      })
    } catch (error) {
      this.ring.close()
      throw error
    }
    this.stream.tick(this.state)
    if (this.state[STREAM.locked] === 0) deps.log.warn('the buffer of a device stream is not locked in memory; raise the limit on locked memory', { link: linkId, path: data })
  }

  remember (recordHeader: Uint8Array): void { this.ring.remember(recordHeader) }

  start (listener: RingListener): void {
    this.listener = listener
    this.ring.start(listener)
    this.tick()
  }

  resume (): void { this.ring.resume() }
  view (): RingView { return this.ring.view() }

  counters (): Record<string, number> {
    const at = (place: number): number => this.state[place]!
    return {
      ...this.ring.counters(), streamFrames: at(STREAM.frames), streamStates: at(STREAM.states), streamLostBytes: at(STREAM.lostBytes),
      streamBadRecords: at(STREAM.badRecords), streamReads: at(STREAM.reads), streamEvents: at(STREAM.events), streamReports: at(STREAM.reports),
    }
  }

  header (): Record<string, number> { return this.ring.header() }
  recentHeaders (out: Uint8Array): number { return this.ring.recentHeaders(out) }

  close (): void {
    if (this.closed) return
    this.closed = true
    this.stopTicking()
    this.stream.close()
    this.ring.close()
  }

  private tick (): void {
    if (this.closed) return
    this.stream.tick(this.state)
    if (this.state[STREAM.failed] === 1) {
      this.listener?.report({ type: 'device.fault', reason: this.stream.failure() })
      return
    }
    this.stopTicking = this.deps.clock.after(TICK_MS, () => { this.tick() })
  }
}

/** Opens the nodes; a missing one is `RING_INVALID`. */
export const openStream: OpenAdapter<StreamSettings> = (settings, deps) => new StreamSource(settings, deps)
