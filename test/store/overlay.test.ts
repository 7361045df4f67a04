import t from 'tap'
import { encodeKey } from '../../src/store/key-codec.js'
import { Chunk, type Written } from '../../src/store/lmdb-chunks.js'
import { Overlay } from '../../src/store/lmdb-overlay.js'

const chunk = new Chunk(1, new SharedArrayBuffer(1 << 20))
const written = (key: string, n?: number): Written => chunk.write(key, n === undefined ? undefined : Uint8Array.of(n))
const tables = ['a', 'ab', 'account', 'block', 'claim', 'frame', 'frames', 'outbox', 'pool']

t.test('a walk over a range sees every pending row of it, in one table and over all', async (t) => {
  const overlay = new Overlay()
  for (const table of tables) for (let n = 0; n < 20; n++) overlay.set(encodeKey([table, 'kme', n]), written(encodeKey([table, 'kme', n]), n))
  const inside = (start: string, end: string): number => [...overlay.layer(start, end)].filter(([key]) => key >= start && key < end).length
  for (const table of tables) t.equal(inside(encodeKey([table, 'kme', 5]), encodeKey([table, 'kme', 9])), 4, table)
  t.equal(inside(encodeKey(['account']), encodeKey(['frame'])), 60)
  t.equal(inside(encodeKey(['a']), encodeKey(['z'])), 20 * tables.length)
})

t.test('a row is forgotten with the batch that wrote it last', async (t) => {
  const overlay = new Overlay(), key = encodeKey(['claim', 'kme', 1, 2])
  const first = written(key, 1), second = written(key)
  overlay.set(key, first)
  t.same(overlay.get(key)?.read(), Uint8Array.of(1))
  overlay.set(key, second)
  overlay.forget(key, first)
  t.equal(overlay.get(key)?.isRemoved, true, 'a removal is pending, too')
  overlay.forget(key, second)
  t.equal(overlay.get(key), undefined)
})
