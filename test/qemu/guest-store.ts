/** A KME's end in a guest: frames of an adapter, sealed, in LMDB, flushed before the device is told. */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { DeviceReport } from '../../machines/device.js'
import type { AdapterDeps, DeviceSource } from '../../src/device/adapter.js'
import { loadNative, META_NUMBERS, RECORD_STRIDE } from '../../src/device/native.js'
import type { RingBatch } from '../../src/device/ring-batches.js'
import { quietLog } from '../../src/kernel/log.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import type { Kv } from '../../src/store/kv.js'
import { openLmdbKv } from '../../src/store/lmdb.js'

/** Of the device in device.cc. */
export const LINK = 7
export const fingerprintKey = (): Uint8Array => new Uint8Array(32).fill(0x42)

/** Names and fingerprints of frames as one number, whatever their order. */
export const digestOf = (frames: ReadonlyMap<string, string>): string =>
  createHash('sha256').update([...frames].map(([name, print]) => `${name} ${print}\n`).sort().join('')).digest('hex')

/** Name and fingerprint in the 64-byte header of a sealed record. */
export const nameAndPrint = (record: Uint8Array): readonly [string, string] => {
  const header = Buffer.from(record.buffer, record.byteOffset, 64)
  return [header.toString('hex', 4, 28), header.toString('hex', 48, 56)]
}

/** Waits until something holds. The host gives up by itself if it never does. */
export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise<void>((resolve) => { systemClock.after(5, resolve) })
}

const ROWS = 'frame'
export const openStore = async (folder: string): Promise<Kv> => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return openLmdbKv({ folder, mapBytes: 64 << 20, reserveBytes: 1 << 20 })
}

/** Names and fingerprints of all frames in a store. */
export const framesIn = (kv: Kv): Map<string, string> =>
  new Map([...kv.range({ start: [ROWS], end: [ROWS, 'z'] })].map(({ value }) => nameAndPrint(value)))

export class GuestKme {
  readonly addon = loadNative()
  readonly frames = new Map<string, string>()
  readonly reports: DeviceReport[] = []
  readonly told: string[] = []
  private readonly vault = this.addon.createVault({ arenaBytes: 1 << 20, allowUnlockedMemory: true })
  private readonly key = this.vault.newKey()
  private readonly sealer = this.vault.createSealer(this.key, 1)

  constructor (private kv: Kv, private readonly folder: string) {}

  static async open (folder: string): Promise<GuestKme> { return new GuestKme(await openStore(folder), folder) }

  deps (): AdapterDeps {
    return {
      addon: this.addon, vault: this.vault, clock: systemClock, linkId: LINK, fingerprintKey: fingerprintKey(), stateFolder: this.folder, proposes: true,
      sealing: () => ({ sealer: this.sealer, keySlot: 1 }),
      log: { ...quietLog, security: ({ event, severity }) => { this.told.push(`${event} ${severity}`) } },
    }
  }

  start (source: DeviceSource): void {
    source.start({ batch: (batch) => { void this.take(batch) }, report: (report) => { this.reports.push(report) }, notice: ({ type }) => { this.told.push(type) } })
  }

  /** Closes the store, opens it anew, and opens every sealed record in it. */
  async reread (): Promise<{ records: number, verified: number, digest: string }> {
    await this.kv.close()
    this.kv = await openStore(this.folder)
    const entries = [...this.kv.range({ start: [ROWS], end: [ROWS, 'z'] })]
    return {
      records: entries.length, digest: digestOf(framesIn(this.kv)),
      verified: entries.filter(({ value }) => this.vault.verifyRecord(this.key, value)).length,
    }
  }

  async close (): Promise<void> { await this.kv.close() }

  private async take (batch: RingBatch): Promise<void> {
    const records = Array.from({ length: batch.count }, (_, i) => batch.records.slice(i * RECORD_STRIDE, i * RECORD_STRIDE + batch.meta[i * META_NUMBERS]!))
    this.kv.transact((tx) => { for (const record of records) tx.put([ROWS, nameAndPrint(record)[0]], record) })
    await this.kv.flushed()
    batch.acknowledge()
    for (const record of records) this.frames.set(...nameAndPrint(record))
  }
}
