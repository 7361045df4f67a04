import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import {
  DRAIN, DRAIN_NUMBERS, DRAIN_RECORDS_MAX, INCIDENT_BYTES, loadNative, META_NUMBERS, PLAN_NUMBERS, QUARANTINES, RECORD_HEADER_BYTES,
  RECORD_STRIDE, RING_FAULTS, type KeyHandle, type NativeRingConsumer, type NativeVault, type RingOptions, type SealerHandle,
} from '../../src/device/native.js'
import { readIncidents, type Incident } from '../../src/device/ring-notices.js'

export const LINK = 5
export const addon = loadNative()

/** A short-named folder (sockets have short names), removed after the test. */
export const folder = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'qr-'))
  t.teardown(() => rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })) // Not at once: an adapter that was closed ends its last step.
  return path
}

export interface Bench { readonly vault: NativeVault, readonly key: KeyHandle, readonly sealer: SealerHandle }
export const bench = (): Bench => {
  const vault = addon.createVault({ arenaBytes: 1 << 20, allowUnlockedMemory: true })
  const key = vault.newKey()
  return { vault, key, sealer: vault.createSealer(key, 1) }
}

export const fingerprintKey = (): Uint8Array => new Uint8Array(32).fill(0x42)

export interface Record { readonly header: Uint8Array, readonly bytes: Uint8Array }
export interface Drained {
  readonly records: Record[], readonly repeats: number, readonly refused: number, readonly more: boolean
  readonly quarantine: string, readonly fault: string, readonly ticket: number, readonly level: number
}

/** A consumer with its buffers; closed after the test. */
export class Reader {
  readonly consumer: NativeRingConsumer
  private readonly out = new Uint8Array(DRAIN_RECORDS_MAX * RECORD_STRIDE)
  private readonly meta = new Uint32Array(DRAIN_RECORDS_MAX * META_NUMBERS)
  private readonly status = new Uint32Array(DRAIN_NUMBERS)

  constructor (t: Test, readonly bench: Bench, options: Partial<RingOptions> & { path: string }) {
    this.consumer = addon.openRingConsumer(bench.vault, { linkId: LINK, slots: 64, rememberedFrames: 4_096, fingerprintKey: fingerprintKey(), ...options })
    t.teardown(() => { this.consumer.close() })
  }

  drain (): Drained {
    const count = this.consumer.drain(this.bench.sealer, 3, this.out, this.meta, this.status)
    const at = (place: number): number => this.status[place]!
    const records = Array.from({ length: count }, (_, i) => {
      const bytes = this.out.slice(i * RECORD_STRIDE, i * RECORD_STRIDE + this.meta[i * META_NUMBERS]!)
      return { bytes, header: bytes.subarray(0, RECORD_HEADER_BYTES) }
    })
    return {
      records, repeats: at(DRAIN.repeats), refused: at(DRAIN.refused), more: at(DRAIN.more) === 1, quarantine: QUARANTINES[at(DRAIN.quarantine)]!,
      fault: RING_FAULTS[at(DRAIN.fault)]!, ticket: at(DRAIN.ticket), level: at(DRAIN.level),
    }
  }

  incidents (): Incident[] {
    const bytes = new Uint8Array(256 * INCIDENT_BYTES)
    return readIncidents(bytes, this.consumer.takeIncidents(bytes))
  }
}

/** What the caller of `publish` sets of a frame header. */
export const frameHeader = (block: number, offset: number, flags = 0): Uint8Array => {
  const bytes = new Uint8Array(64), view = new DataView(bytes.buffer)
  view.setUint16(6, flags, true)
  view.setUint32(12, 20_000, true)
  view.setUint32(24, block, true)
  view.setUint32(52, offset, true)
  return bytes
}

/** Bytes that look like key, the same for the same seed. */
export const payload = (seed: number, length = 3_968): Uint8Array => {
  let x = (seed * 2_654_435_761 + 12_345) >>> 0
  return Uint8Array.from({ length }, () => {
    x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0
    return x >>> 11 & 255
  })
}

/** A plan for `generate`, see PLAN. */
export const plan = (block: number, first: number, count: number, frames: number, members: Partial<{ payloadBlock: number, frameBytes: number, flags: number, flaw: number }> = {}): Float64Array => {
  const numbers = new Float64Array(PLAN_NUMBERS)
  numbers.set([block, members.payloadBlock ?? block, first, count, frames, members.frameBytes ?? 3_968, members.flags ?? 0, 20_000, members.flaw ?? 0])
  return numbers
}

const table = Uint32Array.from({ length: 256 }, (_, i) => {
  let c = i
  for (let bit = 0; bit < 8; bit++) c = (c & 1) !== 0 ? (c >>> 1) ^ 0x82F63B78 : c >>> 1
  return c >>> 0
})
/** CRC32C by the definition, for frames that a test makes itself. */
export const crc32c = (...parts: Uint8Array[]): number => {
  let c = 0xFFFFFFFF
  for (const part of parts) for (const byte of part) c = (c >>> 8) ^ table[(c ^ byte) & 255]!
  return (c ^ 0xFFFFFFFF) >>> 0
}

/** A whole frame as it lies in the ring. */
export const rawFrame = (members: { block: number, sequence: number, epoch: number, link?: number, offset?: number, flags?: number, bytes: Uint8Array }): Uint8Array => {
  const frame = new Uint8Array(64 + members.bytes.length), view = new DataView(frame.buffer)
  frame.set(frameHeader(members.block, members.offset ?? 0, members.flags ?? 0))
  view.setUint32(0, 0x46444B51, true)
  frame[4] = 1
  frame[5] = 64
  view.setUint32(8, members.link ?? LINK, true)
  view.setBigUint64(16, BigInt(members.sequence), true)
  view.setUint32(48, members.bytes.length, true)
  view.setUint32(56, members.epoch, true)
  frame.set(members.bytes, 64)
  view.setUint32(60, crc32c(frame.subarray(0, 60), members.bytes), true)
  return frame
}

/** Waits for a condition; only a hang makes it fail. */
export const until = async (condition: () => boolean, what: string): Promise<void> => {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 6_000) throw new Error(`waited in vain: ${what}`)
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
}
