/**
 * What the pools keep in the store: one row type per table, with its key and its codec. Rows are msgpack, but for those that
 * are written for each block (src/pool/row-codec.ts); frames are sealed records and are written by the ingest path as they
 * come from the addon.
 */
import { Packr } from 'msgpackr'
import { decodeFixed, FIXED_MARK, MetaEncoder } from './row-codec.js'
import type { KvKey, KvRange, KvReader, KvWriter } from '../store/kv.js'

export type Owner = 'mine' | 'theirs'
export type Purpose = 'app' | 'auth' | 'id'
/**
 * proposed: numbered and sent by the proposer. accepted: stored and confirmed by the other KME, which does not know yet
 * that the proposer knows. usable: both know. open: it has a lane index. closed: nothing more is cut from it.
 */
export type BlockState = 'proposed' | 'accepted' | 'usable' | 'open' | 'closed'

/** Where a frame's record lies here: in which shared row of its link, and as which of its records (src/store/shared-records.ts). */
export interface FramePlace { readonly row: number, readonly index: number }

/** A frame by its name, equal at both ends of the link, and the length of its payload in bytes. `at`: its record has no row of its own. */
export interface FrameRef { readonly link: number, readonly id: string, readonly offset: number, readonly length: number, readonly at?: FramePlace }

export interface BlockRow {
  number: number, owner: Owner, purpose: Purpose, lane: number, epoch: number, state: BlockState
  /** Sum of its frames' payloads; the last CONFIRM_BYTES are k1, k2, k3. */
  bytes: number
  /** Lane index once opened, else 0. */
  index: number
  /** Owner: bytes leased so far. Looker: the owner's word when it closed, else 0. */
  spent: number
  /** Age clock (ms of running time) at our own confirmation; and wall clock, for the owner's side only. */
  bornMs: number, bornWallMs: number
  /** Age clock when it was closed, else 0. */
  closedMs: number
}

/** k1, k2 and k3 at the end of each block (design 3.3). */
export const CONFIRM_BYTES = 48
/** Bytes of a block that may be spent: whole units of 8 before the confirmation bytes. */
export const usableBytes = (block: { readonly bytes: number }): number => Math.max(0, block.bytes - CONFIRM_BYTES) & ~7

export interface Bye { readonly number: number, readonly incarnation: number, readonly cursors: readonly { lane: number, index: number, offset: number }[] }
export interface PadPosition { block: number, offset: number }

/** Everything about a pool that is not about one block. A member's value is replaced, never changed within: the row is packed anew when a member is another. */
export interface MetaRow {
  /** Under which store ID this peer knows us, if not by the store's own: new with each void that a rollback made. */
  identity: Uint8Array | null
  /** The peer's store and its last start that we met. */
  theirStore: Uint8Array | null, theirIncarnation: number, theirNonce: Uint8Array | null
  highestBlock: number
  /** How many blocks each lane has opened: ours, and the peer's as we stored it. */
  horizonMine: number, horizonTheirs: number
  lastSent: number, lastProcessed: number
  grantGiven: number, grantTaken: number
  byeCount: number, bye: Bye | null, byeTheirs: Bye | null
  /** The ID epoch at which our association numbers began again, and the next of them. */
  generation: number, nextAssociation: number
  /** ID epochs are numbered once and for all, over voids too. */
  highestEpoch: number
  padMine: PadPosition, padTheirs: PadPosition
  voids: number, theirVoids: number
  /** Messages up to this number were dropped by a void, if there was one: the peer need not have seen them. */
  droppedTo?: number
  suspended: string
  tombstones: number
}

export interface EpochRow {
  epoch: number, block: number, wrapped: Uint8Array, check: Uint8Array
  active: boolean, bornMs: number, blocks: number
  /** Device blocks that its seed is of, as `link/id`. Absent in rows of earlier releases and where no device made it. */
  from?: string[]
}

export type Direction = 'out' | 'in'
export interface AssociationRow {
  number: number, generation: number, master: string, slaves: string[]
  /** removed: an SAE of it is gone. void: an operator voided its keys; its slaves are told that there are none. Neither comes back. */
  state: 'offered' | 'open' | 'refused' | 'removed' | 'void'
  /** Slaves at the master's own KME: the other KME is not told of them. */
  local: string[]
}

/** Bytes of a pool, each in exactly one account (I10). `stock` is not kept: it is what the blocks and pending frames hold. */
export interface AccountRow {
  ingested: number, leased: number, delivered: number, relay: number, authentication: number
  confirmation: number, idKeys: number
  burned: Record<string, number>
  blocksErased: number
}

const packr = new Packr({ useRecords: false, moreTypes: false, structuredClone: false })
export const encodeRow = (row: object): Uint8Array => packr.pack(row)
export const decodeRow = <T>(bytes: Uint8Array): T => (bytes[0] === FIXED_MARK ? decodeFixed(bytes, (rest) => packr.unpack(rest) as unknown) : packr.unpack(bytes)) as T
/** One per pool. */
export const metaEncoder = (): MetaEncoder => new MetaEncoder(encodeRow)

export const frameKey = (f: { link: number, id: string, offset: number }): KvKey => ['frame', f.link, f.id, f.offset]
export const framesOfLink = (link: number): KvRange => ({ start: ['frame', link], end: ['frame', link + 1] })
/** A block's frames never change: they have a row of their own, so that the mutable row stays small. */
export const framesKey = (pool: string, number: number): KvKey => ['frames', pool, number]
export const blockKey = (pool: string, number: number): KvKey => ['block', pool, number]
export const metaKey = (pool: string): KvKey => ['pool', pool]
export const accountKey = (pool: string): KvKey => ['account', pool]
/** Proposals whose frames were not here when this KME stopped (lacked.ts). */
export const lackedKey = (pool: string): KvKey => ['lacked', pool]
export const outboxKey = (pool: string, seq: number): KvKey => ['outbox', pool, seq]
export const epochKey = (pool: string, epoch: number): KvKey => ['epoch', pool, epoch]
/** Claims of a segment of a block. Its number counts down from -1: what schema 1 wrote stands at the claim's place, from 0 up (claim-rows.ts). */
export const claimsKey = (pool: string, block: number, segment: number): KvKey => ['claim', pool, block, -1 - segment]
/** A stretch of a lane (0: ours, 1: the other KME's) whose keys are void, by where it begins. */
export const voidKey = (pool: string, lane: number, index: number, offset: number): KvKey => ['void', pool, lane, index, offset]
/** A question about issued keys that the other KME has not answered. */
export const voidAskKey = (pool: string, incident: string): KvKey => ['voidAsk', pool, incident]
export const voidNewsKey = (pool: string, number: number): KvKey => ['voidNews', pool, number]
export const issuedKey = (pool: string, n: number): KvKey => ['issued', pool, n]
export const holdKey = (pool: string): KvKey => ['hold', pool]
export const tombKey = (pool: string, n: number): KvKey => ['tomb', pool, n]
export const associationKey = (pool: string, d: Direction, generation: number, number: number): KvKey => ['association', pool, d, generation, number]
/** All keys of one table and pool. Numbers sort below strings, so an empty string ends them. */
export const tableOf = (table: string, pool: string, ...more: (string | number)[]): KvRange =>
  ({ start: [table, pool, ...more], end: [table, pool, ...more, '\uffff'] })

export const getRow = <T>(kv: KvReader, key: KvKey): T | undefined => {
  const bytes = kv.get(key)
  return bytes === undefined ? undefined : decodeRow<T>(bytes)
}
export const putRow = (tx: KvWriter, key: KvKey, row: object): void => { tx.put(key, encodeRow(row)) }

export const newMeta = (): MetaRow => ({
  identity: null, theirStore: null, theirIncarnation: 0, theirNonce: null, highestBlock: 0, horizonMine: 0, horizonTheirs: 0,
  lastSent: 0, lastProcessed: 0, grantGiven: 0, grantTaken: 0, byeCount: 0, bye: null, byeTheirs: null,
  generation: 1, nextAssociation: 1, highestEpoch: 0, padMine: { block: 0, offset: 0 }, padTheirs: { block: 0, offset: 0 },
  voids: 0, theirVoids: 0, suspended: '', tombstones: 0,
})
export const newAccount = (): AccountRow => ({
  ingested: 0, leased: 0, delivered: 0, relay: 0, authentication: 0, confirmation: 0, idKeys: 0, burned: {}, blocksErased: 0,
})
