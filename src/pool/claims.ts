import type { KvWriter } from '../store/kv.js'
import { ClaimedBlocks } from './claimed-blocks.js'
import { parseClaims, packClaim, CLAIM_BYTES, SEGMENT_UNITS, type ClaimEntry } from './claim-rows.js'
import type { PoolCore } from './core.js'
import { claimsKey, tableOf, usableBytes, type BlockRow } from './rows.js'

/** Local slaves of one association, at most: the bits of a claim's mask. */
export const SLAVES_MAX = 32
/** Number of claims by the relay; associations of SAEs begin at 1. */
export const RELAY_ASSOCIATION = 0
/** Number of claims by named grants: pads. No association has it. */
export const GRANT_ASSOCIATION = 0xffff
const UNIT = 8

/**
 * What was delivered of one block to slaves here: per unit of 8 bytes the place (+1) of the claim that covers it, and at
 * each claim's first unit its length, association and the slaves that have it. 11 bytes per unit, at most 88 KiB.
 * `claimedBytes` counts what is written, so that stock and accounts in the store always agree.
 */
class BlockClaims {
  readonly covered: Uint16Array
  readonly lengths: Uint16Array
  readonly associations: Uint16Array
  readonly masks: Uint32Array
  /** Segments whose row is to be written at the end of the transaction. */
  readonly changed = new Set<number>()
  /** Places of claims that are set and not written. */
  readonly unwritten = new Set<number>()
  /** Places of claims that some slave may still use, with the number of slaves that may. */
  readonly partial = new Map<number, number>()
  claimedBytes = 0

  constructor (block: BlockRow) {
    const units = usableBytes(block) / UNIT
    this.covered = new Uint16Array(units)
    this.lengths = new Uint16Array(units)
    this.associations = new Uint16Array(units)
    this.masks = new Uint32Array(units)
  }

  /** `slaves`: how many may fetch these bytes. */
  set (place: number, length: number, association: number, mask: number, slaves: number): void {
    if (this.masks[place] === 0) {
      this.covered.fill(place + 1, place, place + units(length))
      this.unwritten.add(place)
    }
    this.lengths[place] = length
    this.associations[place] = association
    this.masks[place]! |= mask
    if (this.masks[place]! >>> 0 === 2 ** slaves - 1) this.partial.delete(place)
    else this.partial.set(place, slaves)
  }

  /** The claim goes to the store. @returns bytes (whole units) that are claimed by it for the first time. */
  count (place: number): number {
    if (!this.unwritten.delete(place)) return 0
    const bytes = units(this.lengths[place]!) * UNIT
    this.claimedBytes += bytes
    return bytes
  }
}

const units = (length: number): number => Math.ceil(length / UNIT)

export type ClaimResult = 'fresh' | 'taken' | 'overlap'

/**
 * Claims (design 3.7): (place, length, association) of a block, one right for each slave. A claim overlaps no other
 * but its own. Set in memory first; the caller stores it with `write` and answers after the flush. A bounded number of
 * blocks stays in memory; the others are read again from the store.
 */
export class Claims {
  private readonly cache = new Map<number, BlockClaims>()
  /** Blocks with changed segments. */
  private readonly changed = new Set<number>()
  /** The row being written: the store copies it at once. */
  private readonly row = new Uint8Array(SEGMENT_UNITS * CLAIM_BYTES)
  /** Blocks with a claim that is not answered yet: neither their claims leave memory nor the blocks the store. */
  private readonly held = new Map<number, number>()
  private readonly rows: ClaimedBlocks
  constructor (private readonly core: PoolCore, private readonly blocksMax = 256) { this.rows = new ClaimedBlocks(core) }

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
  take (block: BlockRow, place: number, length: number, association: number, slave: number, slaves: number): void {
    this.held.set(block.number, (this.held.get(block.number) ?? 0) + 1)
    this.of(block).set(place, length, association, 1 << slave, slaves)
  }

  /** The claim is answered, or will never be. */
  letGo (number: number): void {
    const left = (this.held.get(number) ?? 1) - 1
    if (left > 0) this.held.set(number, left)
    else this.held.delete(number)
  }

  /** Whether the block must stay: a claim is not answered yet, or of several slaves of a key not all have fetched it. */
  isHeld (number: number): boolean {
    if (this.held.has(number)) return true
    if (!this.cache.has(number) && !this.rows.has(number)) return false
    const block = this.core.blocks.get(number)
    return block !== undefined && this.of(block).partial.size > 0
  }

  /**
   * Stores the claim and books it, in one transaction: the caller writes the account row in it, too. Booked any earlier, a
   * crash could find the bytes both delivered and in stock. Claims of one segment and transaction are one row.
   */
  write (tx: KvWriter, number: number, place: number): void {
    const claims = this.cache.get(number)
    if (claims === undefined) return
    claims.changed.add(Math.floor(place / SEGMENT_UNITS))
    this.changed.add(number)
    tx.atEnd(this.writeRows)
    const length = claims.lengths[place]!
    const fresh = claims.count(place)
    if (fresh === 0 || this.core.blocks.get(number)?.owner !== 'theirs') return
    if (claims.associations[place] === RELAY_ASSOCIATION) this.core.account.relay += length
    else if (claims.associations[place] === GRANT_ASSOCIATION) this.core.burn('grant', length)
    else this.core.account.delivered += length
    this.core.burn('padding', fresh - length)
  }

  /**
   * Nobody gets this key any more: a claim of all its slaves, in the store like any other. Inside a commit. 'taken': all of them
   * have it already; 'overlap': other claims lie there, and nothing is changed.
   */
  void (tx: KvWriter, block: BlockRow, place: number, length: number, association: number, slaves: number): 'void' | 'taken' | 'overlap' {
    if (this.check(block, place, length, association, 0) === 'overlap') return 'overlap'
    const claims = this.of(block), all = (2 ** slaves - 1) >>> 0
    if ((claims.masks[place]! & all) >>> 0 === all) return 'taken'
    claims.set(place, length, association, all, slaves)
    if (block.owner === 'theirs') this.core.burn('voided', claims.count(place)) // Of our own blocks it was booked when it was cut.
    this.write(tx, block.number, place)
    return 'void'
  }

  private readonly writeRows = (tx: KvWriter): void => {
    for (const number of this.changed) {
      const claims = this.cache.get(number)
      if (claims === undefined) continue
      for (const segment of claims.changed) {
        tx.put(claimsKey(this.core.pool, number, segment), this.rowOf(claims, segment))
        this.rows.put(number, segment)
      }
      claims.changed.clear()
    }
    this.changed.clear()
    this.evict(0)
  }

  /** What is written of a segment; a claim that is only set belongs to a later transaction. */
  private rowOf (claims: BlockClaims, segment: number): Uint8Array {
    const from = segment * SEGMENT_UNITS, end = Math.min(from + SEGMENT_UNITS, claims.masks.length)
    let length = 0
    for (let place = from; place < end; place++) {
      const mask = claims.masks[place]!
      if (mask === 0 || claims.unwritten.has(place)) continue
      packClaim(this.row, length, place - from, claims.lengths[place]!, claims.associations[place]!, mask, claims.partial.get(place) ?? 32 - Math.clz32(mask))
      length += CLAIM_BYTES
    }
    return this.row.subarray(0, length)
  }

  /** Bytes (whole units) of the block that at least one slave has, as the store knows it. */
  claimedBytes (number: number): number {
    const block = this.core.blocks.get(number)
    if (block === undefined || block.index === 0) return 0 // Before it was opened there can be no claim.
    return this.cache.get(number)?.claimedBytes ?? this.storedBytes(number)
  }

  /** An account asks for all blocks, of which most have no claim: that must not push out those in use, nor cost memory for each. */
  private storedBytes (number: number): number {
    const places = new Map<number, number>()
    for (const { place, length } of this.rowsOf(number)) places.set(place, units(length) * UNIT)
    let bytes = 0
    for (const claimed of places.values()) bytes += claimed
    return bytes
  }

  private * rowsOf (number: number): Generator<ClaimEntry> {
    if (!this.rows.has(number)) return
    for (const { key, value } of this.core.deps.kv.range(tableOf('claim', this.core.pool, number))) yield * parseClaims(key[3] as number, value)
  }

  /** Slaves that have the claim at `place`. */
  mask (block: BlockRow, place: number): number { return this.of(block).masks[place] ?? 0 }

  /** The block goes: its rows go, and what was set and not written is written no more. Inside a commit. */
  erase (tx: KvWriter, number: number): void {
    this.cache.delete(number)
    this.rows.remove(tx, number)
  }

  private of (block: BlockRow): BlockClaims {
    let claims = this.cache.get(block.number)
    if (claims !== undefined) return claims
    claims = new BlockClaims(block)
    for (const { place, length, association, mask, slaves } of this.rowsOf(block.number)) {
      claims.set(place, length, association, mask, slaves)
      claims.count(place)
    }
    this.cache.set(block.number, claims)
    this.evict(block.number)
    return claims
  }

  /** What is not answered or not written yet stays: a void of many keys is written at the end of its transaction. */
  private evict (keep: number): void {
    for (const number of this.cache.keys()) {
      if (this.cache.size <= this.blocksMax) return
      if (number !== keep && !this.held.has(number) && !this.changed.has(number)) this.cache.delete(number)
    }
  }
}
