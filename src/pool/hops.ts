import type { PoolCore } from './core.js'
import type { BlockRow } from './rows.js'

/**
 * How many links relayed bits passed. Both ends of a relayed pool have it in the names of their frames: the last two octets of the job's
 * ID are the complement of the number and the number. So there is no row for it, and what one end says the other says, too.
 */
const HOPS_MAX = 32
const ID_HEX = 32

/** `id` (16 bytes, changed in place) says it from now on. @param hops Of the longest way of the job. */
export const markHops = (id: Uint8Array, hops: number): Uint8Array => {
  id[14] = ~hops
  id[15] = hops
  return id
}

/** What a job's ID (in hexadecimal) says, or 0: nothing. */
export const hopsOfJob = (id: string): number => {
  const hops = Number.parseInt(id.slice(ID_HEX - 2), 16)
  return hops <= HOPS_MAX && Number.parseInt(id.slice(ID_HEX - 4, ID_HEX - 2), 16) === (~hops & 0xff) ? hops : 0
}

/** Frames of a block never change. */
const known = new WeakMap<BlockRow, number>()

const hopsOf = (core: PoolCore, block: BlockRow): number => {
  let hops = known.get(block)
  if (hops === undefined) {
    const all = core.framesOf(block.number).map(({ id }) => hopsOfJob(id))
    known.set(block, hops = all.includes(0) ? 0 : Math.max(0, ...all))
  }
  return hops
}

/** What all of these numbers are, or 0: one of them is not known, or they differ. */
export const common = (numbers: Iterable<number>): number => {
  let all: number | undefined
  for (const number of numbers) {
    all ??= number
    if (number !== all) return 0
  }
  return all ?? 0
}

/** Over how many links the bits of each of these blocks of a relayed pool came, on the longest of their ways; 0 if that is not known, or not the same of all. */
export const hopsOfAll = (core: PoolCore, blocks: readonly BlockRow[]): number =>
  blocks.length === 1 ? hopsOf(core, blocks[0]!) : common(blocks.map((block) => hopsOf(core, block)))
