import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import type { OwnerLane } from './owner-lane.js'
import type { BlockRow } from './rows.js'

const ASK_MS = 1_000
const BLOCKS_PER_GRANT = 64
/** The giver keeps half, rounded up: of fewer it gives none. */
const GIVEN_OF_LEAST = 2

/**
 * A lane that runs dry asks the other for blocks (design 3.4). The giver changes the owner of blocks wholly above its
 * horizon, flushed before it says so; the taker takes each grant once, by its number.
 */
export class Grants {
  private askedMs = -Infinity
  constructor (private readonly core: PoolCore, private readonly lane: OwnerLane, private readonly erasure: Erasure, private readonly onTaken: (block: BlockRow) => void) {}

  /**
   * Asks when nothing is left to open and the other side has blocks to give. At most once a second: perhaps it opens them itself meanwhile.
   * What we know of its blocks is at least what it has to give: an opening, or a block that went, is heard of later here than it is done there.
   */
  askIfDry (): void {
    const now = this.core.deps.clock.monoMs()
    if (this.core.tally.unopened.theirs < GIVEN_OF_LEAST) return // Each question costs a pad; a link that brings nothing would ask for ever.
    if (!this.core.ready || this.lane.unopenedCount > 0 || now - this.askedMs < ASK_MS) return
    if (this.core.meta.generation > this.core.meta.highestEpoch) return // Blocks of older epochs could not be used.
    this.askedMs = now
    this.core.send('grantAsk', { lane: 0, blocks: BLOCKS_PER_GRANT })
  }

  onAsk (body: Body<'grantAsk'>): void {
    const { core } = this
    // Half of what is not opened, so that two dry lanes do not hand blocks to and fro.
    const count = Math.min(body.blocks, BLOCKS_PER_GRANT, this.lane.unopenedCount >> 1)
    const blocks = this.lane.takeForGrant(count)
    if (blocks.length === 0) return
    core.commit((tx) => {
      for (const block of blocks) {
        block.owner = 'theirs'
        core.putBlock(tx, block)
      }
      core.enqueue(tx, 'grant', { grant: ++core.meta.grantGiven, lane: 0, blocks: blocks.map((b) => b.number) })
    })
  }

  onGrant (tx: KvWriter, body: Body<'grant'>): BlockRow[] {
    const { core } = this
    if (body.grant <= core.meta.grantTaken) return []
    core.meta.grantTaken = body.grant
    const taken: BlockRow[] = []
    for (const number of body.blocks) {
      const block = core.blocks.get(number)
      if (block === undefined || block.owner !== 'theirs' || block.index !== 0 || block.purpose !== 'app') continue
      // Whoever gives it away has stored our confirmation: its word of that may have been lost. Else nobody would own the block.
      if (block.state === 'accepted') {
        block.state = 'usable'
        this.erasure.bookConfirmed(block)
      }
      if (block.state !== 'usable') continue
      block.owner = 'mine'
      core.putBlock(tx, block)
      taken.push(block)
    }
    return taken
  }

  taken (blocks: readonly BlockRow[]): void { for (const block of blocks) this.onTaken(block) }
}
