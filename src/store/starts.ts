/**
 * Process starts: each takes the next number, with a fresh nonce (for peers: the incarnation) and a fresh salt (for
 * subkeys), flushed before use. Row ['start', number]: salt 32, nonce 16.
 */
import { timingSafeEqual } from 'node:crypto'
import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import { prefixRange, type Kv, type KvReader } from './kv.js'

export interface Start {
  readonly number: number
  /** 16 bytes. */
  readonly nonce: Uint8Array
}

const START_TABLE = 'start'
/** Starts that stay known; older ones go once no slot needs their salt. */
const KEPT = 65_536
const NUMBER_MAX = 0xffff_ffff

/** Counts this start, durable when the promise resolves. @param neededFrom Oldest start whose salt is still needed. */
export const countStart = async (kv: Kv, random: Random, neededFrom: (next: number) => number): Promise<Start> => {
  const [last] = [...kv.keys({ ...prefixRange([START_TABLE]), reverse: true, limit: 1 })]
  const number = (last === undefined ? 0 : last[1] as number) + 1
  if (number > NUMBER_MAX) throw new KmeError('STORE_CORRUPT', 'this store has counted 2^32 starts: begin a new one')
  const row = random.bytes(48)
  const oldest = Math.min(neededFrom(number), number - KEPT)
  kv.transact((tx) => {
    tx.put([START_TABLE, number], row)
    for (const key of tx.keys({ start: [START_TABLE], end: [START_TABLE, oldest], limit: 1024 })) tx.remove(key)
  })
  await kv.flushed()
  return { number, nonce: row.slice(32) }
}

/** @throws KmeError `STORE_CORRUPT` if that start is unknown. */
export const saltOf = (reader: KvReader, number: number): Uint8Array => {
  const row = reader.get([START_TABLE, number])
  if (row?.length !== 48) throw new KmeError('STORE_CORRUPT', `the salt of start ${number} is not in the store: records that it sealed are lost`)
  return row.slice(0, 32)
}

/** Whether this store ever started with that number and nonce (within the last 65,536 starts). */
export const knowsStart = (reader: KvReader, number: number, nonce: Uint8Array): boolean => {
  const row = reader.get([START_TABLE, number])
  return row?.length === 48 && nonce.length === 16 && timingSafeEqual(row.subarray(32), nonce)
}
