import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import { usableBytes } from './rows.js'

const AFTER_READY_MS = 5_000
/** A message has room for no more: a number takes 5 octets, and 9 from 2^32 on. */
const BLOCKS_MAX = 40_000, HIGH_BLOCKS_MAX = 28_000, FLYING_MAX = 1_024

/**
 * Blocks that one side lacks are void on both (design 3, Copies). Normally there are none; a store that lost its last
 * transactions makes some. The owner lists what it owns, once a connection; the looker compares.
 */
export class Inventory {
  private readyMs = 0
  private sent = false
  constructor (private readonly core: PoolCore, private readonly erasure: Erasure) {}

  ready (): void {
    this.readyMs = this.core.deps.clock.monoMs()
    this.sent = false
  }

  /** Sends our list when the connection has settled and nothing that would change it is under way. */
  tick (): void {
    const { core } = this
    if (this.sent || core.deps.clock.monoMs() - this.readyMs < AFTER_READY_MS || core.outbox.size > 0) return
    const blocks: number[] = [], flying: number[] = []
    for (const b of core.blocks.values()) {
      if (b.owner !== 'mine' || b.purpose !== 'app' || b.state === 'closed') continue
      if (b.state === 'usable' || b.state === 'open') blocks.push(b.number)
      else flying.push(b.number)
    }
    const { highestBlock } = core.meta
    if (blocks.length <= (highestBlock < 2 ** 32 ? BLOCKS_MAX : HIGH_BLOCKS_MAX) && flying.length <= FLYING_MAX) this.sent = core.send('inventory', { highest: highestBlock, blocks, flying })
    else this.sent = true // Too much stock to list; the time limits erase what is left over.
  }

  onInventory (body: Body<'inventory'>): void {
    const { core } = this
    if (core.outbox.size > 0) return // A grant may be under way: the list is older than it.
    const listed = new Set(body.blocks)
    const flying = new Set(body.flying)
    const lost = [...core.blocks.values()].filter((b) => b.owner === 'theirs' && b.purpose === 'app' && b.state === 'usable' &&
      b.number <= body.highest && !listed.has(b.number) && !flying.has(b.number))
    const lacking = body.blocks.filter((n) => !core.blocks.has(n))
    if (lost.length === 0 && lacking.length === 0) return
    core.security('integrity.inventory', `${lost.length} blocks of ${core.deps.remote} are not there any more, ${lacking.length} are not here`)
    core.commit((tx) => {
      for (const block of lost) this.erasure.block(tx, block, usableBytes(block), 'void')
      for (let i = 0; i < lacking.length; i += 256) core.enqueue(tx, 'burn', { blocks: lacking.slice(i, i + 256), cause: 'void' })
    })
  }
}
