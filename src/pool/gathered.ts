import type { PoolCore } from './core.js'
import type { BlockRow, BlockState } from './rows.js'

/**
 * Blocks whose next state is settled by messages of one turn, to be written in one transaction: a peer that answers many
 * proposals at once costs one commit.
 */
export class Gathered {
  private readonly blocks = new Map<number, BlockRow>()

  /** @param write  Gets those of them, at least one, that are there and in state `from` still. */
  constructor (private readonly core: PoolCore, private readonly from: BlockState, private readonly write: (blocks: readonly BlockRow[]) => void) {}

  /** @returns false if it is among them already. */
  add (block: BlockRow): boolean {
    if (this.blocks.has(block.number)) return false
    this.blocks.set(block.number, block)
    if (this.blocks.size === 1) this.core.deps.soon(() => { this.flush() })
    return true
  }

  clear (): void { this.blocks.clear() }

  private flush (): void {
    const blocks = [...this.blocks.values()].filter((block) => this.core.blocks.get(block.number) === block && block.state === this.from)
    this.blocks.clear()
    if (blocks.length > 0) this.write(blocks)
  }
}
