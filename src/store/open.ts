/** Opening a store: everything that must be true before anything is spent from it. */
import { existsSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { timingSafeEqual } from 'node:crypto'
import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import type { Clock } from '../kernel/time.js'
import type { KeyHandle } from '../device/native.js'
import { StoreAge } from './age.js'
import { removeUnfinishedCopy } from './compact.js'
import { prepareFolder } from './folder.js'
import { KeySlotFile } from './key-slots.js'
import type { Kv, KvWriter } from './kv.js'
import { openLmdbKv, type LmdbOptions } from './lmdb.js'
import { lockStore } from './lock.js'
import { openMasterKey, type MasterKeySource } from './master-key.js'
import { META } from './meta.js'
import { readU32, u32 } from './numbers.js'
import { headerMac, settleSlotFile, SLOT_FILE } from './rotate.js'
import { migrate, putSchema, SCHEMA, schemaOf, type Migration } from './schema.js'
import { SealKeys, slotRows, type SealVault } from './seal-keys.js'
import { decodeStamp, encodeStamp, stampDifference, takeStamp, type Stamp } from './stamp.js'
import { countStart, knowsStart, type Start } from './starts.js'

export interface StoreOptions {
  readonly folder: string
  readonly master: MasterKeySource
  readonly vault: SealVault
  readonly random: Random
  readonly clock: Clock
  readonly mapBytes: number
  readonly reserveBytes: number
  /** What to do with a copied store: refuse to start, or have the engine void all stock. */
  readonly copies: 'void' | 'refuse'
  /** Default /etc/machine-id. */
  readonly machineIdPath?: string
  /** Whether a store is made where there is none. */
  readonly create: boolean
  /** A write in the background failed: the process must end. */
  readonly onFailure: (error: unknown) => void
  /** Opens the data file; default `openLmdbKv`. Tests put a store that fails between. */
  readonly openKv?: (options: LmdbOptions) => Promise<Kv>
  /** For tests of the mechanism. */
  readonly schema?: { readonly target: number, readonly steps: readonly Migration[] }
}

/** Why all stock of the store must be voided, on both sides, before anything is spent from it. */
export interface VoidReason { readonly reason: 'copied' | 'restored' | 'zeroized', readonly detail: string }

export interface Store {
  readonly kv: Kv
  readonly folder: string
  /** 16 bytes. Already the new identity if `mustVoid` is set. */
  readonly storeId: Uint8Array
  /** This start: its number and nonce make the incarnation. */
  readonly start: Start
  readonly keys: SealKeys
  readonly age: StoreAge
  /** 16 bytes, salt of what is derived from the master key. */
  readonly ring: Uint8Array
  readonly master: KeyHandle
  /** Set until `confirmVoid` is durable; opening the store again reports it again. */
  readonly mustVoid: VoidReason | undefined
  /** What was migrated, for the log. */
  readonly migrated: readonly string[]
  known (number: number, nonce: Uint8Array): boolean
  /** To be called in the transaction that voids all stock: the store is itself again, under its new ID. */
  confirmVoid (tx: KvWriter): void
  /** Overwrites every key slot on the disk and marks the store. Nothing works afterwards but `close`. */
  zeroize (): Promise<void>
  close (): Promise<void>
}

const DATA_FOLDER = 'db'

/**
 * Opens or makes a store. On any failure everything is released again.
 * @throws KmeError `STORE_LOCKED`, `STORE_FULL`, `STORE_UNAVAILABLE`, `STORE_NEWER`, `STORE_CORRUPT`, `STORE_COPIED`, `MASTER_KEY_WRONG`, `MASTER_KEY_MISSING`
 */
export const openStore = async (options: StoreOptions): Promise<Store> => {
  prepareFolder(options)
  const undo: (() => unknown)[] = []
  try {
    const lock = await lockStore(options.folder, options.random)
    undo.push(() => lock.release())
    removeUnfinishedCopy(options.folder)
    const kv = await (options.openKv ?? openLmdbKv)({ folder: join(options.folder, DATA_FOLDER), mapBytes: options.mapBytes, reserveBytes: options.reserveBytes })
    undo.push(() => kv.close())
    const target = options.schema?.target ?? SCHEMA
    const schema = schemaOf(kv)
    if (schema !== undefined && schema > target) await migrate(kv, target) // Refuses, before the master key is asked for.
    const master = openMasterKey(options.vault, options.master, options.folder, schema === undefined ? options.random : undefined)
    undo.push(() => { options.vault.dropKey(master) })
    if (schema === undefined) await initialise(options, kv, master, target)
    else checkMaster(options, kv, master)
    const migrated = await migrate(kv, target, options.schema?.steps)
    return await finish(options, kv, master, migrated, undo)
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

const finish = async (options: StoreOptions, kv: Kv, master: KeyHandle, migrated: string[], undo: (() => unknown)[]): Promise<Store> => {
  const { folder, vault, random, clock } = options
  const ring = row(kv, META.ring, 16)
  const stamp = takeStamp(join(folder, DATA_FOLDER, 'data.mdb'), options.machineIdPath ?? '/etc/machine-id')
  const mustVoid = reasonToVoid(kv, stamp)
  if (mustVoid?.reason === 'copied' && options.copies === 'refuse') {
    throw new KmeError('STORE_COPIED', `${folder} is a copy: ${mustVoid.detail}. Two copies of one stock would give the same key twice. Start the original; or set store.copies to void, which voids this store's stock at both ends and goes on`)
  }
  const file = settleSlotFile(folder, ring, readU32(row(kv, META.slotGeneration, 4)), headerMac(vault, master, ring))
  undo.push(() => { file.close() })
  const age = new StoreAge(kv, clock, options.onFailure)
  undo.push(() => { age.close() })
  const start = await countStart(kv, random, (next) => slotRows(kv).reduce((min, [, slot]) => Math.min(min, slot.firstStart), next))
  const keys = await SealKeys.open({ vault, kv, clock, master, ring, start: start.number, file })
  undo.push(() => { keys.close() })
  const storeId = mustVoid === undefined ? row(kv, META.storeId, 16) : random.bytes(16)
  return {
    kv, folder, storeId, start, keys, age, ring, master, mustVoid, migrated,
    known: (number, nonce) => knowsStart(kv, number, nonce),
    confirmVoid: (tx) => {
      tx.put(META.storeId, storeId)
      tx.put(META.stamp, encodeStamp(stamp))
      tx.remove(META.void)
    },
    zeroize: async () => {
      keys.zeroize() // First the keys: a failing data file must not keep them alive.
      kv.transact((tx) => { tx.put(META.void, new TextEncoder().encode('zeroized')) })
      await kv.flushed()
    },
    close: async () => { for (const step of undo.reverse().splice(0)) await step() },
  }
}

const initialise = async (options: StoreOptions, kv: Kv, master: KeyHandle, schema: number): Promise<void> => {
  const { folder, vault, random } = options
  if (!options.create) throw new KmeError('STORE_UNAVAILABLE', `there is no store in ${folder}. Check store.folder; qkme serve makes one`)
  const path = join(folder, SLOT_FILE)
  if (existsSync(path)) {
    if (!kv.has(META.ring)) throw new KmeError('STORE_CORRUPT', `${path} is there, but the data file is empty: a part of the store was removed. Put the whole folder back, or move ${path} away to begin with an empty store`)
    unlinkSync(path) // An earlier first start was cut: nothing was ever sealed.
  }
  const ring = random.bytes(16)
  kv.transact((tx) => {
    tx.put(META.ring, ring)
    tx.put(META.storeId, random.bytes(16))
    tx.put(META.check, vault.keyCheck(master))
    tx.put(META.slotGeneration, u32(1))
    tx.put(META.stamp, encodeStamp(takeStamp(join(folder, DATA_FOLDER, 'data.mdb'), options.machineIdPath ?? '/etc/machine-id')))
  })
  await kv.flushed()
  KeySlotFile.create(path, { generation: 1, ring }, headerMac(vault, master, ring)).close()
  kv.transact((tx) => { putSchema(tx, schema) }) // Last: a store is one when it has a schema.
  await kv.flushed()
}

const checkMaster = (options: StoreOptions, kv: Kv, master: KeyHandle): void => {
  if (timingSafeEqual(row(kv, META.check, 16), options.vault.keyCheck(master))) return
  const where = 'keyFile' in options.master ? options.master.keyFile : options.master.passphraseFile
  throw new KmeError('MASTER_KEY_WRONG', `${where} is not the master key of the store in ${options.folder}. Use the one it was made or last rotated with; without it the key stock is lost, and a new store must be begun in another folder`)
}

const reasonToVoid = (kv: Kv, here: Stamp): VoidReason | undefined => {
  const marked = kv.get(META.void)
  if (marked !== undefined) {
    const reason = Buffer.from(marked).toString() === 'restored' ? 'restored' : 'zeroized'
    return { reason, detail: reason === 'restored' ? 'it was restored from a backup' : 'its keys were zeroized' }
  }
  const kept = decodeStamp(row(kv, META.stamp))
  const different = stampDifference(kept, here)
  if (different.length === 0) return undefined
  return { reason: 'copied', detail: different.map((field) => `${field} was ${kept[field] || 'unknown'} and is ${here[field] || 'unknown'}`).join('; ') }
}

const row = (kv: Kv, key: readonly string[], length?: number): Uint8Array => {
  const bytes = kv.get(key)
  if (bytes === undefined || (length !== undefined && bytes.length !== length)) throw new KmeError('STORE_CORRUPT', `the row ${key.join('/')} is missing or damaged. Restore a backup into a new folder (qkme restore)`)
  return bytes
}
