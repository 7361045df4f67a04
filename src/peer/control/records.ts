import { FRAME_BYTES_MAX } from '../frame.js'
import { closeCodes, closeText, reasonOfCode, Refusal, type CloseReason } from '../refusal.js'

/**
 * What a WebSocket does between neighbours, records do in a control channel: they keep messages apart, ask for signs of life
 * and say why an end closes. A record is: type u8, length u32 little endian, payload.
 */
export const recordTypes = { frame: 1, ping: 2, pong: 3, close: 4 } as const
const HEAD_BYTES = 5
const CLOSE_BYTES_MAX = 2 + 123

export interface RecordEvents {
  /** `bytes` are borrowed. */
  frame (bytes: Uint8Array): void
  ping (): void
  pong (): void
  close (reason: CloseReason, text: string): void
}

export const makeRecord = (type: keyof typeof recordTypes, payload: Uint8Array = new Uint8Array()): Uint8Array => {
  const record = new Uint8Array(HEAD_BYTES + payload.length)
  record[0] = recordTypes[type]
  new DataView(record.buffer).setUint32(1, payload.length, true)
  record.set(payload, HEAD_BYTES)
  return record
}

/** A close record: its code as u16, little endian, and a text for the log. */
export const makeClose = (reason: CloseReason, text: string): Uint8Array => {
  const code = closeCodes[reason]
  return makeRecord('close', Uint8Array.of(code & 0xff, code >> 8, ...Buffer.from(closeText(text), 'latin1')))
}

/** Takes records out of a stream that comes in pieces of any size. Holds at most one record that is not complete. */
export class RecordReader {
  #held = Buffer.alloc(0)
  #isStopped = false

  constructor (private readonly on: RecordEvents) {}

  /** Nothing more is told, also not of what was pushed already. */
  stop (): void { this.#isStopped = true }

  /** @throws Refusal `malformed`: the stream cannot be followed any further. */
  push (bytes: Uint8Array): void {
    let rest: Buffer = this.#held.length === 0 ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.concat([this.#held, bytes])
    while (!this.#isStopped && rest.length >= HEAD_BYTES) {
      const type = rest.readUInt8(0), length = rest.readUInt32LE(1)
      checkLength(type, length)
      if (rest.length < HEAD_BYTES + length) break
      const payload = rest.subarray(HEAD_BYTES, HEAD_BYTES + length)
      rest = rest.subarray(HEAD_BYTES + length)
      this.#tell(type, payload)
    }
    this.#held = rest.length === 0 ? Buffer.alloc(0) : Buffer.from(rest)
  }

  #tell (type: number, payload: Buffer): void {
    if (type === recordTypes.frame) this.on.frame(payload)
    else if (type === recordTypes.ping) this.on.ping()
    else if (type === recordTypes.pong) this.on.pong()
    else this.on.close(reasonOfCode(payload.readUInt16LE(0)), closeText(payload.subarray(2).toString('latin1')))
  }
}

const checkLength = (type: number, length: number): void => {
  const [least, most] = type === recordTypes.frame ? [1, FRAME_BYTES_MAX] : type === recordTypes.close ? [2, CLOSE_BYTES_MAX]
    : type === recordTypes.ping || type === recordTypes.pong ? [0, 0] : [1, 0]
  if (length < least || length > most) throw new Refusal('malformed', `a record of type ${type} and ${length} bytes`)
}
