import { usableBytes, type BlockRow, type Owner } from './rows.js'

/** What one block counts for. */
interface Share { readonly stockBytes: number, readonly unopened: Owner | '', readonly live: Owner | '', readonly id: 0 | 1 }

const nothing: Share = { stockBytes: 0, unopened: '', live: '', id: 0 }

/** What was named of a closed block is owed to slaves: no new keys come from it. */
const shareOf = (block: BlockRow): Share => ({
  stockBytes: block.state === 'closed' ? 0 : usableBytes(block) - (block.owner === 'mine' ? block.spent : 0),
  unopened: block.purpose === 'app' && block.index === 0 ? block.owner : '',
  live: block.purpose === 'app' && block.state !== 'closed' ? block.owner : '',
  id: block.purpose === 'id' ? 1 : 0,
})

/**
 * Sums over the blocks of a pool, brought up to date with each row that is written: a GiB of stock is 17,000 blocks, and
 * walking them for each batch of frames, or for each block that is proposed, costs more than the batch.
 */
export class Tally {
  private readonly shares = new Map<number, Share>()
  /** Bytes that can still be spent, by either side. */
  stockBytes = 0
  /** Blocks for keys without a lane index, by owner. */
  readonly unopened = { mine: 0, theirs: 0 }
  /** Blocks for keys that are not closed, opened or not, by owner. */
  readonly live = { mine: 0, theirs: 0 }
  /** Blocks on their way to become ID keys. */
  idBlocks = 0
  /** The few blocks of pads by owner, in order of their arrival: what is left of them is asked for each message. */
  readonly pads: Readonly<Record<Owner, Map<number, BlockRow>>> = { mine: new Map(), theirs: new Map() }

  put (block: BlockRow): void {
    this.replace(block.number, shareOf(block))
    if (block.purpose === 'auth') this.pads[block.owner].set(block.number, block)
  }

  remove (number: number): void {
    this.replace(number, nothing)
    this.shares.delete(number)
    this.pads.mine.delete(number)
    this.pads.theirs.delete(number)
  }

  private replace (number: number, share: Share): void {
    const before = this.shares.get(number) ?? nothing
    this.stockBytes += share.stockBytes - before.stockBytes
    this.idBlocks += share.id - before.id
    if (before.unopened !== '') this.unopened[before.unopened]--
    if (share.unopened !== '') this.unopened[share.unopened]++
    if (before.live !== '') this.live[before.live]--
    if (share.live !== '') this.live[share.live]++
    this.shares.set(number, share)
  }
}
