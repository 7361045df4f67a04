/**
 * What every device adapter is to the rest of a KME. The device actor (ring-actor.ts) opens, starts and closes a source,
 * the link's path takes its batches; what the device is made of (shared memory, a PCI card, files, a service) stays in
 * the adapter. test/contract/adapter-suite.ts holds every adapter to the rules that docs/device-guide.md tells.
 */
import type { Log } from '../kernel/log.js'
import type { Clock } from '../kernel/time.js'
import type { NativeAddon, NativeVault } from './native.js'
import type { RingListener, RingView, Sealing } from './ring-source.js'

/** A frame's name within its link: equal at both ends, stable over restarts. `offset` as in the frame header. */
export interface FrameName { readonly id: string, readonly offset: number }

/**
 * One open device. Life: made by an adapter (which may throw `RING_INVALID`: what, where, what to do), names remembered
 * oldest first, started once, closed once. JavaScript thread only; nothing here throws for what a device does.
 */
export interface DeviceSource {
  /** A record that the store holds or has finished, by its 64-byte header; before `start`. */
  remember (recordHeader: Uint8Array): void
  /** Sealed batches, the life of the device and its incidents go to the listener from now on. */
  start (listener: RingListener): void
  /** Ends a quarantine by an operator's decision. What waited meanwhile is discarded: it may be what caused it. */
  resume (): void
  view (): RingView
  /** Counters since the source was opened: names as in docs/metrics.md, never bytes. */
  counters (): Record<string, number>
  /** What the device and the last frame's header say. */
  header (): Record<string, number>
  /** Copies the newest frame headers, oldest first, 64 bytes each and without their checksum (which depends on key); returns how many. */
  recentHeaders (out: Uint8Array): number
  /**
   * The other KME proposed these frames and this end lacks them. Only an adapter that fetches by name listens;
   * the others get them from their device without asking.
   */
  want? (frames: readonly FrameName[]): void
  /** Frees everything; batches under way may still be stored, their acknowledgement does nothing. Twice is harmless. */
  close (): void
}

/** What an adapter gets from the KME. */
export interface AdapterDeps {
  readonly addon: NativeAddon
  readonly vault: NativeVault
  readonly clock: Clock
  readonly log: Log
  readonly linkId: number
  /** 32 bytes, the same over restarts of one store. */
  readonly fingerprintKey: Uint8Array
  /** Under what the next frames are sealed; asked before each drain. */
  readonly sealing: () => Sealing
  /** Folder (it exists, mode 0700) for what an adapter must know again after a restart; one file per link. */
  readonly stateFolder: string
  /** This KME proposes the blocks of the link. Where only one end may ask the device for new key, it is this one. */
  readonly proposes: boolean
}

/** Opens one device by its settings. Throws errors with code `RING_INVALID` for what the operator or the device must mend. */
export type OpenAdapter<Settings> = (settings: Settings, deps: AdapterDeps) => DeviceSource
