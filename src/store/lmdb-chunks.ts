/** Shared memory in which the event loop lays its writes down for the writer thread, and the batches cut from it. */
import { invariant } from '../kernel/errors.js'
import { OP_HEADER_BYTES, OP_PAD, OP_PUT, OP_REMOVE, VALUE_BYTES_MAX } from './batch-format.js'

/** 256 sealed records fit into one. A transaction that is larger gets a chunk of its own size. */
export const CHUNK_BYTES = 1_310_720
export const TRANSACTION_BYTES_MAX = 64 << 20
const SPARE_CHUNKS_MAX = 8
/**
 * V8 copies to and from shared memory word by word if both ends lie alike in their words, else byte by byte: eight times
 * the time, which counts for sealed records.
 */
export const WORD_BYTES = 8
const WORDWISE_BYTES_MIN = 128

/** A stretch of a chunk that goes to the writer as one unit: whole transactions. */
export interface Batch {
  readonly chunk: Chunk
  readonly from: number
  /** Set when it is sent. */
  to: number
  readonly seq: number
  /** What its transactions wrote, by encoded key, for the overlay. */
  readonly writes: ReadonlyMap<string, Written>[]
  durable?: { readonly promise: Promise<void>, readonly resolve: () => void, readonly reject: (error: unknown) => void }
}

/**
 * What a transaction wrote under one key. Bytes are made of it only when somebody asks: most rows are in the data file before
 * anybody does, and a view of shared memory for each was a tenth of what a claim costs.
 */
export class Written {
  /** `length` -1: the key is removed. */
  constructor (private readonly chunk: Chunk, private readonly at: number, private readonly length: number) {}

  get isRemoved (): boolean { return this.length < 0 }

  /** A copy that the caller owns; of a removed key undefined. */
  read (): Uint8Array | undefined { return this.isRemoved ? undefined : this.chunk.bytes.slice(this.at, this.at + this.length) }

  /** @returns the length of the value, -1 of a removed key. */
  copyTo (out: Uint8Array): number {
    if (!this.isRemoved) out.set(this.chunk.bytes.subarray(this.at, this.at + Math.min(this.length, out.length)))
    return this.length
  }

  /** The same in another chunk, where everything lies `back` bytes before its old place. */
  movedTo (chunk: Chunk, back: number): Written { return new Written(chunk, this.at - back, this.length) }
}

export class Chunk {
  readonly bytes: Uint8Array
  used = 0
  /** Batches in it that are not in the data file yet. */
  waiting = 0
  /** The writer has its memory. */
  shared = false

  constructor (readonly id: number, readonly memory: SharedArrayBuffer) {
    this.bytes = new Uint8Array(memory)
  }

  left (): number { return this.bytes.length - this.used }

  /** Appends one operation. The caller has checked that it fits. */
  write (key: string, value: Uint8Array | undefined): Written {
    const { bytes } = this
    for (let pads = padsBefore(this.used + OP_HEADER_BYTES + key.length, value); pads > 0; pads--) bytes[this.used++] = OP_PAD
    const at = this.used, keyAt = at + OP_HEADER_BYTES, valueAt = keyAt + key.length, length = value?.length ?? 0
    bytes[at] = value === undefined ? OP_REMOVE : OP_PUT
    bytes[at + 1] = key.length
    bytes[at + 2] = key.length >>> 8
    bytes[at + 3] = length
    bytes[at + 4] = length >>> 8
    bytes[at + 5] = length >>> 16
    bytes[at + 6] = 0
    for (let i = 0; i < key.length; i++) bytes[keyAt + i] = key.charCodeAt(i)
    if (value !== undefined) bytes.set(value, valueAt)
    this.used = valueAt + length
    return new Written(this, valueAt, value === undefined ? -1 : length)
  }
}

/** Hands out chunks and takes them back; counts the bytes that are out. */
export class ChunkPool {
  private readonly spare: Chunk[] = []
  private nextId = 1
  outstandingBytes = 0

  take (bytes: number): Chunk {
    invariant(bytes <= TRANSACTION_BYTES_MAX, 'a transaction writes at most 64 MiB')
    const chunk = bytes <= CHUNK_BYTES ? this.spare.pop() : undefined
    const taken = chunk ?? new Chunk(this.nextId++, new SharedArrayBuffer(Math.max(bytes, CHUNK_BYTES)))
    this.outstandingBytes += taken.bytes.length
    return taken
  }

  /** @returns whether the chunk is gone for good, so that the writer must forget it too. */
  give (chunk: Chunk): boolean {
    this.outstandingBytes -= chunk.bytes.length
    chunk.used = 0
    if (chunk.bytes.length !== CHUNK_BYTES || this.spare.length >= SPARE_CHUNKS_MAX) return true
    this.spare.push(chunk)
    return false
  }
}

/** So many fillers bring a large value, that would lie at `at`, to the same place within a word that it has now. */
const padsBefore = (at: number, value: Uint8Array | undefined): number =>
  value === undefined || value.length < WORDWISE_BYTES_MIN ? 0 : (value.byteOffset - at) & WORD_BYTES - 1

/** Bytes that an operation takes at most. */
export const opBytes = (key: string, value: Uint8Array | undefined): number => {
  invariant((value?.length ?? 0) <= VALUE_BYTES_MAX, 'a value has at most 1 MiB')
  return WORD_BYTES + OP_HEADER_BYTES + key.length + (value?.length ?? 0)
}
