import type { PoolCore } from './core.js'
import type { Pool } from './pool.js'
import { usableBytes } from './rows.js'

/**
 * Voids a pool: no bit of its stock, no key ID and no association of it is ever used again. Run when the peer's store is new
 * or a copy, when ours is, and when an operator retires the peer (design 3, Copies).
 */
export class VoidPool {
  constructor (private readonly core: PoolCore, private readonly pool: Pool) {}

  run (reason: string): void {
    const { core, pool } = this
    const wasEmpty = core.blocks.size === 0 && pool.pending.size === 0
    core.deps.emit({ type: 'pool.voiding', pool: core.pool }) // Before: what it gave to other pools is taken back first.
    pool.lane.clear()
    pool.pads.clear()
    pool.agreement.answers.voided()
    core.commit((tx) => {
      pool.lane.bookCuts()
      core.burn('void', core.account.leased)
      core.account.leased = 0
      for (const block of [...core.blocks.values()]) {
        // Of an own closed block everything is booked: it stays for local slaves only.
        const booked = block.owner === 'theirs' ? pool.claims.claimedBytes(block.number) : block.state === 'closed' ? usableBytes(block) : block.spent
        pool.erasure.block(tx, block, Math.max(0, usableBytes(block) - booked), 'void')
      }
      const frames = pool.pending.peek(pool.pending.size)
      core.burn('void', frames.reduce((sum, f) => sum + f.length, 0))
      pool.erasure.frames(tx, frames)
      pool.pending.burned(frames)
      pool.associations.clear(tx)
      pool.epochs.clear(tx)
      pool.voids.clear(tx)
      pool.named.clear(tx)
      core.outbox.void(tx)
      core.meta.bye = core.meta.byeTheirs = null
      core.meta.generation = core.meta.highestEpoch + 1
      core.meta.nextAssociation = 1
    })
    if (!wasEmpty) core.deps.emit({ type: 'pool.voided', reason })
  }
}
