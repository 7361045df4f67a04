/**
 * Another master key without rewriting a record. Every step can be cut:
 *  1. keyslots.bin.new: every key of keyslots.bin wrapped anew, the generation one higher, synced with its name;
 *  2. one transaction puts the new check value and generation into the data file, flushed: from here the new key counts;
 *  3. keyslots.bin.new takes the name keyslots.bin; the old file's content is overwritten.
 * Opening a store finishes step 3 or takes step 1 back (`settleSlotFile`).
 */
import { existsSync, renameSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyHandle } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import { overwriteFile, syncFolder } from './files.js'
import { KeySlotFile, slotAad, type HeaderMac, type Slot } from './key-slots.js'
import type { Kv } from './kv.js'
import { KEY_INFO, type KeyVault } from './master-key.js'
import { META } from './meta.js'
import { u32 } from './numbers.js'

export const SLOT_FILE = 'keyslots.bin'
const NEW_SUFFIX = '.new', OLD_SUFFIX = '.old'

/** The header's MAC under a key derived from `master`. The derived key lives only for the call. */
export const headerMac = (vault: KeyVault, master: KeyHandle, ring: Uint8Array): HeaderMac => (bytes) => {
  const key = vault.deriveKey(master, ring, KEY_INFO.slotFile)
  try { return vault.hmac(key, bytes) } finally { vault.dropKey(key) }
}

export interface Rotation {
  readonly vault: KeyVault
  readonly kv: Kv
  readonly folder: string
  readonly ring: Uint8Array
  readonly from: KeyHandle
  readonly to: KeyHandle
  /** For tests: called before each step, and may throw in its place. */
  readonly before?: (step: 'write' | 'commit' | 'rename' | 'overwrite') => void
}

/**
 * Rewraps everything. The store must be locked and nothing may allocate slots meanwhile: `qkme store rotate` opens it
 * for this alone. Both handles stay the caller's. @returns how many keys were rewrapped.
 * @throws KmeError `STORE_CORRUPT` if a slot does not verify (nothing is changed then), `STORE_UNAVAILABLE`, `STORE_FULL`
 */
export const rotateMasterKey = async (rotation: Rotation): Promise<number> => {
  const { vault, kv, folder, ring, from, to, before } = rotation
  const path = join(folder, SLOT_FILE)
  const old = KeySlotFile.open(path, ring, headerMac(vault, from, ring))
  const generation = old.generation + 1
  let count = 0
  try {
    const slots = rewrap(rotation, old)
    count = slots.size
    before?.('write')
    removeIfThere(path + NEW_SUFFIX)
    KeySlotFile.create(path + NEW_SUFFIX, { generation, ring }, headerMac(vault, to, ring), slots).close()
  } finally {
    old.close()
  }
  before?.('commit')
  kv.transact((tx) => {
    tx.put(META.check, vault.keyCheck(to))
    tx.put(META.slotGeneration, u32(generation))
  })
  await kv.flushed()
  before?.('rename')
  finish(path, before)
  return count
}

const rewrap = ({ vault, ring, from, to }: Rotation, file: KeySlotFile): Map<number, Slot> => {
  const oldKek = vault.deriveKey(from, ring, KEY_INFO.slots), newKek = vault.deriveKey(to, ring, KEY_INFO.slots)
  const slots = new Map<number, Slot>()
  try {
    for (const index of file.used()) {
      const slot = file.read(index)
      if (slot === undefined) continue // Half erased: the next start erases it again.
      const aad = slotAad(ring, index, slot.serial, slot.hour)
      const key = vault.unwrapKey(oldKek, slot.wrapped, aad)
      try { slots.set(index, { ...slot, wrapped: vault.wrapKey(newKek, key, aad) }) } finally { vault.dropKey(key) }
    }
  } catch (cause) {
    throw new KmeError('STORE_CORRUPT', 'a key slot does not verify, so the master key was not changed. Run qkme store check', { cause })
  } finally {
    vault.dropKey(oldKek)
    vault.dropKey(newKek)
  }
  return slots
}

/** Step 3: the old file stays reachable until its content is overwritten. */
const finish = (path: string, before?: Rotation['before']): void => {
  if (!existsSync(path + OLD_SUFFIX)) renameSync(path, path + OLD_SUFFIX)
  renameSync(path + NEW_SUFFIX, path)
  syncFolder(path)
  before?.('overwrite')
  overwriteFile(path + OLD_SUFFIX)
  unlinkSync(path + OLD_SUFFIX)
  syncFolder(path)
}

/** Opens keyslots.bin as the data file's generation says, finishing or taking back a rotation that was cut. @throws KmeError `STORE_CORRUPT`, `MASTER_KEY_WRONG` */
export const settleSlotFile = (folder: string, ring: Uint8Array, generation: number, mac: HeaderMac): KeySlotFile => {
  const path = join(folder, SLOT_FILE)
  const committed = existsSync(path + NEW_SUFFIX) && generationOf(path + NEW_SUFFIX, ring, mac) === generation
  if (committed) finish(path)
  else removeIfThere(path + NEW_SUFFIX)
  if (existsSync(path + OLD_SUFFIX) && existsSync(path)) {
    overwriteFile(path + OLD_SUFFIX)
    unlinkSync(path + OLD_SUFFIX)
    syncFolder(path)
  }
  if (!existsSync(path)) throw new KmeError('STORE_CORRUPT', `${path} is missing: the key stock cannot be opened. Put the file back from a copy of the whole folder, or start with an empty one`)
  const file = KeySlotFile.open(path, ring, mac)
  if (file.generation === generation) return file
  file.close()
  throw new KmeError('STORE_CORRUPT', `${path} has generation ${file.generation}, the data file wants ${generation}: they are not of one age. Restore the whole folder, never one file of it`)
}

/** Undefined if the file is not whole or not under this master key. */
const generationOf = (path: string, ring: Uint8Array, mac: HeaderMac): number | undefined => {
  try {
    const file = KeySlotFile.open(path, ring, mac)
    file.close()
    return file.generation
  } catch (error) {
    if (error instanceof KmeError) return undefined
    throw error
  }
}

const removeIfThere = (path: string): void => {
  if (!existsSync(path)) return
  overwriteFile(path)
  unlinkSync(path)
  syncFolder(path)
}
