import { QUARANTINES, INCIDENT_BYTES } from './native.js'
import type { DurableMark } from './ring-batches.js'

/** Why a link is quarantined (native/ingest.h). */
export type QuarantineReason = Exclude<typeof QUARANTINES[number], ''>

/** The order of `IncidentKind` in native/ingest.h, from 1. */
const KINDS = [
  'gap', 'restarted', 'bad-frame', 'other-bytes', 'replay', 'stuck', 'aborted', 'device-dropped', 'test-data', 'sequence-back',
] as const
export type IncidentKind = typeof KINDS[number] | 'unknown'

/**
 * One frame that somebody must hear of. Names only, never key.
 * `detail`: gap: frames missing; restarted: previous epoch; bad-frame: FrameFault of native/frame.h (the names are then what
 * the frame claims); stuck: 1 refused, 2 quarantined; sequence-back: the expected sequence (low half); test-data:
 * the QBER that the frame tells, in units of 1e-6 (a device without key tells it this way); else 0.
 */
export interface Incident {
  readonly kind: IncidentKind
  readonly detail: number
  readonly epoch: number
  /** In units of 32 bytes, as in the frame's name. */
  readonly offset: number
  readonly sequence: bigint
  /** Device block id, 32 hexadecimal digits. */
  readonly deviceBlock: string
}

/** What the source tells beside the life of the device (machines/device.ts). */
export type RingNotice =
  | { readonly type: 'quarantined', readonly reason: QuarantineReason }
  /** The ring got this full (quarters), or calm again (0). Told on change. */
  | { readonly type: 'watermark', readonly level: number }
  /** `aborted`: what is stored of that device block is void. */
  | { readonly type: 'incident', readonly incident: Incident }
  /** The device, or a ring file that outlived us, knows that this KME had this much: a store that has less is an old copy. */
  | { readonly type: 'witness', readonly mark: DurableMark }
  /** More incidents than could be kept: so many since the last such notice. */
  | { readonly type: 'incidents-lost', readonly count: number }

/** Reads `count` incidents as `takeIncidents` wrote them. */
export const readIncidents = (bytes: Uint8Array, count: number): Incident[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: count }, (_, i) => {
    const at = i * INCIDENT_BYTES
    return {
      kind: KINDS[view.getUint32(at, true) - 1] ?? 'unknown',
      detail: view.getUint32(at + 4, true),
      epoch: view.getUint32(at + 8, true),
      offset: view.getUint32(at + 12, true),
      sequence: view.getBigUint64(at + 16, true),
      deviceBlock: Buffer.from(bytes.buffer, bytes.byteOffset + at + 24, 16).toString('hex'),
    }
  })
}
