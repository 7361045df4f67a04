import type { PoolCore } from './core.js'
import type { CutBooks } from './cut-books.js'
import type { Erasure } from './erasure.js'
import { usableBytes, type BlockRow } from './rows.js'

const BLOCKS_PER_MESSAGE = 256

/** How the owner's blocks end: closed when something of them may have been named, burned when certainly nothing was (design 3.8). */
export class BlockEnds {
  constructor (
    private readonly core: PoolCore, private readonly erasure: Erasure, private readonly books: CutBooks,
    private readonly alone: boolean, private readonly keepForLocal: (block: BlockRow) => boolean,
  ) {}

  /** Which blocks are older than `key_ttl`, by either clock; both are read once. */
  isOld (): (block: BlockRow) => boolean {
    const { ageMs, clock, limits } = this.core.deps
    const age = ageMs(), wallMs = clock.wallMs()
    return (b) => age - b.bornMs > limits.keyTtlMs || wallMs - b.bornWallMs > limits.keyTtlMs
  }

  /** Nothing more is cut from these blocks. What was leased may have been named; the rest certainly was not. */
  close (blocks: readonly BlockRow[], cause: string): void {
    const { core } = this
    core.commit((tx) => {
      this.books.book()
      for (let i = 0; i < blocks.length && !this.alone; i += BLOCKS_PER_MESSAGE) {
        core.enqueue(tx, 'close', { blocks: blocks.slice(i, i + BLOCKS_PER_MESSAGE).map((b) => ({ number: b.number, spent: b.spent })) })
      }
      for (const block of blocks) {
        if (this.keepForLocal(block)) {
          block.state = 'closed'
          block.closedMs = core.deps.ageMs()
          core.burn(cause, usableBytes(block) - block.spent)
          core.putBlock(tx, block)
        } else this.erasure.block(tx, block, usableBytes(block) - block.spent, cause)
      }
    })
  }

  /** Blocks that were never opened were certainly never named: erased on both sides. */
  burn (blocks: readonly BlockRow[], cause: string): void {
    if (blocks.length === 0) return
    const { core } = this
    core.commit((tx) => {
      for (let i = 0; i < blocks.length && !this.alone; i += BLOCKS_PER_MESSAGE) {
        core.enqueue(tx, 'burn', { blocks: blocks.slice(i, i + BLOCKS_PER_MESSAGE).map((b) => b.number), cause })
      }
      for (const block of blocks) this.erasure.block(tx, block, usableBytes(block), cause)
    })
  }
}
