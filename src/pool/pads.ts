import type { Body } from '../peer/messages.js'
import type { AuthPads, PadBytes, PadRef } from '../peer/ports.js'
import { sameBytes, type PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import { Rate } from './rate.js'
import { usableBytes, type BlockRow } from './rows.js'
import type { BlockViews } from './views.js'

const PAD_BYTES = 16
const LEASE_BYTES = 2_048
/** Where many messages are sent: as many bytes as a second of them takes, up to this. */
const LEASE_BYTES_MAX = 8_192
const FIRST_FLOOR_BYTES = 128

const noPad: PadRef = { block: 0, offset: 0 }

const after = (a: PadRef, b: PadRef): boolean => a.block > b.block || (a.block === b.block && a.offset >= b.offset)

/**
 * The authentication reserve (design 6): blocks of purpose 'auth'. We spend ours front to back, 16 bytes a message, leased
 * ahead and flushed; the peer names its own in the frame header and we follow, forward only.
 */
export class Pads implements AuthPads {
  private readonly mine: BlockRow[] = []
  private leasedTo = 0
  private cursor = 0
  private leasing = false
  private entered = 0
  /** Raised when the front block goes: a lease of it that is under way leads nowhere. */
  private generation = 0
  /** Nothing is leased before the first hello. */
  private started = false
  private filled = false
  private readonly used: Rate
  private said = noPad

  constructor (private readonly core: PoolCore, private readonly views: BlockViews, private readonly erasure: Erasure) { this.used = new Rate(core.deps.clock) }

  private get leaseBytes (): number { return Math.max(LEASE_BYTES, Math.min(LEASE_BYTES_MAX, this.used.perSecond())) & ~(PAD_BYTES - 1) }

  /** A reserve that was never filled is no reserve yet: a slow link opens its first associations out of its first pads. */
  private get floorBytes (): number {
    const floor = this.core.deps.limits.authFloorBytes
    return this.filled ? floor : Math.min(floor, FIRST_FLOOR_BYTES)
  }

  add (block: BlockRow): void {
    if (block.owner !== 'mine' || this.mine.includes(block) || this.core.blocks.get(block.number) !== block) return // Or it went while its confirmation was flushed.
    if (!this.filled && this.left('mine') >= 2 * this.core.deps.limits.authFloorBytes) this.filled = true
    this.mine.push(block)
    this.mine.sort((a, b) => a.number - b.number)
    this.lease()
  }

  /** Bytes of our lane, and of the peer's as far as we know, that are not used yet. */
  left (owner: 'mine' | 'theirs'): number {
    let bytes = 0
    for (const b of this.core.tally.pads[owner].values()) {
      if (b.state === 'closed') continue
      const used = owner === 'mine' ? b.spent : this.usedByPeer(b)
      bytes += Math.max(0, usableBytes(b) - used)
    }
    return bytes + (owner === 'mine' ? this.leasedTo - this.cursor : 0)
  }

  /** By what the peer's frames named, and by its own word: what a crash or a lost line took from it was never named. */
  private usedByPeer (block: BlockRow): number {
    const seen = this.core.meta.padTheirs, { said } = this
    if (block.number < said.block) return block.bytes
    return Math.max(seen.block === block.number ? seen.offset : 0, said.block === block.number ? said.offset : 0)
  }

  /** Where our next pad lies: for our hello, so that the proposer knows what we have. */
  get position (): PadRef {
    const block = this.mine[0], { padMine } = this.core.meta
    if (block === undefined) return padMine
    if (this.entered === block.number) return { block: block.number, offset: this.cursor }
    return { block: block.number, offset: Math.max(block.spent, padMine.block === block.number ? padMine.offset : 0) }
  }

  /**
   * A hello tells where the peer is in its lane, which is only an estimate of what it has left, for the hello has no tag; and where it saw us. What was said
   * of pads that are void, or of another store here, is not true of those that come, whose numbers may be lower.
   */
  met ({ mine, yours }: Body<'hello'>, isVoid: boolean): void {
    this.said = isVoid ? noPad : { block: mine.padBlock, offset: mine.padOffset }
    this.restart(yours !== null && sameBytes(yours.storeId, this.core.storeId) ? { block: yours.padBlock, offset: yours.padOffset } : noPad)
  }

  take (vital: boolean): PadBytes | undefined {
    if (!vital && this.left('mine') < this.floorBytes) return undefined
    const block = this.mine[0]
    if (block === undefined || this.entered !== block.number || this.cursor + PAD_BYTES > this.leasedTo) { this.leaseSoon(); return undefined }
    const handle = this.views.reach(block, this.cursor, this.cursor + PAD_BYTES)
    if (handle === 'damaged') { this.core.deps.soon(() => { if (this.mine.includes(block)) { this.retire(block); this.lease() } }); return undefined }
    if (handle === 'full') return undefined
    this.views.leave(block.number)
    const pad = { block: block.number, offset: this.cursor, handle }
    this.cursor += PAD_BYTES
    this.core.meta.padMine = { block: block.number, offset: this.cursor }
    this.used.add(PAD_BYTES)
    if (this.leasedTo - this.cursor < this.leaseBytes / 2) this.leaseSoon()
    return pad
  }

  open (ref: PadRef): PadBytes | undefined {
    const { core } = this
    const block = core.blocks.get(ref.block)
    if (block === undefined || block.purpose !== 'auth' || block.owner !== 'theirs') return undefined
    if (ref.offset % PAD_BYTES !== 0 || ref.offset + PAD_BYTES > usableBytes(block) || !after(ref, core.meta.padTheirs)) return undefined
    const handle = this.views.reach(block, ref.offset, ref.offset + PAD_BYTES)
    if (handle === 'damaged') core.meta.padTheirs = { block: ref.block, offset: usableBytes(block) } // The next hello tells the peer to go on behind this block.
    if (typeof handle === 'string') return undefined
    this.views.leave(block.number)
    const movedOn = core.meta.padTheirs.block !== ref.block
    core.meta.padTheirs = { block: ref.block, offset: ref.offset + PAD_BYTES }
    if (movedOn) this.eraseTheirsBefore(ref.block)
    return { ...ref, handle }
  }

  /** Skips what a former start leased, and what the peer saw beyond it (hello). */
  private restart (seenByPeer: PadRef): void {
    this.core.meta.padMine = after(seenByPeer, this.core.meta.padMine) ? { ...seenByPeer } : this.core.meta.padMine
    const { block: number, offset } = this.core.meta.padMine
    for (const b of [...this.mine]) if (b.number < number || (b.number === number && usableBytes(b) - offset < PAD_BYTES)) this.retire(b)
    if (this.entered === number && this.cursor < offset) this.cursor = offset + PAD_BYTES - 1 & ~(PAD_BYTES - 1)
    this.started = true
    this.lease()
  }

  /** Not within `take`: a lease may retire the block whose pad the caller is about to use. */
  private leaseSoon (): void { this.core.deps.soon(() => { this.lease() }) }

  private lease (): void {
    const { core } = this
    let block = this.mine[0]
    if (block === undefined || this.leasing || !this.started) return
    if (this.entered !== block.number) { // A block's first lease in this start begins where the last start's lease ended.
      this.entered = block.number
      this.cursor = this.leasedTo = (Math.max(block.spent, core.meta.padMine.block === block.number ? core.meta.padMine.offset : 0) + PAD_BYTES - 1) & ~(PAD_BYTES - 1)
    }
    const end = usableBytes(block) & ~(PAD_BYTES - 1)
    if (this.cursor + PAD_BYTES > end) {
      this.retire(block)
      block = this.mine[0]
      if (block !== undefined) this.lease()
      return
    }
    if (this.leasedTo >= end) return
    const to = Math.min(end, this.leasedTo + this.leaseBytes)
    this.leasing = true
    core.commit((tx) => {
      core.account.authentication += to - block.spent
      block.spent = to
      core.putBlock(tx, block)
    })
    const { generation } = this
    core.durable(() => {
      if (generation !== this.generation) return
      this.leasing = false
      this.leasedTo = to
      if (this.cursor + 2 * PAD_BYTES > this.leasedTo) this.lease()
    })
  }

  private retire (block: BlockRow): void {
    const { core } = this
    this.leave(block)
    const end = { block: block.number, offset: usableBytes(block) }
    if (after(end, core.meta.padMine)) core.meta.padMine = end // Written with the block's end.
    core.commit((tx) => { this.erasure.block(tx, block, usableBytes(block) - block.spent, 'tail') })
  }

  private leave (block: BlockRow): void {
    this.mine.splice(this.mine.indexOf(block), 1)
    if (this.entered === block.number) this.enterNext()
  }

  private enterNext (): void {
    this.generation++
    this.leasing = false
    this.cursor = this.leasedTo = this.entered = 0
  }

  /** The block goes for another reason, in the caller's transaction. @returns its bytes that no message used. */
  forget (block: BlockRow): number {
    const { core } = this
    if (block.owner === 'mine') {
      if (this.mine.includes(block)) this.leave(block)
      this.leaseSoon()
      return usableBytes(block) - block.spent
    }
    const used = core.meta.padTheirs.block === block.number ? Math.min(core.meta.padTheirs.offset, usableBytes(block)) : 0
    core.account.authentication += used
    return usableBytes(block) - used
  }

  private eraseTheirsBefore (number: number): void {
    const { core } = this
    const old = [...core.blocks.values()].filter((b) => b.purpose === 'auth' && b.owner === 'theirs' && b.number < number)
    if (old.length === 0) return
    core.commit((tx) => {
      for (const block of old) {
        core.account.authentication += usableBytes(block)
        this.erasure.block(tx, block, 0, 'tail')
      }
    })
  }

  clear (): void {
    this.mine.length = 0
    this.enterNext()
  }
}
