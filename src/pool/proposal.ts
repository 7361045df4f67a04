import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import type { BlockRow, FrameRef } from './rows.js'

/** Names of frames as messages carry them, and back. */
export const nameOf = (f: FrameRef): Body<'drop'>['frames'][number] => ({ link: f.link, block: Buffer.from(f.id, 'hex'), offset: f.offset, length: f.length })
export const frameOf = (f: Body<'drop'>['frames'][number]): FrameRef => ({ link: f.link, id: Buffer.from(f.block).toString('hex'), offset: f.offset, length: f.length })

/** m of design 3.3: everything that both sides must agree on, in one byte order: a JSON text without spaces. */
export const canonical = ({ proposer, storeId, meta }: PoolCore, block: BlockRow, frames: readonly FrameRef[], owner: string): Uint8Array => {
  const [first, second] = proposer ? [storeId, meta.theirStore] : [meta.theirStore, storeId]
  const names = frames.map(({ link, id, offset, length }) => `[${link},"${id}",${offset},${length}]`).join(',') // An ID is hex digits: nothing to escape.
  return Buffer.from(`[${block.number},${JSON.stringify(owner)},"${block.purpose}",${block.lane},${block.epoch},"${hex(first)}","${hex(second)}",[${names}]]`)
}

const hex = (store: Uint8Array | null): string => Buffer.from(store ?? []).toString('hex')

/** Whether two of them bear the same name. */
export const repeatsName = (frames: readonly FrameRef[]): boolean =>
  frames.some((a, i) => frames.some((b, j) => j > i && a.offset === b.offset && a.link === b.link && a.id === b.id))
