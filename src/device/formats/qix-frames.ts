/**
 * QIX, the serial format of quantum key in SSP21: sync 5A A5, key ID u64, 32 bytes of key, status, CRC-32C over ID, key and
 * status; integers big endian; 47 bytes. Pure: bytes in, frames out.
 */
export const QIX_FRAME_BYTES = 47
export const QIX_KEY_BYTES = 32
const SYNC = [0x5a, 0xa5] as const
const ID_AT = 2, KEY_AT = 10, STATUS_AT = 42, CRC_AT = 43
const STATUS_OK = 0x01

/** CRC-32C (Castagnoli) by table. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let c = i
  for (let bit = 0; bit < 8; bit++) c = (c & 1) !== 0 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1
  return c >>> 0
})
export const crc32c = (bytes: Uint8Array, from: number, to: number): number => {
  let c = 0xffffffff
  for (let at = from; at < to; at++) c = (c >>> 8) ^ CRC_TABLE[(c ^ bytes[at]!) & 255]!
  return (c ^ 0xffffffff) >>> 0
}

export interface QixSink {
  /** `key` is borrowed and wiped after the call. False: there is no room; the same frame is given again by `resume`. */
  frame (id: bigint, key: Uint8Array, safe: boolean): boolean
  /** A frame whose checksum does not fit; the ID is what it claims. */
  damaged (id: bigint): boolean
}

/** Takes a byte stream in any pieces and finds its frames. Between frames anything may stand; it is skipped and counted. */
export class QixReader {
  private readonly held = new Uint8Array(QIX_FRAME_BYTES)
  private fill = 0
  private blocked = false
  skippedBytes = 0
  frames = 0

  constructor (private readonly sink: QixSink) {}

  /** True while the sink had no room: nothing may be given before `resume` said true. */
  get isBlocked (): boolean { return this.blocked }

  /**
   * Takes bytes from `at` on.
   * @returns how many were taken: all of them, or fewer if the sink has no room (the rest belongs to the caller, for later).
   */
  take (bytes: Uint8Array, at = 0): number {
    let from = at
    while (!this.blocked) {
      const part = Math.min(QIX_FRAME_BYTES - this.fill, bytes.length - from)
      this.held.set(bytes.subarray(from, from + part), this.fill)
      this.fill += part
      from += part
      this.align()
      if (this.fill === QIX_FRAME_BYTES) this.give()
      else if (from >= bytes.length) break
    }
    return from - at
  }

  /** Gives the frame that found no room once more. @returns whether there was room. */
  resume (): boolean {
    if (!this.blocked) return true
    this.blocked = false
    this.give()
    return !this.blocked
  }

  /** The stream ended: what is held is half a frame. @returns its bytes. */
  end (): number {
    const half = this.fill
    this.wipe()
    return half
  }

  private wipe (): void { this.held.fill(0); this.fill = 0; this.blocked = false }

  /** Moves the first sync to the front. */
  private align (): void {
    let start = 0
    while (start < this.fill && !(this.held[start] === SYNC[0] && (start + 1 === this.fill || this.held[start + 1] === SYNC[1]))) start++
    this.drop(start)
  }

  private drop (count: number): void {
    if (count === 0) return
    this.skippedBytes += count
    this.held.copyWithin(0, count, this.fill)
    this.held.fill(0, this.fill - count)
    this.fill -= count
  }

  private give (): void {
    const view = new DataView(this.held.buffer)
    const id = view.getBigUint64(ID_AT)
    const fits = crc32c(this.held, ID_AT, CRC_AT) === view.getUint32(CRC_AT)
    const done = fits
      ? this.sink.frame(id, this.held.subarray(KEY_AT, KEY_AT + QIX_KEY_BYTES), this.held[STATUS_AT] === STATUS_OK)
      : this.sink.damaged(id)
    if (!done) { this.blocked = true; return }
    if (fits) { this.frames++; this.wipe(); return }
    // The sync may have been bytes of key by chance: look for another one behind it.
    this.drop(2)
    this.align()
  }
}
