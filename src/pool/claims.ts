import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { claimKey, tableOf, usableBytes, type BlockRow } from './rows.js'

/** Local slaves of one association, at most: the bits of a claim's mask. */
export const SLAVES_MAX = 32
const UNIT = 8

/**
 * What was delivered of one block to slaves here: per unit of 8 bytes the place (+1) of the claim that covers it, and at
 * each claim's first unit its length, association and the slaves that have it. 11 bytes per unit, at most 88 KiB.
 */
class BlockClaims {
  readonly covered: Uint16Array
  readonly lengths: Uint16Array
  readonly associations: Uint16Array
  readonly masks: Uint32Array
  claimedBytes = 0

  constructor (block: BlockRow) {
    const units = usableBytes(block) / UNIT
    this.covered = new Uint16Array(units)
    this.lengths = new Uint16Array(units)
    this.associations = new Uint16Array(units)
    this.masks = new Uint32Array(units)
  }

  set (place: number, length: number, association: number, mask: number): void {
    if (this.masks[place] === 0) {
      const end = place + Math.ceil(length / UNIT)
      this.covered.fill(place + 1, place, end)
      this.claimedBytes += (end - place) * UNIT
    }
    this.lengths[place] = length
    this.associations[place] = association
    this.masks[place]! |= mask
  }
}

export type ClaimResult = 'fresh' | 'taken' | 'overlap'

/**
 * Claims (design 3.7): (place, length, association) of a block, one right for each slave. A claim overlaps no other
 * but its own. Set in memory first; the caller stores it with `write` and answers after the flush. A bounded number of
 * blocks stays in memory; the others are read again from the store.
 */
export class Claims {
  private readonly cache = new Map<number, BlockClaims>()
  /** Blocks with a claim that is not answered yet: neither their claims leave memory nor the blocks the store. */
  private readonly held = new Map<number, number>()
  constructor (private readonly core: PoolCore, private readonly blocksMax = 256) {}

  /** Whether slave number `slave` may still fetch; changes nothing. */
  check (block: BlockRow, place: number, length: number, association: number, slave: number): ClaimResult {
    const claims = this.of(block)
    if (claims.masks[place] !== 0) {
      if (claims.lengths[place] !== length || claims.associations[place] !== association) return 'overlap'
      return (claims.masks[place]! >>> slave & 1) === 1 ? 'taken' : 'fresh'
    }
    const end = place + Math.ceil(length / UNIT)
    for (let unit = place; unit < end; unit++) if (claims.covered[unit] !== 0) return 'overlap'
    return 'fresh'
  }

  /** Sets the claim in memory and holds the block until `letGo`. */
  take (block: BlockRow, place: number, length: number, association: number, slave: number): void {
    const claims = this.of(block)
    this.held.set(block.number, (this.held.get(block.number) ?? 0) + 1)
    const before = claims.claimedBytes
    claims.set(place, length, association, 1 << slave)
    if (block.owner === 'theirs' && claims.claimedBytes > before) {
      const units = claims.claimedBytes - before
      this.core.account.delivered += length
      this.core.burn('padding', units - length)
    }
  }

  /** The claim is answered, or will never be. */
  letGo (number: number): void {
    const left = (this.held.get(number) ?? 1) - 1
    if (left > 0) this.held.set(number, left)
    else this.held.delete(number)
  }

  isHeld (number: number): boolean { return this.held.has(number) }

  write (tx: KvWriter, block: number, place: number): void {
    const claims = this.cache.get(block)
    if (claims === undefined) return
    const value = new Uint8Array(8)
    const view = new DataView(value.buffer)
    view.setUint16(0, claims.lengths[place]!, true)
    view.setUint16(2, claims.associations[place]!, true)
    view.setUint32(4, claims.masks[place]!, true)
    tx.put(claimKey(this.core.pool, block, place), value)
  }

  /** Bytes (whole units) of the block that at least one slave has. */
  claimedBytes (number: number): number {
    const block = this.core.blocks.get(number)
    return block === undefined ? 0 : this.of(block).claimedBytes
  }

  /** Slaves that have the claim at `place`. */
  mask (block: BlockRow, place: number): number { return this.of(block).masks[place] ?? 0 }

  forget (number: number): void { this.cache.delete(number) }

  private of (block: BlockRow): BlockClaims {
    let claims = this.cache.get(block.number)
    if (claims !== undefined) return claims
    claims = new BlockClaims(block)
    for (const { key, value } of this.core.deps.kv.range(tableOf('claim', this.core.pool, block.number))) {
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
      claims.set(key[3] as number, view.getUint16(0, true), view.getUint16(2, true), view.getUint32(4, true))
    }
    this.cache.set(block.number, claims)
    this.evict(block.number)
    return claims
  }

  private evict (keep: number): void {
    if (this.cache.size <= this.blocksMax) return
    for (const number of this.cache.keys()) {
      if (number === keep || this.held.has(number)) continue
      this.cache.delete(number)
      return
    }
  }
}
