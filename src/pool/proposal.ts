import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import type { BlockRow, FrameRef } from './rows.js'

/** Names of frames as messages carry them, and back. */
export const nameOf = (f: FrameRef): Body<'drop'>['frames'][number] => ({ link: f.link, block: Buffer.from(f.id, 'hex'), offset: f.offset, length: f.length })
export const frameOf = (f: Body<'drop'>['frames'][number]): FrameRef => ({ link: f.link, id: Buffer.from(f.block).toString('hex'), offset: f.offset, length: f.length })

/** m of design 3.3: everything that both sides must agree on, in one byte order. */
export const canonical = ({ proposer, storeId, meta }: PoolCore, block: BlockRow, frames: readonly FrameRef[], owner: string): Uint8Array => {
  const stores = proposer ? [storeId, meta.theirStore] : [meta.theirStore, storeId]
  return new TextEncoder().encode(JSON.stringify([block.number, owner, block.purpose, block.lane, block.epoch,
    ...stores.map((s) => Buffer.from(s ?? []).toString('hex')), frames.map((f) => [f.link, f.id, f.offset, f.length])]))
}
