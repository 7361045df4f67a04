import type { KeyHandle } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'

/** Bounds of one exchange. */
export interface HybridLimits {
  /** A new exchange is begun after this age, or when this much lies under the streams of the old one. */
  readonly rekeyMs: number
  readonly rekeyBytes: number
  /** No answer within this time: the offer is given up. */
  readonly answerMs: number
  /** Wait after a failed exchange: doubles up to the greatest. */
  readonly retryMinMs: number
  readonly retryMaxMs: number
  /** An offer that follows another sooner than this is not answered: each costs us milliseconds of work. */
  readonly offerGapMs: number
}

export const defaultHybridLimits: HybridLimits = {
  rekeyMs: 3_600_000, rekeyBytes: 2 ** 30, answerMs: 10_000, retryMinMs: 1_000, retryMaxMs: 60_000, offerGapMs: 200,
}

/** What a frame counts at least: each job is remembered, so that small ones must not be without number. */
const FRAME_COUNTS_BYTES = 4_096
/** A new exchange cannot be had: this many times `rekeyBytes` and no more lies under the old one. */
const OVERTIME = 2

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/**
 * A secret that both ends have, and what lies under its streams. A frame of a job is sealed under it once: another one under the
 * same name would share its stream.
 */
export class Exchange {
  bytes = 0
  /** The next frame of each job. */
  readonly #next = new Map<string, number>()

  constructor (readonly id: Uint8Array, readonly key: KeyHandle, private readonly rekeyBytes: number) {}

  /** A new one is due. */
  get isOld (): boolean { return this.bytes >= this.rekeyBytes }
  /** Nothing more is sealed under it. */
  get isUsedUp (): boolean { return this.bytes >= OVERTIME * this.rekeyBytes }

  /** @throws KmeError `PROTOCOL` if the frame had its turn: a job whose ID is used a second time; `NO_KEYS` if it is used up. */
  claim (job: Uint8Array, frame: number, length: number): void {
    if (this.isUsedUp) throw new KmeError('NO_KEYS', 'a hybrid exchange is used up and no new one could be had')
    const name = hex(job)
    if (frame < (this.#next.get(name) ?? 0)) throw new KmeError('PROTOCOL', 'a frame of a job was sealed under this hybrid exchange before')
    this.#next.set(name, frame + 1)
    this.bytes += Math.max(length, FRAME_COUNTS_BYTES)
  }
}
