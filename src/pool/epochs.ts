import type { KeyHandle } from '../device/native.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import { sameBytes, type PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import { LAST_EPOCH } from './number-ranges.js'
import { decodeRow, epochKey, putRow, tableOf, usableBytes, type BlockRow, type EpochRow } from './rows.js'
import type { BlockViews } from './views.js'

/** Of the block that founds an epoch. */
export const SEED_BYTES = 64
/** In place of a check value: the keys of that epoch cannot be made there. */
const NO_CHECK = new Uint8Array(16)
export const EPOCHS_MAX = 4
const ANNOUNCE_MS = 2_000
const sourceOf = (link: number, deviceBlock: string): string => `${link}/${deviceBlock}`

/** A key ID has so many bits of its block's number: an epoch names no more blocks, and those come after the one that founded it. */
const SPAN_BLOCKS = 2 ** 32

/** Live epochs, oldest first, and the handles of their keys: what `openKeyIds` tries. */
export interface Openers { readonly epochs: readonly EpochRow[], readonly handles: Uint32Array }

/**
 * ID epochs (design 4): the keys that make and open key IDs, from 64 bytes of a block of purpose 'id' which both sides
 * then discard. A block belongs to the epoch that its proposal names; an epoch's keys go with its last block.
 */
export class Epochs {
  private readonly rows = new Map<number, EpochRow>()
  /** The other side needs an epoch of at least this number. */
  private asked = 0
  private announcedMs = -Infinity
  private readonly handles = new Map<number, KeyHandle>()
  private kept: Openers | undefined

  /** @param onNumbersBegun After the commit that made an epoch active and began our numbers of associations anew with it. */
  constructor (private readonly core: PoolCore, private readonly erasure: Erasure, private readonly onNumbersBegun: () => void) {
    for (const { value } of core.deps.kv.range(tableOf('epoch', core.pool))) {
      const row = decodeRow<EpochRow>(value)
      this.rows.set(row.epoch, row)
      // The keys of a store that lost its own may not open any more; its rows are only removed.
      if (core.deps.disowned === '') this.handles.set(row.epoch, core.deps.keys.unwrap(row.wrapped))
    }
  }

  /** The newest epoch that both sides have, or undefined. */
  get current (): EpochRow | undefined {
    let best: EpochRow | undefined
    for (const row of this.rows.values()) if (row.active && (best === undefined || row.epoch > best.epoch)) best = row
    return best
  }

  get (epoch: number): EpochRow | undefined { return this.rows.get(epoch) }
  has (epoch: number): boolean { return this.rows.has(epoch) }
  key (epoch: number): KeyHandle | 0 { return this.handles.get(epoch) ?? 0 }
  /** Live epochs, oldest first. */
  live (): EpochRow[] { return [...this.rows.values()].sort((a, b) => a.epoch - b.epoch) }

  /** Asked by each `dec_keys`, so kept until an epoch comes or goes. */
  openers (): Openers {
    if (this.kept !== undefined) return this.kept
    const epochs = this.live()
    return this.kept = { epochs, handles: Uint32Array.from(epochs, ({ epoch }) => this.key(epoch)) }
  }

  /** Proposer: whether the next block must found an epoch. */
  due (): boolean {
    const { core } = this
    if (core.tally.idBlocks > 0 || core.meta.highestEpoch >= LAST_EPOCH) return false // One is on its way, or there is none after the last.
    const current = this.current
    if ([...this.rows.values()].some((r) => !r.active)) return false
    if (current === undefined) return true
    if (this.isFull) return false
    return this.isLong || core.deps.ageMs() - current.bornMs > core.deps.limits.epochAgeMaxMs ||
      Math.max(this.needed, this.asked) > current.epoch
  }

  /** The current epoch has named as many blocks as one should: long before there are no numbers for more. */
  get isLong (): boolean {
    const { meta, deps } = this.core
    return meta.highestBlock - (this.current?.block ?? 0) >= deps.limits.epochBlocksMax
  }

  /** The number of an epoch's block of which a key ID has the low 32 bits. */
  blockOf ({ block }: EpochRow, low: number): number { return block + (low - block >>> 0) }

  /** Whether key IDs of this epoch can name a block of this number: else they would name an older one, too. */
  canName (epoch: number, number: number): boolean {
    const row = this.rows.get(epoch)
    return row !== undefined && number > row.block && number - row.block < SPAN_BLOCKS
  }

  /** The next frames that come here are to found an epoch: association numbers wait for it, so that even a full pool takes them. */
  get awaitsBlock (): boolean { return this.core.ready && this.core.proposer && this.due() }

  private get areNumbersUsedUp (): boolean { return this.core.meta.nextAssociation > this.core.deps.limits.associationsPerEpoch }

  /** The epoch that our numbers of associations wait for: they are used up, or count from it on. 0 if for none. */
  get needed (): number {
    const { generation } = this.core.meta, current = this.current?.epoch ?? 0
    if (this.areNumbersUsedUp) return Math.max(current + 1, generation)
    return generation > current ? generation : 0
  }

  /**
   * Inside the commit that makes an epoch active: numbers that are used up begin anew with it, not before. So what is there is cut and fetched
   * meanwhile, and no block of the epoch is there yet: a block's epoch tells in which space its keys' numbers count.
   */
  private beginNumbers (epoch: number): boolean {
    const { meta } = this.core
    if (!this.areNumbersUsedUp || epoch <= meta.generation) return false
    meta.generation = epoch
    meta.nextAssociation = 1
    return true
  }

  /** No other epoch before the last block of one of these has gone. */
  get isFull (): boolean { return this.rows.size >= EPOCHS_MAX }

  next (): number { return this.core.meta.highestEpoch + 1 }

  onAsk (epoch: number): void { this.asked = Math.max(this.asked, Math.min(epoch, this.core.meta.highestEpoch + 1)) }

  /** Proposer: the 'id' block is stored on both sides. Derives the keys, discards the block, tells the other side. */
  found (block: BlockRow, views: BlockViews): void {
    if (this.core.blocks.get(block.number) !== block) return // Founded by `tick` before its confirmation was on disk, or void.
    const key = this.derive(block, views)
    if (key === 'full') return // `tick` tries again.
    if (key === 'damaged') { this.burn(block); return }
    const row = this.adopt(block, key, false)
    this.core.durable(() => { this.announce(row) })
  }

  /** A block that does not open founds nothing: it goes on both sides, and another is proposed. */
  private burn (block: BlockRow): void {
    const { core } = this
    core.commit((tx) => {
      core.enqueue(tx, 'burn', { blocks: [block.number], cause: 'damaged' })
      this.erasure.block(tx, block, usableBytes(block), 'damaged')
    })
  }

  /** A pool with itself: a fresh random key, no block. */
  foundAlone (): void {
    const { core } = this
    const key = core.deps.vault.newKey()
    this.keep({ epoch: this.next(), block: core.meta.highestBlock, wrapped: core.deps.keys.wrap(key), check: core.deps.vault.keyCheck(key), active: true, bornMs: core.deps.ageMs(), blocks: 0 }, key, () => {})
  }

  /** Announces again what the other side has not acknowledged. */
  resend (): void { if (this.core.proposer) for (const row of this.rows.values()) if (!row.active) this.announce(row) }

  /** The other side takes a new epoch when it has room for its keys; the proposer founds one whose block waits since a start, or for the arena. */
  tick (views: BlockViews): void {
    const { core } = this
    if (core.proposer) for (const b of core.blocks.values()) if (b.purpose === 'id' && b.state === 'usable') this.found(b, views)
    const now = this.core.deps.clock.monoMs()
    if (now - this.announcedMs < ANNOUNCE_MS) return
    this.announcedMs = now
    this.resend()
  }

  private announce (row: EpochRow): void { this.core.send('idEpoch', { epoch: row.epoch, block: row.block, check: row.check }) }

  onIdEpoch (body: Body<'idEpoch'>, views: BlockViews): void {
    const { core } = this
    if (core.proposer) throw core.protocol('an ID epoch from the side that does not propose')
    let row = this.rows.get(body.epoch)
    if (row === undefined) {
      const block = core.blocks.get(body.block)
      if (block === undefined && body.block <= core.meta.highestBlock) { this.decline(body.epoch); return } // Burned here.
      if (block === undefined || block.purpose !== 'id' || block.epoch !== body.epoch) throw core.protocol(`ID epoch ${body.epoch} from block ${body.block}, which is not here`)
      if (this.isFull) return // Not yet: blocks of an older epoch are still here. It is announced again.
      const key = this.derive(block, views)
      if (key === 'full') return // It is announced again.
      if (key === 'damaged' || !sameBytes(core.deps.vault.keyCheck(key), body.check)) { this.refuse(block, key, body.epoch); return }
      if (block.state === 'accepted') {
        block.state = 'usable' // The epoch says that the proposer has our confirmation. Erased at once, so its row needs no writing.
        this.erasure.bookConfirmed(block)
      }
      row = this.adopt(block, key, true)
    }
    if (!sameBytes(row.check, body.check)) throw core.protocol(`ID epoch ${body.epoch} has other keys there`)
    const check = row.check
    core.durable(() => { core.send('idEpochAck', { epoch: body.epoch, check }) })
  }

  /** Nothing is kept of an epoch whose keys are not those of the other side: it makes another. */
  private refuse (block: BlockRow, key: KeyHandle | 'damaged', epoch: number): void {
    const { core } = this
    if (key !== 'damaged') {
      core.deps.vault.dropKey(key)
      core.security('integrity.epoch', `ID epoch ${epoch}: the keys from block ${block.number} differ`)
    }
    core.commit((tx) => {
      core.meta.highestEpoch = Math.max(core.meta.highestEpoch, epoch)
      this.erasure.block(tx, block, usableBytes(block), key === 'damaged' ? 'damaged' : 'mismatch')
    })
    core.durable(() => { this.decline(epoch) })
  }

  private decline (epoch: number): void { this.core.send('idEpochAck', { epoch, check: NO_CHECK }) }

  onAck (body: Body<'idEpochAck'>): void {
    const { core } = this
    const row = this.rows.get(body.epoch)
    if (sameBytes(body.check, NO_CHECK)) { // The other side cannot make these keys. Nothing names them before it can.
      if (row === undefined || row.active) return
      core.commit((tx) => { tx.remove(epochKey(core.pool, row.epoch)) })
      this.forget(row.epoch)
      return
    }
    if (row === undefined || !sameBytes(row.check, body.check)) throw core.protocol(`ID epoch ${body.epoch} is not ours`)
    if (row.active) return
    const begun = core.commit((tx) => {
      row.active = true
      putRow(tx, epochKey(core.pool, row.epoch), row)
      return this.beginNumbers(row.epoch)
    })
    if (begun) this.onNumbersBegun()
  }

  private derive (block: BlockRow, views: BlockViews): KeyHandle | 'full' | 'damaged' {
    const handle = views.reach(block, 0, SEED_BYTES)
    if (typeof handle === 'string') return handle
    try { return this.core.deps.vault.deriveFromBlock(handle, 0, SEED_BYTES, 'qkme id epoch') } finally { views.leave(block.number) }
  }

  private adopt (block: BlockRow, key: KeyHandle, active: boolean): EpochRow {
    const { core } = this
    const from = [...new Set(core.framesOf(block.number).map((f) => sourceOf(f.link, f.id)))]
    const row: EpochRow = {
      epoch: block.epoch, block: block.number, wrapped: core.deps.keys.wrap(key), check: core.deps.vault.keyCheck(key),
      active, bornMs: core.deps.ageMs(), blocks: 0, from,
    }
    this.keep(row, key, (tx) => {
      core.account.idKeys += usableBytes(block)
      this.erasure.block(tx, block, 0, 'tail')
    })
    return row
  }

  private keep (row: EpochRow, key: KeyHandle, and: (tx: KvWriter) => void): void {
    const { core } = this
    const begun = core.commit((tx) => {
      core.meta.highestEpoch = Math.max(core.meta.highestEpoch, row.epoch)
      putRow(tx, epochKey(core.pool, row.epoch), row)
      and(tx)
      return row.active && this.beginNumbers(row.epoch)
    })
    this.rows.set(row.epoch, row)
    this.handles.set(row.epoch, key)
    this.kept = undefined
    if (begun) this.onNumbersBegun()
  }

  /** Live epochs whose keys were made of a device's block. */
  madeOf (link: number, deviceBlock: string): number[] {
    return this.live().filter((row) => row.from?.includes(sourceOf(link, deviceBlock)) === true).map((row) => row.epoch)
  }

  /** The keys of an epoch are not secret any more: no key ID of it is made or opened again, here. Inside a commit. */
  revoke (tx: KvWriter, epoch: number): void {
    tx.remove(epochKey(this.core.pool, epoch))
    this.forget(epoch)
  }

  /** Erases epochs that no block needs any more, except the newest. */
  sweep (): void {
    const { core } = this
    const newest = Math.max(0, ...this.rows.keys()), old = [...this.rows.keys()].filter((e) => e !== newest && e !== this.current?.epoch)
    if (old.length === 0) return // Nearly always: no walk over all blocks.
    const used = new Set<number>()
    for (const b of core.blocks.values()) if (b.purpose === 'app') used.add(b.epoch)
    const gone = old.filter((e) => !used.has(e))
    if (gone.length === 0) return
    core.commit((tx) => { for (const epoch of gone) tx.remove(epochKey(core.pool, epoch)) })
    for (const epoch of gone) this.forget(epoch)
  }

  private forget (epoch: number): void {
    const handle = this.handles.get(epoch)
    if (handle !== undefined) this.core.deps.vault.dropKey(handle)
    this.handles.delete(epoch)
    this.rows.delete(epoch)
    this.kept = undefined
  }

  /** The pool is void. Inside a commit. */
  clear (tx: KvWriter): void {
    for (const epoch of [...this.rows.keys()]) {
      tx.remove(epochKey(this.core.pool, epoch))
      this.forget(epoch)
    }
  }

  close (): void { for (const epoch of [...this.rows.keys()]) this.forget(epoch) }
}
