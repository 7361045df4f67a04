import type { BlockHandle } from '../device/native.js'
import { uuidText } from '../device/formats/uuid.js'
import type { KvWriter } from '../store/kv.js'
import { recordName, recordSlot } from '../store/record.js'
import type { PoolCore } from './core.js'
import { grantedKey, grantedMasksKey, grantedRecordKey, type GrantedRow } from './grant-rows.js'
import { decodeRow, putRow, tableOf } from './rows.js'

/** One key that the other KME's master shares with slaves here. */
export interface GrantedKey {
  readonly grant: Grant
  /** Its place in the grant, and its key_ID. */
  readonly index: number, readonly id: string
}

interface Grant extends GrantedRow {
  readonly number: number
  readonly keys: GrantedKey[]
  /** Per key, which slaves have it. A key that all have is erased; its ID stays until the grant ends, so that others are told 401 (A8). */
  readonly masks: Uint32Array
}

/** Keys of one peer's grants that can be told apart here, fetched or not. At the bound those that all slaves have go first. */
export const KEYS_MAX = 65_536
/** Behind a key stands what a block of stock has there for its confirmation; it is never loaded. */
const TAIL_BYTES = 48
const ID_BYTES = 16

/**
 * Keys of named grants of one peer, sealed, each under its key_ID: found in one look-up, fetched once by each slave of its grant. They are
 * forgotten `fetch_ttl` after they came, when the peer takes them back, and when the pool is void.
 */
export class GrantedKeys {
  private readonly byId = new Map<string, GrantedKey>()
  private readonly grants = new Map<number, Grant>()
  /** Keys with claims that are not answered yet, and how many: their records stay. */
  private readonly held = new Map<GrantedKey, number>()

  constructor (private readonly core: PoolCore) {
    const { kv } = core.deps
    for (const { key, value } of kv.range(tableOf('granted', core.pool))) {
      const number = key[2] as number, masks = kv.get(grantedMasksKey(core.pool, number))
      this.index(number, decodeRow<GrantedRow>(value), masks)
    }
    const left: GrantedKey[] = [] // Fetched by all, and the process ended before the record went.
    for (const grant of this.grants.values()) for (const k of grant.keys) if (this.isFetched(k) && kv.has(this.recordKey(k))) left.push(k)
    if (left.length > 0) core.commit((tx) => { for (const k of left) this.eraseRecord(tx, k) })
  }

  get size (): number { return this.byId.size }
  has (id: string): boolean { return this.byId.has(id) }
  /** @param id In lower case. */
  find (id: string): GrantedKey | undefined { return this.byId.get(id) }

  private index (number: number, row: GrantedRow, masks: Uint8Array | undefined): void {
    const count = row.ids.length / ID_BYTES
    const grant: Grant = { ...row, number, keys: [], masks: new Uint32Array(count) }
    if (masks !== undefined) for (let i = 0; i < count; i++) grant.masks[i] = new DataView(masks.buffer, masks.byteOffset).getUint32(i * 4, true)
    for (let index = 0; index < count; index++) {
      const key = { grant, index, id: uuidText(row.ids.subarray(index * ID_BYTES, (index + 1) * ID_BYTES)) }
      grant.keys.push(key)
      this.byId.set(key.id, key)
    }
    this.grants.set(number, grant)
  }

  /** Makes room for so many keys, of those that every slave has. Inside a commit. @returns false if there is not enough. */
  makeRoom (tx: KvWriter, count: number): boolean {
    for (const grant of this.grants.values()) {
      if (this.byId.size + count <= KEYS_MAX) return true
      if (grant.keys.every((k) => this.isFetched(k) && !this.held.has(k))) this.erase(tx, grant.number)
    }
    return this.byId.size + count <= KEYS_MAX
  }

  /** Inside a commit. `records[i]` is key i, sealed under `slot`. */
  add (tx: KvWriter, number: number, row: GrantedRow, records: readonly Uint8Array[], slot: number): void {
    const { pool } = this.core
    putRow(tx, grantedKey(pool, number), row)
    records.forEach((record, i) => { tx.put(grantedRecordKey(pool, number, i), record) })
    this.core.deps.keys.added(tx, slot, records.length)
    this.index(number, row, undefined)
  }

  /** The grant is over: nothing of it is given to anybody any more. Inside a commit. */
  erase (tx: KvWriter, number: number): void {
    const grant = this.grants.get(number)
    if (grant === undefined) return
    for (const k of grant.keys) {
      this.eraseRecord(tx, k)
      this.byId.delete(k.id)
    }
    this.grants.delete(number)
    tx.remove(grantedKey(this.core.pool, number))
    tx.remove(grantedMasksKey(this.core.pool, number))
  }

  /** An operator voids keys: no slave that has not fetched one gets it. Inside a commit. @returns which keys were not fetched by all. */
  void (tx: KvWriter, which: (k: GrantedKey) => boolean): GrantedKey[] {
    const done = [...this.byId.values()].filter((k) => !this.isFetched(k) && which(k))
    for (const k of done) {
      k.grant.masks[k.index] = (2 ** k.grant.slaves.length - 1) >>> 0
      this.write(tx, k)
      this.eraseRecord(tx, k)
    }
    return done
  }

  /** Fetched by all or not. */
  those (which: (k: GrantedKey) => boolean): GrantedKey[] { return [...this.byId.values()].filter(which) }
  unfetched (which: (k: GrantedKey) => boolean): number { return this.those((k) => !this.isFetched(k) && which(k)).length }

  private recordKey ({ grant, index }: GrantedKey): ReturnType<typeof grantedRecordKey> { return grantedRecordKey(this.core.pool, grant.number, index) }

  private eraseRecord (tx: KvWriter, k: GrantedKey): void {
    const record = tx.get(this.recordKey(k))
    if (record === undefined) return
    tx.remove(this.recordKey(k))
    try { this.core.deps.keys.removed(tx, recordSlot(record), 1) } catch (error) {
      if ((error as { code?: unknown }).code !== undefined && (error as { code?: unknown }).code !== 'STORE_CORRUPT') throw error
      this.core.security('integrity.record', `a granted key of ${this.core.pool} names a key slot that does not count it. Run qkme store check`)
    }
  }

  clear (tx: KvWriter): void { for (const number of [...this.grants.keys()]) this.erase(tx, number) }

  expire (): void {
    const before = this.core.deps.ageMs() - this.core.deps.limits.fetchTtlMs
    const old: number[] = []
    for (const grant of this.grants.values()) {
      if (grant.bornMs >= before) break // In order of their age.
      old.push(grant.number)
    }
    if (old.length > 0) this.core.commit((tx) => { for (const number of old) this.erase(tx, number) })
  }

  // --- one key -------------------------------------------------------------------------------------------------------

  isHere (k: GrantedKey): boolean { return this.byId.get(k.id) === k }
  hasFetched (k: GrantedKey, slave: number): boolean { return (k.grant.masks[k.index]! >>> slave & 1) === 1 }
  isFetched (k: GrantedKey): boolean { return k.grant.masks[k.index] === (2 ** k.grant.slaves.length - 1) >>> 0 }

  /** Sets the claim in memory; `write` follows, the answer when that is flushed, and `settle` in any case. */
  take (k: GrantedKey, slave: number): void {
    k.grant.masks[k.index]! |= 1 << slave
    this.held.set(k, (this.held.get(k) ?? 0) + 1)
  }

  write (tx: KvWriter, k: GrantedKey): void {
    if (!this.isHere(k)) return
    const { masks, number } = k.grant
    const row = new Uint8Array(masks.length * 4), view = new DataView(row.buffer)
    masks.forEach((mask, i) => { view.setUint32(i * 4, mask, true) })
    tx.put(grantedMasksKey(this.core.pool, number), row)
  }

  /** Opens the key in the arena: a block of its own, which the caller drops. 'damaged': it is gone, or its record does not open. */
  reach (k: GrantedKey): BlockHandle | 'full' | 'damaged' {
    const { vault, kv, keys } = this.core.deps
    const record = this.isHere(k) ? kv.get(this.recordKey(k)) : undefined
    if (record === undefined) return 'damaged'
    let block: BlockHandle | undefined
    try {
      block = vault.createBlock(0, 0, Uint32Array.of(k.grant.sizeBytes, TAIL_BYTES))
      if (recordName(record).id !== k.id.replaceAll('-', '')) return this.damaged(block, k, 'it is the record of another key')
      vault.loadFrame(block, 0, keys.opener(record), record)
      vault.pinFrame(block, 0)
      return block
    } catch (error) {
      const { code, message } = error as { code?: unknown, message?: string }
      if (block !== undefined && code !== 'STORE_CORRUPT') vault.dropBlock(block)
      if (code === 'ARENA_FULL') return 'full'
      if (code !== 'STORE_CORRUPT') throw error
      return this.damaged(block, k, message ?? 'its record is damaged')
    }
  }

  private damaged (block: BlockHandle | undefined, { grant }: GrantedKey, why: string): 'damaged' {
    if (block !== undefined) this.core.deps.vault.dropBlock(block)
    this.core.security('integrity.record', `a key of grant ${grant.number} of ${this.core.pool}: ${why}. It is not given out; qkme store check tells what else is damaged`)
    return 'damaged'
  }

  /** A claim is answered, or will never be: what every slave has is erased, but not before the last of them has its answer. */
  settle (k: GrantedKey): void {
    const left = this.held.get(k)! - 1
    if (left > 0) { this.held.set(k, left); return }
    this.held.delete(k)
    if (this.isHere(k) && this.isFetched(k)) this.core.commit((tx) => { this.eraseRecord(tx, k) })
  }
}
