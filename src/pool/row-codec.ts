/**
 * Rows that are written for each block or batch of frames, in fixed binary form, a tenth of msgpack's time: a block, its frames,
 * an account, and of a pool's row what changes all the time. The first octet is one that no msgpack begins with, so that rows of both forms are read. Little endian:
 *   c1 | kind u8 | body
 *   block    state u8, owner u8, purpose u8, 0, number f64, lane f64, epoch f64, bytes f64, index f64, spent f64, born f64, born wall f64, closed f64
 *   frames   per frame: link u32, offset u32, length u32, id 16 bytes
 *   placed   the same, and per frame the shared row that its record lies in f64 and as which of its records u8, 255 if it has a row of its own
 *   meta     10 numbers f64 (HOT_NUMBERS, then both pad positions), then the other members as msgpack
 *   account  8 sums f64, then per cause of burned bytes: length u8, cause (latin1), bytes f64
 */
import { invariant, KmeError } from '../kernel/errors.js'
import type { AccountRow, BlockRow, BlockState, FrameRef, MetaRow, Owner, Purpose } from './rows.js'

export const FIXED_MARK = 0xc1
const KIND = { block: 1, frames: 2, account: 3, meta: 4, placed: 5 } as const
const STATES: readonly BlockState[] = ['proposed', 'accepted', 'usable', 'open', 'closed']
const OWNERS: readonly Owner[] = ['mine', 'theirs']
const PURPOSES: readonly Purpose[] = ['app', 'auth', 'id']
const BLOCK_NUMBERS = ['number', 'lane', 'epoch', 'bytes', 'index', 'spent', 'bornMs', 'bornWallMs', 'closedMs'] as const
const ACCOUNT_SUMS = ['ingested', 'leased', 'delivered', 'relay', 'authentication', 'confirmation', 'idKeys', 'blocksErased'] as const
const HOT_NUMBERS = ['highestBlock', 'horizonMine', 'horizonTheirs', 'lastSent', 'lastProcessed', 'tombstones'] as const
const HOT = new Set<string>([...HOT_NUMBERS, 'padMine', 'padTheirs'])
const HOT_END = 2 + 8 * (HOT_NUMBERS.length + 4)
const HEAD_BYTES = 6, FRAME_BYTES = 28, PLACED_BYTES = FRAME_BYTES + 9, ALONE = 255, ID_HEX = 32, CAUSE_MAX = 255

// Whoever adds a member to a row must add it here: else these do not compile.
type Missing<Row, Known> = Exclude<keyof Row, Known> extends never ? true : never
const complete: [Missing<BlockRow, typeof BLOCK_NUMBERS[number] | 'state' | 'owner' | 'purpose'>, Missing<AccountRow, typeof ACCOUNT_SUMS[number] | 'burned'>, Missing<FrameRef, 'link' | 'id' | 'offset' | 'length' | 'at'>] = [true, true, true]
void complete

const damaged = (): KmeError => new KmeError('STORE_CORRUPT', 'a row of a pool is damaged. Run qkme store check, and restore a backup (qkme restore)')

const start = (kind: number, bytes: number): Buffer => {
  const out = Buffer.alloc(bytes)
  out[0] = FIXED_MARK
  out[1] = kind
  return out
}

/** A new buffer, the caller's. */
export const encodeBlock = (row: BlockRow): Uint8Array => {
  const out = start(KIND.block, HEAD_BYTES + 8 * BLOCK_NUMBERS.length)
  out[2] = STATES.indexOf(row.state)
  out[3] = OWNERS.indexOf(row.owner)
  out[4] = PURPOSES.indexOf(row.purpose)
  out.writeDoubleLE(row.number, 6)
  out.writeDoubleLE(row.lane, 14)
  out.writeDoubleLE(row.epoch, 22)
  out.writeDoubleLE(row.bytes, 30)
  out.writeDoubleLE(row.index, 38)
  out.writeDoubleLE(row.spent, 46)
  out.writeDoubleLE(row.bornMs, 54)
  out.writeDoubleLE(row.bornWallMs, 62)
  out.writeDoubleLE(row.closedMs, 70)
  return out
}

const decodeBlock = (bytes: Buffer): BlockRow => {
  const state = STATES[bytes[2]!], owner = OWNERS[bytes[3]!], purpose = PURPOSES[bytes[4]!]
  if (bytes.length !== HEAD_BYTES + 8 * BLOCK_NUMBERS.length || state === undefined || owner === undefined || purpose === undefined) throw damaged()
  const number = (i: number): number => bytes.readDoubleLE(HEAD_BYTES + 8 * i)
  return {
    number: number(0), owner, purpose, lane: number(1), epoch: number(2), state, bytes: number(3), index: number(4), spent: number(5),
    bornMs: number(6), bornWallMs: number(7), closedMs: number(8),
  }
}

/** A new buffer, the caller's. An id has 32 hex digits. */
export const encodeFrames = (frames: readonly FrameRef[]): Uint8Array => {
  const isPlaced = frames.some((frame) => frame.at !== undefined), bytes = isPlaced ? PLACED_BYTES : FRAME_BYTES
  const out = start(isPlaced ? KIND.placed : KIND.frames, 2 + bytes * frames.length)
  let at = 2, before = ''
  for (const { link, id, offset, length, at: place } of frames) {
    out.writeUInt32LE(link, at)
    out.writeUInt32LE(offset, at + 4)
    out.writeUInt32LE(length, at + 8)
    if (id === before) out.copyWithin(at + 12, at + 12 - bytes, at + FRAME_BYTES - bytes)
    else invariant(id.length === ID_HEX && out.write(id, at + 12, 'hex') === ID_HEX / 2, 'a frame id has 32 hex digits')
    before = id
    if (isPlaced) out[out.writeDoubleLE(place?.row ?? 0, at + FRAME_BYTES)] = place?.index ?? ALONE
    at += bytes
  }
  return out
}

/** The names in such a row, as `NativeVault.loadRecent` reads them. */
export const frameNames = (row: Uint8Array): { readonly names: Uint8Array, readonly stride: number } =>
  ({ names: row.subarray(2), stride: row[1] === KIND.placed ? PLACED_BYTES : FRAME_BYTES })

/** Frames of one device block stand one after the other: their name is made once. */
const isSameId = (bytes: Buffer, a: number, b: number): boolean => {
  for (let i = 12; i < FRAME_BYTES; i += 4) if (bytes.readInt32LE(a + i) !== bytes.readInt32LE(b + i)) return false
  return true
}

const decodeFrames = (bytes: Buffer): FrameRef[] => {
  const isPlaced = bytes[1] === KIND.placed, frameBytes = isPlaced ? PLACED_BYTES : FRAME_BYTES
  if ((bytes.length - 2) % frameBytes !== 0) throw damaged()
  const frames: FrameRef[] = []
  for (let at = 2, id = ''; at < bytes.length; at += frameBytes) {
    if (at === 2 || !isSameId(bytes, at, at - frameBytes)) id = bytes.toString('hex', at + 12, at + FRAME_BYTES)
    const frame = { link: bytes.readUInt32LE(at), id, offset: bytes.readUInt32LE(at + 4), length: bytes.readUInt32LE(at + 8) }
    const index = isPlaced ? bytes[at + PLACED_BYTES - 1]! : ALONE
    frames.push(index === ALONE ? frame : { ...frame, at: { row: bytes.readDoubleLE(at + FRAME_BYTES), index } })
  }
  return frames
}

/** A new buffer, the caller's. */
export const encodeAccount = (row: AccountRow): Uint8Array => {
  const causes = Object.keys(row.burned)
  const out = start(KIND.account, 2 + 8 * ACCOUNT_SUMS.length + causes.reduce((sum, cause) => sum + 9 + cause.length, 0))
  let at = 2
  for (const sum of ACCOUNT_SUMS) at = out.writeDoubleLE(row[sum], at)
  for (const cause of causes) {
    invariant(cause.length <= CAUSE_MAX, 'a cause has at most 255 letters')
    out[at] = cause.length
    at += 1 + out.write(cause, at + 1, 'latin1')
    at = out.writeDoubleLE(row.burned[cause]!, at)
  }
  return out
}

const decodeAccount = (bytes: Buffer): AccountRow => {
  const sumsEnd = 2 + 8 * ACCOUNT_SUMS.length
  if (bytes.length < sumsEnd) throw damaged()
  const burned: Record<string, number> = {}
  for (let at = sumsEnd; at < bytes.length;) {
    const end = at + 1 + bytes[at]!
    if (end + 8 > bytes.length) throw damaged()
    burned[bytes.toString('latin1', at + 1, end)] = bytes.readDoubleLE(end)
    at = end + 8
  }
  const sums = Object.fromEntries(ACCOUNT_SUMS.map((sum, i) => [sum, bytes.readDoubleLE(2 + 8 * i)])) as Record<typeof ACCOUNT_SUMS[number], number>
  return { ...sums, burned }
}

type Pack = (members: object) => Uint8Array
type Unpack = (bytes: Uint8Array) => unknown

/** Writes a pool's meta row again and again: what seldom changes is packed only when one of its values is another. */
export class MetaEncoder {
  private cold: unknown[] = []
  private packed = new Uint8Array(0)

  constructor (private readonly pack: Pack) {}

  /** A new buffer, the caller's. */
  encode (meta: MetaRow): Uint8Array {
    const values = Object.values(meta) as unknown[]
    if (values.length !== this.cold.length || this.hasChanged(meta, values)) this.packed = Uint8Array.from(this.pack(Object.fromEntries(Object.entries(meta).filter(([name]) => !HOT.has(name)))))
    this.cold = values
    const out = start(KIND.meta, HOT_END + this.packed.length)
    let at = 2
    for (const name of HOT_NUMBERS) at = out.writeDoubleLE(meta[name], at)
    for (const { block, offset } of [meta.padMine, meta.padTheirs]) at = out.writeDoubleLE(offset, out.writeDoubleLE(block, at))
    out.set(this.packed, at)
    return out
  }

  private hasChanged (meta: MetaRow, values: readonly unknown[]): boolean {
    let i = 0
    for (const name in meta) {
      if (values[i] !== this.cold[i] && !HOT.has(name)) return true
      i++
    }
    return false
  }
}

const decodeMeta = (bytes: Buffer, unpack: Unpack): MetaRow => {
  if (bytes.length < HOT_END) throw damaged()
  const number = (i: number): number => bytes.readDoubleLE(2 + 8 * i), pads = HOT_NUMBERS.length
  const hot = Object.fromEntries(HOT_NUMBERS.map((name, i) => [name, number(i)])) as Record<typeof HOT_NUMBERS[number], number>
  return {
    ...unpack(bytes.subarray(HOT_END)) as MetaRow, ...hot,
    padMine: { block: number(pads), offset: number(pads + 1) }, padTheirs: { block: number(pads + 2), offset: number(pads + 3) },
  }
}

/** A row in this form; `unpack` reads msgpack. @throws KmeError `STORE_CORRUPT` */
export const decodeFixed = (row: Uint8Array, unpack: Unpack): BlockRow | FrameRef[] | AccountRow | MetaRow => {
  const bytes = Buffer.from(row.buffer, row.byteOffset, row.length)
  switch (bytes[1]) {
    case KIND.block: return decodeBlock(bytes)
    case KIND.frames: case KIND.placed: return decodeFrames(bytes)
    case KIND.account: return decodeAccount(bytes)
    case KIND.meta: return decodeMeta(bytes, unpack)
    default: throw damaged()
  }
}
