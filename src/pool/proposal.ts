import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import type { BlockRow, FrameRef } from './rows.js'

type FrameName = Body<'drop'>['frames'][number]

/** Of the frame that was named last: the next one is of the same device block, or job, nearly always. Nobody changes the bytes. */
let lastId = '', lastBytes: Uint8Array = Buffer.alloc(0)

const remember = (id: string, bytes: Uint8Array): void => {
  lastId = id
  lastBytes = bytes
}

/** Names of frames as messages carry them, and back. */
export const nameOf = ({ link, id, offset, length }: FrameRef): FrameName => {
  if (id !== lastId) remember(id, Buffer.from(id, 'hex'))
  return { link, block: lastBytes, offset, length }
}

export const frameOf = ({ link, block, offset, length }: FrameName): FrameRef => {
  if (Buffer.compare(block, lastBytes) !== 0) {
    const bytes = Buffer.from(block)
    remember(bytes.toString('hex'), bytes)
  }
  return { link, id: lastId, offset, length }
}

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
