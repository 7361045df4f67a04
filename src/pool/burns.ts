import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { Agreement } from './agreement.js'
import type { PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import type { OwnerLane } from './owner-lane.js'
import type { Pads } from './pads.js'
import type { PendingFrames } from './pending.js'
import { usableBytes, type BlockRow } from './rows.js'

const BLOCKS_PER_MESSAGE = 256
const TOLD_MAX = 4_096
/** Accounts that a peer's word may book to; any other word counts as 'peer'. */
const CAUSES = new Set(['expired', 'epoch', 'compromised', 'void', 'mismatch', 'damaged'])

/**
 * Blocks that go on both sides at once: what the other side burned, and what a device calls compromised. What was not opened is
 * erased; of what was opened something may have been named, so it is only closed: doubt closes (design 3.8).
 */
export class Burns {
  /** Damaged blocks of the other side that it was told of. */
  private readonly told = new Set<number>()

  constructor (
    private readonly core: PoolCore, private readonly erasure: Erasure, private readonly pending: PendingFrames,
    private readonly agreement: Agreement, private readonly lane: OwnerLane, private readonly pads: Pads,
  ) {}

  /** @returns what to do after the transaction. */
  onBurn (tx: KvWriter, body: Body<'burn'>): (() => void) | undefined {
    const cause = CAUSES.has(body.cause) ? body.cause : 'peer'
    const blocks = [...new Set(body.blocks)].flatMap((n) => this.core.blocks.get(n) ?? []) // Each is burned once, however often it is named.
    const opened = blocks.filter((b) => b.state === 'open' && b.owner === 'mine')
    for (const b of blocks) if (b.state !== 'open' && b.state !== 'closed') this.erase(tx, b, cause)
    return opened.length === 0 ? undefined : () => { this.lane.endEarly(new Set(opened), cause) }
  }

  /** A block that was not opened, whatever it is for. */
  private erase (tx: KvWriter, block: BlockRow, cause: string): void {
    this.agreement.forget(block.number)
    this.lane.forget(block.number)
    const left = block.state === 'usable' && block.purpose === 'auth' ? this.pads.forget(block) : usableBytes(block)
    this.erasure.block(tx, block, left, cause)
  }

  /** A slave's key cannot be read here. The owner stops cutting keys from the block: its slaves would not get them. */
  damaged (block: BlockRow): void {
    if (block.owner === 'mine') { this.lane.endEarly(new Set([block]), 'damaged'); return }
    if (block.state !== 'open' || this.told.has(block.number)) return
    if (this.told.size >= TOLD_MAX) this.told.clear()
    this.told.add(block.number)
    this.core.commit((tx) => { this.core.enqueue(tx, 'burn', { blocks: [block.number], cause: 'damaged' }) })
  }

  /**
   * The device says that a block of its own is compromised: frames of it that wait are burned, and so are pool blocks of every
   * purpose and either owner that hold some and were not opened, on both sides; opened ones are closed by their owner.
   * @returns how many pool blocks it touched.
   */
  revoke (link: number, deviceBlock: string): number {
    const { core } = this
    const frames = this.pending.ofDeviceBlock(link, deviceBlock)
    const touched = [...core.blocks.values()].filter((b) => b.state !== 'closed' && core.framesOf(b.number).some((f) => f.link === link && f.id === deviceBlock))
    const own = touched.filter((b) => b.state === 'open' && b.owner === 'mine') // Their end goes to the other side by itself.
    const told = touched.filter((b) => !own.includes(b))
    core.commit((tx) => {
      this.agreement.burnPending(tx, frames, 'compromised')
      for (let i = 0; i < told.length; i += BLOCKS_PER_MESSAGE) core.enqueue(tx, 'burn', { blocks: told.slice(i, i + BLOCKS_PER_MESSAGE).map((b) => b.number), cause: 'compromised' })
      for (const b of told) if (b.state !== 'open') this.erase(tx, b, 'compromised')
    })
    this.lane.endEarly(new Set(own), 'compromised')
    return touched.length
  }
}
