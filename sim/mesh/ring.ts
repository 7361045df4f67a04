import { META_NUMBERS, RECORD_HEADER_BYTES, RECORD_STRIDE, type NativeVault, type SealerHandle } from '../../src/device/native.js'
import { storedFrames } from '../../src/pool/frame-rows.js'
import type { Pool } from '../../src/pool/pool.js'
import { tableOf } from '../../src/pool/rows.js'
import { makeRecordHeader, recordName, RECORD_KIND } from '../../src/store/record.js'
import type { SimKv } from '../store.js'

const RING_FRAMES = 512
const BATCH_FRAMES = 64

interface Frame { readonly id: string, readonly payload: Uint8Array }

/** A frame's name on its link. */
export const frameName = (id: number): string => id.toString(16).padStart(32, '0')

/** The ring of one link at one KME: holds frames until they are durable, and through the death of the process. */
export class MeshRing {
  private readonly frames: Frame[] = []
  private taken = 0
  private checked = false
  constructor (private readonly link: number) {}

  /** @param payload Shared by both ends: nobody changes it. */
  push (id: number, payload: Uint8Array): void { if (this.frames.length < RING_FRAMES) this.frames.push({ id: frameName(id), payload }) }

  restart (): void {
    this.taken = 0
    this.checked = false
  }

  drain (process: { alive: boolean, readonly kv: SimKv, readonly vault: NativeVault, readonly start: number }, pool: Pool, fail: (error: unknown) => void): void {
    if (!this.checked) this.forgetKnown(process.kv, pool)
    while (process.alive && this.taken < this.frames.length && pool.hungry) {
      const batch = this.frames.slice(this.taken, this.taken + BATCH_FRAMES)
      const { sealer } = pool.core.deps.keys.sealer(pool.core.pool)
      const records = new Uint8Array(batch.length * RECORD_STRIDE), meta = new Uint32Array(batch.length * META_NUMBERS)
      batch.forEach((frame, i) => { meta[i * META_NUMBERS] = this.seal(process, sealer, frame, records.subarray(i * RECORD_STRIDE)) })
      this.taken += batch.length
      pool.ingest(records, meta, batch.length)
      process.kv.flushed().then(() => {
        if (!process.alive) return
        this.frames.splice(0, batch.length)
        this.taken -= batch.length
      }).catch(fail)
    }
  }

  private seal (process: { readonly vault: NativeVault, readonly start: number }, sealer: SealerHandle, frame: Frame, out: Uint8Array): number {
    const header = makeRecordHeader(RECORD_KIND.device, { link: this.link, id: frame.id, offset: 0 }, frame.payload.length, 1, process.start)
    return process.vault.sealBytes(sealer, header, frame.payload, out)
  }

  /** After a start the device sends again what was not acknowledged; what the store knows is dropped (device.md 5.5). */
  private forgetKnown (kv: SimKv, pool: Pool): void {
    this.checked = true
    const finished = new Set<string>()
    for (const { value } of kv.range(tableOf('tomb', pool.core.pool))) {
      for (let at = 0; at < value.length; at += RECORD_HEADER_BYTES) finished.add(recordName(value.subarray(at, at + RECORD_HEADER_BYTES)).id)
    }
    for (const { frame } of storedFrames(kv, this.link)) finished.add(frame.id)
    const fresh = this.frames.filter((f) => !finished.has(f.id))
    this.frames.splice(0, this.frames.length, ...fresh)
  }
}
