import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import { usableBytes, type BlockRow } from './rows.js'

/**
 * The other KME's lane as this one sees it: it stores which blocks were opened, acknowledges, and serves what an ID
 * names. It never cuts (design 3.5, 3.8, 3.9).
 */
export class LookerLane {
  constructor (private readonly core: PoolCore, private readonly erasure: Erasure, private readonly claimedBytes: (block: number) => number, private readonly isHeld: (block: number) => boolean) {}

  /** The owner opens blocks: stored and flushed before the acknowledgement. An opening that cannot be is refused by number. */
  onHorizon (body: Body<'horizon'>): void {
    const { core } = this
    const refused: number[] = []
    const to = body.from + body.blocks.length - 1
    if (to > core.meta.horizonTheirs + 2 ** 20) throw core.protocol(`lane index ${to} after ${core.meta.horizonTheirs}`)
    // Indices may be skipped: the owner closed what it opened just before it died.
    core.commit((tx) => {
      body.blocks.forEach((number, i) => {
        const index = body.from + i
        const block = core.blocks.get(number)
        if (block?.index === index && block.owner === 'theirs') return // Repeated after a reconnection.
        const fit = block !== undefined && block.owner === 'theirs' && block.purpose === 'app' && block.index === 0 &&
          (block.state === 'usable' || block.state === 'accepted') && index > core.meta.horizonTheirs
        if (!fit) { refused.push(number); return }
        if (block.state === 'accepted') this.erasure.bookConfirmed(block)
        block.index = index
        block.state = 'open'
        core.putBlock(tx, block)
      })
      core.meta.horizonTheirs = Math.max(core.meta.horizonTheirs, to)
    })
    core.durable(() => { core.send('horizonAck', { lane: body.lane, from: body.from, index: to, refused }) })
  }

  /** The owner cuts no more: what lies above `spent` was never named. IDs below it are still served. */
  onClose (tx: KvWriter, body: Body<'close'>): void {
    const { core } = this
    for (const { number, spent } of body.blocks) {
      const block = core.blocks.get(number)
      if (block === undefined || block.owner !== 'theirs' || block.purpose !== 'app' || block.state === 'closed' || block.state === 'proposed') continue // No lane has it.
      if (block.state === 'accepted') this.erasure.bookConfirmed(block)
      block.state = 'closed'
      block.closedMs = core.deps.ageMs()
      block.spent = block.index === 0 ? 0 : Math.min(spent, usableBytes(block)) // Above the horizon nothing is spent, whatever the owner says.
      core.putBlock(tx, block)
      this.eraseIfDone(tx, block)
    }
  }

  /** Done when everything that the owner may have named is delivered. */
  isDone (block: BlockRow): boolean {
    return block.state === 'closed' && block.owner === 'theirs' && !this.isHeld(block.number) && this.claimedBytes(block.number) >= block.spent
  }

  eraseIfDone (tx: KvWriter, block: BlockRow): void {
    if (this.isDone(block)) this.erasure.block(tx, block, usableBytes(block) - this.claimedBytes(block.number), 'unclaimed')
  }

  /** The looker's time limit: `key_ttl + fetch_ttl + 10 min` of this store's running time, or `fetch_ttl + 10 min` after the owner closed the block. */
  expire (): void {
    const { core } = this
    const { keyTtlMs, fetchTtlMs } = core.deps.limits
    const limitMs = keyTtlMs + fetchTtlMs + 600_000
    const now = core.deps.ageMs()
    const old: BlockRow[] = []
    for (const b of core.blocks.values()) {
      if (b.owner !== 'theirs' || b.purpose !== 'app') continue
      if (now - b.bornMs > limitMs || (b.state === 'closed' && now - b.closedMs > fetchTtlMs + 600_000)) old.push(b)
    }
    if (old.length === 0) return
    core.commit((tx) => {
      for (const block of old) this.erasure.block(tx, block, usableBytes(block) - this.claimedBytes(block.number), 'expired')
    })
  }
}
