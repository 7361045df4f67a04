/** The writer's and the applier's view of the chunks that the event loop lays its writes down in. */
import { OP_PAD } from './batch-format.js'
import { WORD_BYTES } from './lmdb-chunks.js'
import type { BatchMessage } from './lmdb-link.js'

export class ChunkMemory {
  private readonly chunks = new Map<number, Uint8Array>()
  private scratch: Buffer

  /** @param scratchBytes What most copies take; a longer one makes it grow. */
  constructor (scratchBytes: number) { this.scratch = Buffer.alloc(scratchBytes) }

  /** The first batch of a chunk brings its memory. */
  know ({ chunk, memory }: BatchMessage): void { if (memory !== undefined) this.chunks.set(chunk, new Uint8Array(memory)) }
  drop (chunk: number): void { this.chunks.delete(chunk) }

  /** Batch by batch, in the same memory: small enough to stay in the processor's cache, and not as large as the largest group ever. */
  * partsOf (batches: readonly BatchMessage[]): Generator<Buffer> {
    for (const batch of batches) yield this.copyOf([batch])
  }

  /**
   * The operations of all batches in one piece of private memory, reused by the next call: LMDB takes addresses of
   * values, which must not lie in shared memory.
   */
  copyOf (batches: readonly BatchMessage[]): Buffer {
    const bytes = batches.reduce((sum, batch) => sum + batch.to - batch.from + WORD_BYTES, 0)
    if (this.scratch.length < bytes) this.scratch = Buffer.alloc(bytes)
    let at = 0
    for (const batch of batches) {
      for (let pads = (batch.from - at) & WORD_BYTES - 1; pads > 0; pads--) this.scratch[at++] = OP_PAD
      this.scratch.set((this.chunks.get(batch.chunk) as Uint8Array).subarray(batch.from, batch.to), at)
      at += batch.to - batch.from
    }
    return this.scratch.subarray(0, at)
  }
}
