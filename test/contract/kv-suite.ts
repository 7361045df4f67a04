/** What every Kv promises (src/store/kv.ts), as tests to run over each implementation. */
import fc from 'fast-check'
import type { Test } from 'tap'
import { KEY_END, prefixRange, type Kv, type KvKey, type KvWriter } from '../../src/store/kv.js'

const text = (s: string): Uint8Array => new TextEncoder().encode(s)
const list = (kv: Pick<Kv, 'range'>, start: KvKey, end: KvKey, more: { reverse?: boolean, limit?: number } = {}): string[] =>
  [...kv.range({ start, end, ...more })].map(({ key, value }) => `${JSON.stringify(key)}=${Buffer.from(value).toString()}`)

/** @param open Opens the store of the running test. @param reopen The same store in a new process after a clean close. */
export const kvContract = (t: Test, open: (t: Test) => Promise<Kv>, reopen: (t: Test, kv: Kv) => Promise<Kv>): void => {
  t.test('writes are visible at once, and none of a transaction that throws', async (t) => {
    const kv = await open(t)
    const value = text('one')
    kv.transact((tx) => { tx.put(['a', 1], value); value.fill(0) })
    t.same(kv.get(['a', 1]), text('one'), 'the value was copied')
    t.throws(() => kv.transact((tx) => { tx.put(['a', 1], text('two')); tx.put(['a', 2], text('x')); tx.remove(['a', 1]); throw new Error('no') }), { message: 'no' })
    t.same(kv.get(['a', 1]), text('one'))
    t.notOk(kv.has(['a', 2]))
    const mine = kv.get(['a', 1]) as Uint8Array
    mine.fill(0)
    t.same(kv.get(['a', 1]), text('one'), 'the caller owns what it got')
    await kv.close()
  })

  t.test('a value is copied to memory of the caller, as much as there is room for', async (t) => {
    const kv = await open(t), long = new Uint8Array(5_000).map((_, i) => i)
    const look = (from: Pick<Kv, 'copyTo'>, key: KvKey, room: number): [number, Uint8Array] => {
      const out = new Uint8Array(room).fill(0xee)
      return [from.copyTo(key, out), out]
    }
    kv.transact((tx) => { tx.put(['short'], text('abc')); tx.put(['long'], long); tx.put(['empty'], new Uint8Array(0)) })
    for (let when = 0; when < 2; when++) {
      t.same(look(kv, ['short'], 5), [3, Uint8Array.of(97, 98, 99, 0xee, 0xee)], 'what lies behind stays as it was')
      t.same(look(kv, ['short'], 2), [3, text('ab')])
      t.same(look(kv, ['long'], 64), [5_000, long.subarray(0, 64)])
      t.same(look(kv, ['long'], 5_000), [5_000, long])
      t.same(look(kv, ['short'], 3), [3, text('abc')], 'a longer one before leaves nothing')
      t.equal(look(kv, ['empty'], 1)[0], 0)
      t.equal(look(kv, ['none'], 1)[0], -1)
      kv.transact((tx) => {
        tx.put(['mine'], text('m'))
        tx.remove(['mine'])
        t.equal(look(tx, ['mine'], 1)[0], -1)
        tx.put(['mine'], text('new'))
        t.same(look(tx, ['mine'], 2), [3, text('ne')])
        t.same(look(tx, ['long'], 2), [5_000, long.subarray(0, 2)])
      })
      await kv.flushed()
      await new Promise((resolve) => { setTimeout(resolve, 250) }) // Until it is in the data file, where there is one.
    }
    await kv.close()
  })

  t.test('a transaction sees its own writes, and nobody uses it later', async (t) => {
    const kv = await open(t)
    kv.transact((tx) => { for (const n of [1, 2, 3]) tx.put(['n', n], text(`v${n}`)) })
    await kv.flushed()
    const leaked = kv.transact((tx) => {
      tx.remove(['n', 2])
      tx.put(['n', 4], text('v4'))
      tx.put(['n', 1], text('new'))
      t.notOk(tx.has(['n', 2]))
      t.same(tx.get(['n', 1]), text('new'))
      t.same(list(tx, ['n'], ['o']), ['["n",1]=new', '["n",3]=v3', '["n",4]=v4'])
      t.same(list(tx, ['n'], ['o'], { reverse: true, limit: 2 }), ['["n",4]=v4', '["n",3]=v3'])
      t.same([...tx.keys({ start: ['n'], end: ['o'] })], [['n', 1], ['n', 3], ['n', 4]])
      t.same(list(kv, ['n'], ['o']), ['["n",1]=v1', '["n",2]=v2', '["n",3]=v3'], 'others do not see them yet')
      t.throws(() => kv.transact(() => 0), /nest/)
      return tx
    })
    t.throws(() => { leaked.put(['n', 9], text('late')) }, /invariant/)
    t.throws(() => leaked.get(['n', 1]), /invariant/)
    await kv.close()
  })

  t.test('what is left for the end runs once, inside', async (t) => {
    const kv = await open(t)
    let runs = 0
    let after = 0
    const sum = (tx: KvWriter): (() => void) => { runs++; tx.put(['sum'], text(String([...tx.keys(prefixRange(['item']))].length))); return () => { after++; t.ok(kv.has(['sum'])) } }
    kv.transact((tx) => { for (const n of [1, 2, 3]) { tx.put(['item', n], text('x')); tx.atEnd(sum) } })
    t.same([runs, after], [1, 1])
    t.same(kv.get(['sum']), text('3'))
    t.throws(() => kv.transact((tx) => { tx.put(['item', 4], text('x')); tx.atEnd(sum); tx.atEnd(() => { throw new Error('late') }) }), { message: 'late' })
    t.notOk(kv.has(['item', 4]))
    t.same([runs, after], [2, 1])
    await kv.close()
  })

  t.test('ranges are half-open, in order, in both directions, with limits, over any mix of durable and pending', async (t) => {
    const kv = await open(t)
    for (let n = 0; n < 600; n += 2) kv.transact((tx) => { tx.put(['r', n], text(String(n))) })
    await kv.flushed()
    for (let n = 1; n < 600; n += 2) kv.transact((tx) => { tx.put(['r', n], text(String(n))) })
    kv.transact((tx) => { for (let n = 100; n < 200; n++) tx.remove(['r', n]) })
    const expected = Array.from({ length: 600 }, (_, n) => n).filter((n) => n < 100 || n >= 200)
    const numbers = (range: Parameters<Kv['range']>[0]): number[] => [...kv.range(range)].map(({ key }) => key[1] as number)
    for (const when of ['pending', 'durable']) {
      t.same(numbers(prefixRange(['r'])), expected, when)
      t.same(numbers({ ...prefixRange(['r']), reverse: true }), [...expected].reverse())
      t.same(numbers({ start: ['r', 98], end: ['r', 203] }), [98, 99, 200, 201, 202])
      t.same(numbers({ start: ['r', 98], end: ['r', 203], reverse: true, limit: 4 }), [202, 201, 200, 99])
      t.same(numbers({ start: ['r', 50], end: ['r', 599], limit: 301 }), expected.filter((n) => n >= 50).slice(0, 301))
      t.same([...kv.keys({ start: ['r', 598], end: ['r', 700] })], [['r', 598], ['r', 599]])
      t.same(numbers({ start: ['r', 5], end: ['r', 5] }), [])
      await kv.flushed()
    }
    for (const { key } of kv.range(prefixRange(['r']))) kv.transact((tx) => { tx.remove(key) })
    t.same(numbers(prefixRange(['r'])), [], 'a walk may remove what it finds')
    await kv.close()
  })

  t.test('keys of every kind keep their order and come back', async (t) => {
    const kv = await open(t)
    const keys: KvKey[] = [['k', -Infinity], ['k', -1.5], ['k', -1], ['k', 0], ['k', 0.5], ['k', 1], ['k', 2 ** 32], ['k', Number.MAX_SAFE_INTEGER], ['k', ''],
      ['k', '', 1], ['k', 'a'], ['k', 'a\0'], ['k', 'a\0b'], ['k', 'ab'], ['k', 'ä'], ['k', '😀'], ['k', new Uint8Array()], ['k', Uint8Array.of(0)], ['k', Uint8Array.of(0, 0)],
      ['k', Uint8Array.of(0, 255)], ['k', Uint8Array.of(1)], ['k', new Uint8Array(32).fill(255)], ['k', KEY_END]]
    kv.transact((tx) => { for (const key of [...keys].reverse()) tx.put(key, text('v')) })
    t.same([...kv.keys({ start: ['k'], end: ['l'] })], keys)
    await kv.flushed()
    t.same([...kv.keys({ start: ['k'], end: ['l'] })], keys)
    t.throws(() => kv.get(['k', NaN]), /invariant/)
    t.throws(() => kv.get([]), /invariant/)
    t.throws(() => kv.get(['k', 'x'.repeat(600)]), /invariant/)
    await kv.close()
  })

  t.test('what was flushed is there after a reopening, large and small', async (t) => {
    let kv = await open(t)
    const big = new Uint8Array(4060).map((_, i) => i * 7)
    for (let round = 0; round < 4; round++) {
      kv.transact((tx) => { for (let n = 0; n < 200; n++) tx.put(['big', round, n], big) })
      kv.transact((tx) => { tx.put(['small', round], text(`s${round}`)) })
    }
    kv.transact((tx) => { for (let n = 0; n < 3; n++) tx.put(['huge', n], new Uint8Array(700_000).fill(n)) })
    await kv.flushed()
    kv.transact((tx) => { tx.remove(['small', 0]) })
    kv = await reopen(t, kv)
    t.equal([...kv.keys(prefixRange(['big']))].length, 800)
    t.ok(Buffer.from(big).equals(kv.get(['big', 3, 199]) as Uint8Array))
    t.ok(Buffer.alloc(700_000, 2).equals(kv.get(['huge', 2]) as Uint8Array))
    t.same([...kv.keys(prefixRange(['small']))], [['small', 1], ['small', 2], ['small', 3]])
    await kv.close()
    t.throws(() => kv.transact((tx) => { tx.put(['a'], text('')) }), { code: 'STORE_UNAVAILABLE' })
  })

  t.test('behaves like a sorted map under any order of operations', async (t) => {
    const kv = await open(t)
    const op = fc.record({ kind: fc.constantFrom('put', 'remove', 'abort', 'flush', 'range'), a: fc.integer({ min: 0, max: 30 }), b: fc.integer({ min: 0, max: 30 }) })
    let round = 0
    await fc.assert(fc.asyncProperty(fc.array(op, { maxLength: 60 }), async (ops) => {
      const model = new Map<number, string>(), table = `m${round++}`
      for (const { kind, a, b } of ops) {
        if (kind === 'put') { kv.transact((tx) => { tx.put([table, a], text(`${b}`)) }); model.set(a, `${b}`) }
        if (kind === 'remove') { kv.transact((tx) => { tx.remove([table, a]); tx.put([table, b], text('r')) }); model.delete(a); model.set(b, 'r') }
        if (kind === 'abort') try { kv.transact((tx) => { tx.put([table, a], text('lost')); throw new Error('x') }) } catch { /* its effect is tested */ }
        if (kind === 'flush') await kv.flushed()
        const found = [...kv.range({ start: [table, a], end: [table, b], reverse: kind === 'range' })].map(({ key, value }) => `${String(key[1])}:${Buffer.from(value).toString()}`)
        const wanted = [...model].filter(([n]) => n >= a && n < b).sort(([x], [y]) => x - y).map(([n, v]) => `${n}:${v}`)
        t.same(found, kind === 'range' ? wanted.reverse() : wanted)
      }
    }), { numRuns: 40 })
    await kv.close()
  })
}
