/**
 * Keys of sealed records, and their erasure. Records are sealed under a random key per pool and hour, which lies
 * wrapped in a slot of keyslots.bin; the table `slot` counts the records under it. When the hour is over and the last
 * record gone, the slot is overwritten: whatever LMDB's free pages, the journal or the disk's blocks still hold of the
 * ciphertext, no key opens it any more.
 *
 * Each process start derives its own subkey from (seal key, salt of the start), so that IV counters begin at 0.
 */
import { KmeError, invariant } from '../kernel/errors.js'
import type { Clock } from '../kernel/time.js'
import type { KeyHandle, NativeVault, SealerHandle } from '../device/native.js'
import { prefixRange, type Kv, type KvReader, type KvWriter } from './kv.js'
import { KeySlotFile, SLOTS_MAX, slotAad } from './key-slots.js'
import { KEY_INFO, RECORD_INFO, type KeyVault } from './master-key.js'
import { viewOf } from './numbers.js'
import { recordSlot, recordStart } from './record.js'
import { saltOf } from './starts.js'

export type SealVault = KeyVault & Pick<NativeVault, 'createSealer' | 'dropSealer'>

export interface SealKeysOptions {
  readonly vault: SealVault
  readonly kv: Kv
  readonly clock: Clock
  readonly master: KeyHandle
  readonly ring: Uint8Array
  readonly start: number
  readonly file: KeySlotFile
}

/** Row ['slot', index]: serial u32, hour u32, first start u32, 0 u32, records f64. */
export interface SlotRow { readonly serial: number, readonly hour: number, readonly firstStart: number, readonly records: number }

interface Current { readonly slot: number, readonly hour: number, readonly sealer: SealerHandle }

/**
 * Slots with keys of the store itself: `row` wraps keys in rows of the engine, `audit` chains the audit trail. They lie
 * here so that rotating the master key rewraps them and zeroizing erases them with all others.
 */
const FIXED = { row: 0, audit: 1 } as const
const FIXED_SLOTS = 8

const SLOT_TABLE = 'slot'
const HOUR_MS = 3_600_000
const OPENERS_MAX = 64

export class SealKeys {
  private readonly kek: KeyHandle
  private readonly rowKey: KeyHandle
  /** Chains the audit trail. Ours: valid until `close`. */
  readonly auditKey: KeyHandle
  /** The audit key was made at this start: the store is new, or was zeroized. */
  readonly auditKeyIsNew: boolean
  private readonly current = new Map<string, Current>()
  private readonly openers = new Map<string, KeyHandle>()
  private last: { readonly slot: number, readonly start: number, readonly key: KeyHandle } | undefined
  private readonly free: number[]
  private nextSerial: number
  private closed = false

  private constructor (private readonly options: SealKeysOptions) {
    const { vault, master, ring, file, kv } = options
    this.kek = vault.deriveKey(master, ring, KEY_INFO.slots)
    const used = new Set(file.used())
    this.free = Array.from({ length: SLOTS_MAX }, (_, i) => SLOTS_MAX - 1 - i).filter((i) => !used.has(i) && i >= FIXED_SLOTS)
    this.auditKeyIsNew = !used.has(FIXED.audit)
    this.rowKey = this.fixed('row')
    this.auditKey = this.fixed('audit')
    this.nextSerial = 1 + slotRows(kv).reduce((max, [, row]) => Math.max(max, row.serial), 0)
  }

  /** Erases what a crash left: slots without a row, and slots of earlier hours whose records are gone. */
  static async open (options: SealKeysOptions): Promise<SealKeys> {
    const { file, kv } = options
    const rows = new Map(slotRows(kv))
    for (const index of file.used()) if (index >= FIXED_SLOTS && !rows.has(index)) file.erase(index)
    const keys = new SealKeys(options)
    await keys.sweep()
    return keys
  }

  /**
   * The sealer for new records of `pool`. At the first call of an hour a new key is made and written, on the disk
   * when this returns. @throws KmeError `STORE_FULL` (every slot is in use), `STORE_UNAVAILABLE`
   */
  sealer (pool: string): { readonly sealer: SealerHandle, readonly slot: number } {
    const hour = this.hour()
    const known = this.current.get(pool)
    if (known !== undefined && known.hour >= hour) return known
    const fresh = this.allocate(pool, hour)
    if (known !== undefined) this.options.vault.dropSealer(known.sealer)
    this.current.set(pool, fresh)
    return fresh
  }

  /** The subkey that opens a record, by slot and start in its header. Stays ours; valid until the next call. @throws KmeError `STORE_CORRUPT` */
  opener (record: Uint8Array): KeyHandle { return this.openerFor(recordSlot(record), recordStart(record)) }

  openerFor (slot: number, start: number): KeyHandle {
    const { last } = this
    if (last?.slot === slot && last.start === start) return last.key // Nearly always.
    const key = this.openerBy(slot, start)
    this.last = { slot, start, key }
    return key
  }

  private openerBy (slot: number, start: number): KeyHandle {
    const name = `${slot}/${start}`
    const cached = this.openers.get(name)
    if (cached !== undefined) {
      this.openers.delete(name)
      this.openers.set(name, cached) // Most recently used last.
      return cached
    }
    const subkey = this.derive(slot, start)
    if (this.openers.size >= OPENERS_MAX) this.dropOpener(this.openers.keys().next().value as string)
    this.openers.set(name, subkey)
    return subkey
  }

  /** Books records into a slot, in the transaction that stores them. */
  added (tx: KvWriter, slot: number, count: number): void { this.count(tx, slot, count) }

  /** Books records out of a slot, in the transaction that removes them. Erase with `sweep` once that is flushed. */
  removed (tx: KvWriter, slot: number, count: number): void { this.count(tx, slot, -count) }

  /** Wraps a key for a row of the engine: 60 bytes, the handle stays the caller's. */
  wrap (key: KeyHandle): Uint8Array { return this.options.vault.wrapKey(this.rowKey, key, ROW_AAD) }

  /** The inverse: a new handle, dropped by the caller. @throws KmeError `STORE_CORRUPT` */
  unwrap (wrapped: Uint8Array): KeyHandle {
    return unwrapOr(this.options.vault, this.rowKey, wrapped, ROW_AAD, 'a wrapped key in a row does not verify: the store was zeroized or its files are not of one age')
  }

  /** Erases every slot of an earlier hour that holds no records any more. @returns how many. */
  async sweep (): Promise<number> {
    const { kv, file } = this.options
    const inUse = new Set([...this.current.values()].map(({ slot }) => slot))
    const empty = slotRows(kv).filter(([index, row]) => row.records === 0 && !inUse.has(index)).map(([index]) => index)
    if (empty.length === 0) return 0
    await kv.flushed() // The records must be gone for good before their key is.
    for (const index of empty) {
      this.forget(index)
      file.erase(index)
    }
    kv.transact((tx) => { for (const index of empty) tx.remove([SLOT_TABLE, index]) })
    await kv.flushed()
    this.free.push(...empty.reverse())
    return empty.length
  }

  /** Drops sealers of past hours, so that `sweep` can erase their slots. Call about once a minute. */
  retire (): void {
    const hour = this.hour()
    for (const [pool, { sealer, hour: from }] of this.current) {
      if (from >= hour) continue
      this.options.vault.dropSealer(sealer)
      this.current.delete(pool)
    }
  }

  /** Overwrites every slot, on the disk when it returns: no record of this store opens any more. Nothing can be sealed afterwards. */
  zeroize (): void {
    this.close()
    this.options.file.eraseAll()
    this.free.length = 0
  }

  /** Drops every handle; calling it twice is harmless. The file stays the owner's. */
  close (): void {
    const { vault } = this.options
    if (this.closed) return
    this.closed = true
    for (const { sealer } of this.current.values()) vault.dropSealer(sealer)
    this.current.clear()
    for (const name of [...this.openers.keys()]) this.dropOpener(name)
    for (const key of [this.rowKey, this.auditKey, this.kek]) vault.dropKey(key)
  }

  private hour (): number { return Math.floor(this.options.clock.wallMs() / HOUR_MS) }

  private allocate (pool: string, hour: number): Current {
    const { vault, kv, file, ring, start } = this.options
    const slot = this.free.at(-1)
    if (slot === undefined) throw new KmeError('STORE_FULL', `all ${SLOTS_MAX} key slots hold keys of records in stock. Shorten key_ttl, or let stock be used up`)
    const serial = this.nextSerial, key = vault.newKey()
    try {
      file.write(slot, { serial, hour, pool, wrapped: vault.wrapKey(this.kek, key, slotAad(ring, slot, serial, hour)) })
      kv.transact((tx) => { putRow(tx, slot, { serial, hour, firstStart: start, records: 0 }) })
      const sealer = this.withSubkey(key, start, (subkey) => vault.createSealer(subkey, start))
      this.nextSerial++
      this.free.pop()
      return { slot, hour, sealer }
    } finally {
      vault.dropKey(key)
    }
  }

  private derive (slot: number, start: number): KeyHandle {
    const { vault, kv, file, ring } = this.options
    const row = slotRow(kv, slot), held = file.read(slot)
    if (row === undefined || held === undefined || held.serial !== row.serial) {
      throw new KmeError('STORE_CORRUPT', `the key of slot ${slot} is not there: it was erased, or keyslots.bin and the data file are not of one age. Records under it are lost; qkme store check names them`)
    }
    const key = unwrapOr(vault, this.kek, held.wrapped, slotAad(ring, slot, held.serial, held.hour), `the key in slot ${slot} does not verify: records under it are lost; qkme store check names them`)
    try { return this.withSubkey(key, start, (subkey) => subkey, false) } finally { vault.dropKey(key) }
  }

  private fixed (name: keyof typeof FIXED): KeyHandle {
    const { vault, file, ring } = this.options
    const index = FIXED[name], held = file.read(index), aad = slotAad(ring, index, 0, 0)
    if (held !== undefined) return unwrapOr(vault, this.kek, held.wrapped, aad, `the ${name} key in slot ${index} does not verify. Restore a backup into a new folder (qkme restore)`)
    const key = vault.newKey()
    file.write(index, { serial: 0, hour: 0, pool: name, wrapped: vault.wrapKey(this.kek, key, aad) })
    return key
  }

  private withSubkey<T> (key: KeyHandle, start: number, use: (subkey: KeyHandle) => T, drop = true): T {
    const { vault, kv } = this.options
    const subkey = vault.deriveKey(key, saltOf(kv, start), RECORD_INFO)
    try { return use(subkey) } finally { if (drop) vault.dropKey(subkey) }
  }

  private count (tx: KvWriter, slot: number, change: number): void {
    const row = slotRow(tx, slot)
    invariant(row !== undefined && row.records + change >= 0, `slot ${slot} counts its records`)
    putRow(tx, slot, { ...row, records: row.records + change })
  }

  private forget (slot: number): void {
    for (const name of [...this.openers.keys()]) if (name.startsWith(`${slot}/`)) this.dropOpener(name)
  }

  private dropOpener (name: string): void {
    this.last = undefined
    this.options.vault.dropKey(this.openers.get(name) as KeyHandle)
    this.openers.delete(name)
  }
}

const ROW_AAD = new TextEncoder().encode('row')

const unwrapOr = (vault: SealVault, kek: KeyHandle, wrapped: Uint8Array, aad: Uint8Array, why: string): KeyHandle => {
  try {
    return vault.unwrapKey(kek, wrapped, aad)
  } catch (cause) {
    throw new KmeError('STORE_CORRUPT', why, { cause })
  }
}

const slotRow = (reader: KvReader, slot: number): SlotRow | undefined => {
  const bytes = reader.get([SLOT_TABLE, slot])
  if (bytes === undefined) return undefined
  if (bytes.length !== 24) throw new KmeError('STORE_CORRUPT', `the row of key slot ${slot} is damaged. Restore a backup into a new folder (qkme restore)`)
  const view = viewOf(bytes)
  return { serial: view.getUint32(0, true), hour: view.getUint32(4, true), firstStart: view.getUint32(8, true), records: view.getFloat64(16, true) }
}

const putRow = (tx: KvWriter, slot: number, row: SlotRow): void => {
  const bytes = new Uint8Array(24), view = viewOf(bytes)
  view.setUint32(0, row.serial, true)
  view.setUint32(4, row.hour, true)
  view.setUint32(8, row.firstStart, true)
  view.setFloat64(16, row.records, true)
  tx.put([SLOT_TABLE, slot], bytes)
}

/** Every slot with a row, by index. */
export const slotRows = (reader: KvReader): [number, SlotRow][] =>
  [...reader.keys(prefixRange([SLOT_TABLE]))].map((key) => [key[1] as number, slotRow(reader, key[1] as number) as SlotRow])
