import t from 'tap'
import { encodeKey } from '../../src/store/key-codec.js'
import { Overlay } from '../../src/store/lmdb-overlay.js'

const value = (n: number): Uint8Array => new Uint8Array([n])
const tables = ['a', 'ab', 'account', 'block', 'claim', 'frame', 'frames', 'outbox', 'pool']

t.test('a walk over a range sees every pending row of it, in one table and over all', async (t) => {
  const overlay = new Overlay()
  for (const table of tables) for (let n = 0; n < 20; n++) overlay.set(encodeKey([table, 'kme', n]), value(n), 1)
  const inside = (start: string, end: string): number => [...overlay.layer(start, end)].filter(([key]) => key >= start && key < end).length
  for (const table of tables) t.equal(inside(encodeKey([table, 'kme', 5]), encodeKey([table, 'kme', 9])), 4, table)
  t.equal(inside(encodeKey(['account']), encodeKey(['frame'])), 60)
  t.equal(inside(encodeKey(['a']), encodeKey(['z'])), 20 * tables.length)
})

t.test('a row is forgotten with the batch that wrote it last', async (t) => {
  const overlay = new Overlay(), key = encodeKey(['claim', 'kme', 1, 2])
  overlay.set(key, value(1), 1)
  overlay.set(key, undefined, 2)
  overlay.forget(key, 1)
  t.same(overlay.get(key), { value: undefined, seq: 2 }, 'a removal is pending, too')
  overlay.forget(key, 2)
  t.equal(overlay.get(key), undefined)
})
