/** As many blocks as are leased or given to others at once, and more. */
const BLOCKS_KEPT = 64
const HEADER_BYTES = 64

/** What was read of one block: `count[i]` records lie in the row of its i-th frame; 0: that frame was not read. */
interface ReadBlock { readonly headers: Uint8Array, readonly counts: Uint8Array }

/**
 * Headers of the records of blocks in use, as they were when they were opened. A block that was read goes soon, and what goes is booked by its
 * headers: without these all of it would be read once more, for a sixty-fourth of it. Of blocks that are not known the store is asked.
 */
export class ReadHeaders {
  /** The one that was begun the longest ago is the first. */
  private readonly blocks = new Map<number, ReadBlock>()

  /** @param frames Of the block. @param record It has authenticated. @param count Of records in its row. */
  note (number: number, frames: number, index: number, record: Uint8Array, count: number): void {
    let block = this.blocks.get(number)
    if (block === undefined) {
      if (this.blocks.size >= BLOCKS_KEPT) for (const oldest of this.blocks.keys()) { this.blocks.delete(oldest); break }
      block = { headers: new Uint8Array(frames * HEADER_BYTES), counts: new Uint8Array(frames) }
      this.blocks.set(number, block)
    }
    if (block.counts[index] !== 0) return
    block.headers.set(record.subarray(0, HEADER_BYTES), index * HEADER_BYTES)
    block.counts[index] = count
  }

  /** @returns the header of a frame of the block, and how many records its row has; undefined if it was not read. */
  of (number: number, index: number): { readonly header: Uint8Array, readonly count: number } | undefined {
    const block = this.blocks.get(number), count = block?.counts[index] ?? 0
    return block === undefined || count === 0 ? undefined : { header: block.headers.subarray(index * HEADER_BYTES, (index + 1) * HEADER_BYTES), count }
  }

  /** The block is gone. */
  forget (number: number): void { this.blocks.delete(number) }
}
