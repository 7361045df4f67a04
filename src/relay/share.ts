import { META_NUMBERS, RECORD_STRIDE, type BlockHandle } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import { makeRecordHeader, moveInHeader, RECORD_KIND } from '../store/record.js'
import type { RelayPorts, RelayedPool } from './ports.js'

export const FRAME_BYTES_MAX = 3_968
const CONFIRM_BYTES = 48
/** A share holds at least something beside its confirmation. */
export const SHARE_BYTES_MIN = 64
/** Offsets in names are in units of 32 bytes. */
const OFFSET_UNITS = FRAME_BYTES_MAX / 32
/** A share is a block that is in no pool and never named. */
const NAMELESS = 0

/** Bits that went or came over one path, sealed in this process' memory: they are lost with it, and burned everywhere by that. */
export interface Share { readonly frames: readonly number[], readonly records: readonly Uint8Array[], readonly path: readonly KmeId[] }

/** Sealed frames as `Pool.ingest` takes them. */
export interface Joined { readonly records: Uint8Array, readonly meta: Uint32Array, readonly count: number }

export interface Verdict {
  /** Our tags, one for each share. */
  readonly tags: Uint8Array[]
  /** What the other side's tags must be. */
  readonly expected: Uint8Array[]
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

  /** @param framesMax As many may follow. */
  constructor (p: RelayPorts, pool: RelayedPool, job: Uint8Array, framesMax: number) {
    const { sealer, slot } = p.keys.sealer(pool.poolId)
    this.sealer = sealer
    this.records = new Uint8Array(framesMax * RECORD_STRIDE)
    this.header = makeRecordHeader(RECORD_KIND.relayed, { link: pool.link, id: hex(job), offset: 0 }, 0, slot, p.start)
  }

  /** @returns the record, in `records`. */
  seal (length: number, seal: Seal): Uint8Array {
    const index = this.count++, at = index * RECORD_STRIDE
    moveInHeader(this.header, index * OFFSET_UNITS, length)
    return this.records.subarray(at, at + seal(this.sealer, this.header, this.records.subarray(at, at + RECORD_STRIDE)))
  }
}

/** What the tag of one share covers beside its bits: whatever a node between could have changed. */
const canonical = (job: Uint8Array, index: number, shares: number, exchange: Uint8Array | null, share: Share): Uint8Array =>
  new TextEncoder().encode(JSON.stringify([hex(job), index, shares, exchange === null ? null : hex(exchange), share.path, share.frames]))

/**
 * Opens all shares of a job, makes the tags of both sides and joins the shares to frames. `role` is 1 at the destination, which
 * speaks first, and 2 at the source. The last 48 bytes of each share are k1, k2 and k3 of its tags (design 3.3). The nodes of a path know all
 * of these, and could change bits and k2, k3 so that the tags fit again: that is what `challenge` is for, which the destination draws when it has all shares, and of which they never hear.
 *
 * @throws errors that `isPassing` knows: the job is given up.
 */
export const examine = (p: RelayPorts, pool: RelayedPool, job: Uint8Array, shares: readonly Share[], exchange: Uint8Array | null, challenge: Uint8Array, role: 1 | 2): Verdict => {
  const blocks: BlockHandle[] = []
  try {
    for (const share of shares) blocks.push(load(p, share))
    const m = shares.map((share, i) => canonical(job, i, shares.length, exchange, share))
    const tags = blocks.map((block, i) => p.vault.confirmTag(block, role, m[i]!, challenge))
    const expected = blocks.map((block, i) => p.vault.confirmTag(block, 3 - role as 1 | 2, m[i]!, challenge))
    return { tags, expected, joined: join(p, pool, job, shares, blocks, exchange) }
  } finally {
    for (const block of blocks) p.vault.dropBlock(block)
  }
}

const load = (p: RelayPorts, share: Share): BlockHandle => {
  const block = p.vault.createBlock(NAMELESS, 0, Uint32Array.from(share.frames))
  try {
    share.records.forEach((record, i) => {
      p.vault.loadFrame(block, i, p.keys.opener(record), record)
      p.vault.pinFrame(block, i) // Else the next frame may push it out.
    })
    return block
  } catch (error) {
    p.vault.dropBlock(block)
    throw error
  }
}

const bytesOf = (share: Share): number => share.frames.reduce((sum, n) => sum + n, 0) - CONFIRM_BYTES

const join = (p: RelayPorts, pool: RelayedPool, job: Uint8Array, shares: readonly Share[], blocks: readonly BlockHandle[], exchange: Uint8Array | null): Joined => {
  const total = Math.min(...shares.map(bytesOf)) & ~7
  const count = Math.ceil(total / FRAME_BYTES_MAX)
  const frames = new FrameSealer(p, pool, job, count), handles = Uint32Array.from(blocks)
  const meta = new Uint32Array(count * META_NUMBERS)
  for (let i = 0; i < count; i++) {
    const offset = i * FRAME_BYTES_MAX, length = Math.min(FRAME_BYTES_MAX, total - offset)
    const offsets = new Uint32Array(blocks.length).fill(offset)
    const record = frames.seal(length, (sealer, header, out) => {
      if (exchange === null) return p.vault.sealXor(sealer as never, header, handles, offsets, length, out)
      if (p.hybrid === undefined) throw new KmeError('INTERNAL', 'a hybrid job without hybrid exchanges')
      return p.hybrid.seal(pool.remote, exchange, job, i, { sealer, header, blocks: handles, offsets, length, out })
    })
    meta[i * META_NUMBERS] = record.length
  }
  return { records: frames.records, meta, count }
}
