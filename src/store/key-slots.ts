/**
 * The file of wrapped seal keys beside the data file. Slots are overwritten in place: that is what makes erasure
 * possible where LMDB would keep old pages.
 *
 *   0     magic "QKMESLOT" | version u32 | slot bytes u32 | generation u32 | 0 u32 | ring 16 | 0 … | MAC 32 at 96
 *   4096  slot 0, slot 1, …: 128 bytes each, never across a sector
 *         state u8 (0 free, 1 used) | 0 … | serial u32 at 4 | hour u32 at 8 | 0 u32 | wrapped key 60 at 16 | pool name 1 + 47 at 76
 * Little endian. The file grows by segments of 512 slots.
 */
import { closeSync, fdatasyncSync, fstatSync, fsyncSync, openSync, readSync } from 'node:fs'
import { timingSafeEqual } from 'node:crypto'
import { invariant, KmeError } from '../kernel/errors.js'
import { overwrite, syncFolder, writeAll } from './files.js'
import { viewOf } from './numbers.js'

export const SLOT_BYTES = 128
export const SLOTS_MAX = 65_536
const HEADER_BYTES = 4096
const SEGMENT_SLOTS = 512
const MAC_AT = 96
const MAGIC = Buffer.from('QKMESLOT')
const POOL_BYTES_MAX = 47

/** What a used slot says. `pool` is shortened to 47 bytes: it is there for people and as associated data. */
export interface Slot { readonly serial: number, readonly hour: number, readonly pool: string, readonly wrapped: Uint8Array }

export interface SlotFileHeader { readonly generation: number, readonly ring: Uint8Array }

/** The MAC over the header's first 96 bytes, under a key derived from the master key. */
export type HeaderMac = (bytes: Uint8Array) => Uint8Array

export class KeySlotFile {
  private constructor (private readonly fd: number, readonly path: string, public slots: number, readonly generation: number) {}

  /** Makes a file with `slots` (by index), synced with its name. Fails if it exists. */
  static create (path: string, header: SlotFileHeader, mac: HeaderMac, slots: ReadonlyMap<number, Slot> = new Map()): KeySlotFile {
    const count = segments(Math.max(0, ...slots.keys()) + 1)
    const bytes = Buffer.alloc(HEADER_BYTES + count * SLOT_BYTES)
    bytes.set(headerBytes(header))
    bytes.set(mac(bytes.subarray(0, MAC_AT)), MAC_AT)
    for (const [index, slot] of slots) bytes.set(slotBytes(slot), HEADER_BYTES + index * SLOT_BYTES)
    const fd = openSync(path, 'wx+', 0o600)
    try {
      writeAll(fd, bytes, 0)
      fsyncSync(fd)
      syncFolder(path)
    } catch (error) { closeSync(fd); throw error }
    return new KeySlotFile(fd, path, count, header.generation)
  }

  /** @throws KmeError `STORE_CORRUPT` (form), `MASTER_KEY_WRONG` (the MAC does not verify) */
  static open (path: string, ring: Uint8Array, mac: HeaderMac): KeySlotFile {
    const fd = openSync(path, 'r+')
    try {
      const { size } = fstatSync(fd)
      const header = Buffer.alloc(HEADER_BYTES)
      const read = readSync(fd, header, 0, HEADER_BYTES, 0)
      if (read !== HEADER_BYTES || !header.subarray(0, 8).equals(MAGIC) || header.readUInt32LE(8) !== 1 || header.readUInt32LE(12) !== SLOT_BYTES ||
        (size - HEADER_BYTES) % SLOT_BYTES !== 0 || !header.subarray(24, 40).equals(ring)) {
        throw new KmeError('STORE_CORRUPT', `${path} is not this store's file of key slots: the key stock cannot be opened. Put the file back from a copy of the whole folder, or start with an empty one`)
      }
      if (!timingSafeEqual(header.subarray(MAC_AT, MAC_AT + 32), mac(header.subarray(0, MAC_AT)))) {
        throw new KmeError('MASTER_KEY_WRONG', `${path} was written under another master key`)
      }
      return new KeySlotFile(fd, path, (size - HEADER_BYTES) / SLOT_BYTES, header.readUInt32LE(16))
    } catch (error) { closeSync(fd); throw error }
  }

  /** Undefined if the slot is free. */
  read (index: number): Slot | undefined {
    if (index >= this.slots) return undefined
    const bytes = this.raw(index)
    if (bytes[0] !== 1) return undefined
    const length = bytes[76] as number
    return { serial: bytes.readUInt32LE(4), hour: bytes.readUInt32LE(8), wrapped: new Uint8Array(bytes.subarray(16, 76)), pool: bytes.toString('utf8', 77, 77 + Math.min(length, POOL_BYTES_MAX)) }
  }

  /** Writes a slot, on the disk when it returns. @throws KmeError `STORE_UNAVAILABLE` if it does not read back. */
  write (index: number, slot: Slot): void {
    if (index >= this.slots) this.grow(index)
    const bytes = slotBytes(slot)
    writeAll(this.fd, bytes, place(index))
    fdatasyncSync(this.fd)
    if (!this.raw(index).equals(bytes)) throw new KmeError('STORE_UNAVAILABLE', `slot ${index} of ${this.path} does not read back as written: the disk is not to be trusted`)
  }

  /** Overwrites a slot with random bytes, then zeros, each on the disk: the key in it is gone. */
  erase (index: number): void {
    if (index >= this.slots) return
    overwrite(this.fd, place(index), SLOT_BYTES)
    if (this.raw(index).some((byte) => byte !== 0)) throw new KmeError('STORE_UNAVAILABLE', `slot ${index} of ${this.path} could not be erased: the disk is not to be trusted`)
  }

  /** Erases every slot, used or not. */
  eraseAll (): void {
    for (let at = 0; at < this.slots; at += SEGMENT_SLOTS) overwrite(this.fd, place(at), Math.min(SEGMENT_SLOTS, this.slots - at) * SLOT_BYTES)
  }

  /** Indexes of the used slots. */
  used (): number[] { return Array.from({ length: this.slots }, (_, i) => i).filter((i) => this.raw(i)[0] !== 0) }

  close (): void { closeSync(this.fd) }

  private raw (index: number): Buffer {
    const bytes = Buffer.alloc(SLOT_BYTES)
    readSync(this.fd, bytes, 0, SLOT_BYTES, place(index))
    return bytes
  }

  private grow (index: number): void {
    invariant(index < SLOTS_MAX, 'a slot index is below 65536')
    const count = segments(index + 1)
    writeAll(this.fd, Buffer.alloc((count - this.slots) * SLOT_BYTES), place(this.slots))
    fsyncSync(this.fd)
    this.slots = count
  }
}

const place = (index: number): number => HEADER_BYTES + index * SLOT_BYTES
const segments = (slots: number): number => Math.ceil(slots / SEGMENT_SLOTS) * SEGMENT_SLOTS

const headerBytes = ({ generation, ring }: SlotFileHeader): Buffer => {
  const bytes = Buffer.alloc(MAC_AT)
  bytes.set(MAGIC)
  bytes.writeUInt32LE(1, 8)
  bytes.writeUInt32LE(SLOT_BYTES, 12)
  bytes.writeUInt32LE(generation, 16)
  bytes.set(ring, 24)
  return bytes
}

const slotBytes = ({ serial, hour, pool, wrapped }: Slot): Buffer => {
  invariant(wrapped.length === 60, 'a wrapped key has 60 bytes')
  const bytes = Buffer.alloc(SLOT_BYTES)
  bytes[0] = 1
  const name = Buffer.from(pool).subarray(0, POOL_BYTES_MAX)
  bytes.set(wrapped, 16)
  bytes[76] = name.length
  bytes.set(name, 77)
  const view = viewOf(bytes)
  view.setUint32(4, serial, true)
  view.setUint32(8, hour, true)
  return bytes
}

/** What is authenticated with a wrapped seal key: a slot's content cannot stand in for another's. */
export const slotAad = (ring: Uint8Array, index: number, serial: number, hour: number): Uint8Array => {
  const bytes = new Uint8Array(28)
  bytes.set(ring)
  const view = viewOf(bytes)
  view.setUint32(16, index, true)
  view.setUint32(20, serial, true)
  view.setUint32(24, hour, true)
  return bytes
}
