import type { DeviceSource } from './adapter.js'
import { FRAME_HEADER_BYTES, RECENT_HEADERS } from './native.js'

/** Bits of a frame's flags (native/frame.h). */
const FLAGS: readonly (readonly [number, string])[] = [[1, 'last'], [2, 'mac'], [4, 'test'], [8, 'aborted'], [16, 'gap']]
const QBER_UNKNOWN = 0xffff_ffff

/** A frame header in words. Never payload, and no checksum, because that depends on it. */
export interface FrameHeaderWords {
  readonly sequence: number, readonly epoch: number
  /** 32 hexadecimal digits. */
  readonly deviceBlock: string
  /** In units of 32 bytes. */
  readonly offset: number
  readonly payloadBytes: number, readonly flags: readonly string[]
  /** 0 to 1; null if the device does not tell it. */
  readonly qber: number | null
  /** By the device's clock; '' if it is none. */
  readonly at: string
}

/** The newest headers that a source has seen, oldest first. */
export const readFrameHeaders = (source: Pick<DeviceSource, 'recentHeaders'>): FrameHeaderWords[] => {
  const bytes = new Uint8Array(RECENT_HEADERS * FRAME_HEADER_BYTES)
  return Array.from({ length: source.recentHeaders(bytes) }, (_, i) => frameHeaderWords(bytes.subarray(i * FRAME_HEADER_BYTES, (i + 1) * FRAME_HEADER_BYTES)))
}

export const frameHeaderWords = (header: Uint8Array): FrameHeaderWords => {
  const view = new DataView(header.buffer, header.byteOffset, FRAME_HEADER_BYTES)
  const flags = view.getUint16(6, true), qberPpm = view.getUint32(12, true), timeMs = Number(view.getBigUint64(40, true) / 1_000_000n)
  return {
    sequence: Number(view.getBigUint64(16, true)), epoch: view.getUint32(56, true),
    deviceBlock: Buffer.from(header.subarray(24, 40)).toString('hex'), offset: view.getUint32(52, true), payloadBytes: view.getUint32(48, true),
    flags: FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name), qber: qberPpm === QBER_UNKNOWN ? null : qberPpm / 1e6,
    at: timeMs > 0 && timeMs < 8.64e15 ? new Date(timeMs).toISOString() : '',
  }
}
