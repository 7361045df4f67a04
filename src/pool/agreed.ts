import type { BlockHandle } from '../device/native.js'
import type { KvWriter } from '../store/kv.js'
import type { Composed } from './composition.js'
import type { PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import type { PendingFrames } from './pending.js'
import type { BlockRow, FrameRef } from './rows.js'
import type { BlockViews } from './views.js'

/** What both sides of an agreement do: the bytes of a block are read, both have the same, or not. */
export class Agreed {
  private mismatches = 0

  constructor (
    readonly core: PoolCore, readonly pending: PendingFrames, private readonly views: BlockViews, readonly erasure: Erasure,
    private readonly onUsable: (block: BlockRow) => void,
  ) {}

  /** Both sides have the same bytes: the blocks are usable from here on. */
  settle (blocks: readonly BlockRow[], tell: (block: BlockRow) => void): void {
    const { core } = this
    core.commit((tx) => {
      for (const block of blocks) {
        block.state = 'usable'
        core.putBlock(tx, block)
        this.erasure.bookConfirmed(block)
      }
    })
    core.durable(() => {
      core.together(() => { for (const block of blocks) tell(block) })
      for (const block of blocks) this.onUsable(block)
    })
  }

  /** The tags of a block fit. */
  match (): void { this.mismatches = 0 }

  mismatch (number: number): void {
    this.mismatches++
    this.core.deps.emit({ type: 'link.mismatch', link: this.linkOf(number), inARow: this.mismatches })
  }

  confirmed (link: number): void { this.core.deps.emit({ type: 'link.confirmed', link }) }

  /** Whose frames the block is made of: of a pool with one link it is not read. */
  linkOf (number: number): number {
    const { links } = this.pending
    return links.length === 1 ? links[0]! : this.core.framesOf(number)[0]?.link ?? 0
  }

  /** Frames that are to be part of no block. */
  burnPending (tx: KvWriter, frames: readonly FrameRef[], cause: string): void {
    this.core.burn(cause, frames.reduce((sum, f) => sum + f.length, 0))
    this.erasure.frames(tx, frames)
    this.pending.burned(frames)
  }

  composedBefore (block: BlockRow): Composed { return { block, frames: this.core.framesOf(block.number) } }

  withBytes<T> ({ block, frames, row }: Composed, use: (handle: BlockHandle) => T): T | 'full' | 'damaged' {
    const handle = this.views.reach(block, 0, block.bytes, frames, row)
    if (typeof handle === 'string') { this.views.drop(block.number); return handle }
    try {
      return use(handle)
    } finally {
      this.views.leave(block.number)
      this.views.drop(block.number)
    }
  }
}
