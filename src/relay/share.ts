import { META_NUMBERS, RECORD_STRIDE, type BlockHandle } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import { PART_FRAMES_MAX } from '../peer/messages.js'
import { makeRecordHeader, moveInHeader, RECORD_KIND } from '../store/record.js'
import type { DeskPorts, RelayedPool, SealWith } from './ports.js'

export const FRAME_BYTES_MAX = 3_968
const CONFIRM_BYTES = 48
const HEADER_BYTES = 64
const NAME_BYTES = 28
/** A part of a share holds at least something beside its confirmation. */
export const PART_BYTES_MIN = 64
/** What jobs under way are counted in. */
export const PART_BYTES_MAX = PART_FRAMES_MAX * FRAME_BYTES_MAX
/** Offsets in names are in units of 32 bytes. */
const OFFSET_UNITS = FRAME_BYTES_MAX / 32
/** A share is a block that is in no pool and never named. */
const NAMELESS = 0

/** Bits that went or came over one path, sealed in this process' memory: they are lost with it, and burned everywhere by that. The records lie in `memory`. */
export interface Share { readonly frames: readonly number[], readonly records: readonly Uint8Array[], readonly memory: Uint8Array, readonly path: readonly KmeId[] }

/** Sealed frames as `Pool.ingest` takes them. */
export interface Joined { readonly records: Uint8Array, readonly meta: Uint32Array, readonly count: number }

export interface Verdict {
  /** Our tags: of each share, those of its parts. */
  readonly tags: Uint8Array[][]
  /** What the other side's tags must be. */
  readonly expected: Uint8Array[][]
  readonly joined: Joined
}

/** What the addon and the store throw has a code; a job that meets these is given up and the process goes on. */
export const isPassing = (error: unknown): boolean =>
  ['ARENA_FULL', 'STORE_CORRUPT', 'STORE_FULL', 'PROTOCOL'].includes(String((error as { code?: unknown } | null)?.code))

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** What seals one frame: it gets a sealer, the frame's header and where the record goes, and says how long that is. */
export type Seal = (sealer: number, header: Uint8Array, out: Uint8Array) => number

/** Seals the frames of one share or job one after the other, under one key: records lie RECORD_STRIDE apart, as `Pool.ingest` takes them. */
export class FrameSealer {
  readonly records: Uint8Array
  private readonly sealer: number
  private readonly header: Uint8Array
  private count = 0

  /** @param framesMax As many may follow. Whoever made it gives `records` back. */
  constructor (p: DeskPorts, pool: RelayedPool, job: Uint8Array, framesMax: number) {
    const { sealer, slot } = p.keys.sealer(pool.poolId)
    this.sealer = sealer
    this.records = p.memory.take(framesMax)
    this.header = makeRecordHeader(RECORD_KIND.relayed, { link: pool.link, id: hex(job), offset: 0 }, 0, slot, p.start)
  }

  /** @returns the record, in `records`. */
  seal (length: number, seal: Seal): Uint8Array {
    const at = this.count * RECORD_STRIDE
    moveInHeader(this.header, this.count * OFFSET_UNITS, length)
    return this.added(seal(this.sealer, this.header, this.records.subarray(at, at + RECORD_STRIDE)))
  }

  /** Takes a record of the same frame, whose payload has `length` bytes, if it is sealed under the same name and key already. */
  keep (record: Uint8Array, length: number): Uint8Array | undefined {
    moveInHeader(this.header, this.count * OFFSET_UNITS, length)
    if (Buffer.compare(this.header, record.subarray(0, HEADER_BYTES)) !== 0) return undefined
    this.records.set(record, this.count * RECORD_STRIDE)
    return this.added(record.length)
  }

  /** Records may share a row of the store with what lies between them: nothing old. */
  private added (bytes: number): Uint8Array {
    const at = this.count++ * RECORD_STRIDE
    this.records.fill(0, at + bytes, at + RECORD_STRIDE)
    return this.records.subarray(at, at + bytes)
  }
}

/** So many parts of a share that have a confirmation each. */
export const partsIn = (frames: readonly number[]): number => Math.ceil(frames.length / PART_FRAMES_MAX)

/** One of them. */
export const partOf = <T>(all: readonly T[], part: number): readonly T[] => all.slice(part * PART_FRAMES_MAX, (part + 1) * PART_FRAMES_MAX)

/** Jobs under way are bounded by their parts: that is what they hold of memory. */
export const partsOfBytes = (bytes: number): number => Math.ceil(bytes / PART_BYTES_MAX)

const encoder = new TextEncoder()

/** What the tag of a part of one share covers beside its bits: whatever a node between could have changed. */
const canonical = (job: Uint8Array, index: number, shares: number, part: number, exchange: Uint8Array | null, share: Share): Uint8Array =>
  encoder.encode(JSON.stringify([hex(job), index, shares, part, exchange === null ? null : hex(exchange), share.path, share.frames]))

/**
 * Opens all shares of a job, part by part, makes the tags of both sides and joins the shares to frames. `role` is 1 at the destination, which
 * speaks first, and 2 at the source. The last 48 bytes of each part are k1, k2 and k3 of its tags (design 3.3). The nodes of a path know all
 * of these, and could change bits and k2, k3 so that the tags fit again: that is what `challenge` is for, which the destination draws when it has all shares, and of which they never hear.
 * Shares of which one has crumbs of frames may have more parts than another: what goes beyond the least is left out.
 *
 * @throws errors that `isPassing` knows: the job is given up.
 */
export const examine = (p: DeskPorts, pool: RelayedPool, job: Uint8Array, shares: readonly Share[], exchange: Uint8Array | null, challenge: Uint8Array, role: 1 | 2): Verdict => {
  const parts = Math.min(...shares.map((share) => partsIn(share.frames)))
  const tags = shares.map((): Uint8Array[] => []), expected = shares.map((): Uint8Array[] => []), joining = new Joining(p, pool, job, exchange, parts * PART_FRAMES_MAX)
  for (let part = 0; part < parts; part++) {
    const these = shares.map(({ frames, records, memory, path }): Share => ({ frames: partOf(frames, part), records: partOf(records, part), memory, path }))
    const blocks: BlockHandle[] = []
    try {
      for (const share of these) blocks.push(load(p, share, role === 1 && isOneShare(pool)))
      blocks.forEach((block, i) => {
        const m = canonical(job, i, shares.length, part, exchange, these[i]!)
        tags[i]!.push(p.vault.confirmTag(block, role, m, challenge))
        expected[i]!.push(p.vault.confirmTag(block, 3 - role as 1 | 2, m, challenge))
      })
      joining.add(these, blocks)
    } finally {
      for (const block of blocks) p.vault.dropBlock(block)
    }
  }
  return { tags, expected, joined: joining.joined }
}

/**
 * Whether its jobs are one share, of which nothing but the last frame of a part is changed when it is joined. Then share and joined block have the
 * same names, and what is known of the one by its name is true of the other.
 */
export const isOneShare = (pool: RelayedPool): boolean => pool.paths === 1 && !pool.hybrid

/** The frames' names, as `loadRecent` reads them: link, offset, length, device block. */
const namesOf = (records: readonly Uint8Array[]): Uint8Array => {
  const names = new Uint8Array(records.length * NAME_BYTES)
  records.forEach((record, i) => {
    names.set(record.subarray(4, 8), i * NAME_BYTES)
    names.set(record.subarray(24, 32), i * NAME_BYTES + 4)
    names.set(record.subarray(8, 24), i * NAME_BYTES + 12)
  })
  return names
}

/** @param hasJustCome Its frames were sealed a moment ago and may be open still. */
const load = (p: DeskPorts, share: Share, hasJustCome: boolean): BlockHandle => {
  const block = p.vault.createBlock(NAMELESS, 0, Uint32Array.from(share.frames))
  try {
    const key = p.keys.opener(share.records[0]!) // One FrameSealer made them all, under one key.
    if (hasJustCome) p.vault.loadRecent(block, namesOf(share.records), NAME_BYTES)
    share.records.forEach((record, i) => {
      if (!hasJustCome || !p.vault.frameLoaded(block, i)) p.vault.loadFrame(block, i, key, record)
      p.vault.pinFrame(block, i) // Else the next frame may push it out.
    })
    return block
  } catch (error) {
    p.vault.dropBlock(block)
    throw error
  }
}

export const bytesIn = (frames: readonly number[]): number => frames.reduce((sum, n) => sum + n, 0)

/** Puts the shares of a job together, part by part: one row of frames under one key. */
class Joining {
  private readonly sealing: FrameSealer
  private readonly meta: Uint32Array
  private count = 0

  constructor (private readonly p: DeskPorts, private readonly pool: RelayedPool, private readonly job: Uint8Array, private readonly exchange: Uint8Array | null, framesMax: number) {
    this.sealing = new FrameSealer(p, pool, job, framesMax)
    this.meta = new Uint32Array(framesMax * META_NUMBERS)
  }

  get joined (): Joined { return { records: this.sealing.records, meta: this.meta, count: this.count } }

  /**
   * The next part of each share, in blocks that are open. A share that stands alone has frames already that are the joined ones, but for the last of a
   * part. Those stay open for a moment, as what is sealed here does: the block that they become is agreed on next.
   */
  add (shares: readonly Share[], blocks: readonly BlockHandle[]): void {
    const total = Math.min(...shares.map((share) => bytesIn(share.frames) - CONFIRM_BYTES)) & ~7, handles = Uint32Array.from(blocks)
    const only = shares.length === 1 && this.exchange === null ? shares[0] : undefined
    const kept: number[] = []
    for (let offset = 0, at = 0, i = 0; offset < total; offset += FRAME_BYTES_MAX) {
      const length = Math.min(FRAME_BYTES_MAX, total - offset)
      while (only !== undefined && at < offset && i < only.frames.length) at += only.frames[i++]!
      const isSealed = only !== undefined && at === offset && only.frames[i] === length
      const record = isSealed ? this.sealing.keep(only.records[i]!, length) : undefined
      if (record !== undefined) kept.push(i)
      this.meta[this.count * META_NUMBERS] = (record ?? this.sealAnew(handles, offset, length)).length
      this.count++
    }
    for (const i of kept) this.p.vault.keepRecent(blocks[0]!, i, only!.records[i]!)
  }

  private sealAnew (blocks: Uint32Array, offset: number, length: number): Uint8Array {
    const offsets = new Uint32Array(blocks.length).fill(offset)
    return this.sealing.seal(length, (sealer, header, out) => this.seal({ sealer, header, blocks, offsets, length, out }))
  }

  private seal (how: SealWith): number {
    const { p, pool, exchange } = this
    if (exchange === null) return p.vault.sealXor(how.sealer as never, how.header, how.blocks, how.offsets, how.length, how.out, true)
    if (p.hybrid === undefined) throw new KmeError('INTERNAL', 'a hybrid job without hybrid exchanges')
    return p.hybrid.seal(pool.remote, exchange, this.job, this.count, how)
  }
}
