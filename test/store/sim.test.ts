import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { SimRandom } from '../../sim/random.js'
import { SimDisk } from '../../sim/store.js'
import type { Kv } from '../../src/store/kv.js'

const put = (kv: Kv, n: number): void => { kv.transact((tx) => { tx.put(['n', n], Uint8Array.of(n)) }) }
const numbers = (kv: Kv): number[] => [...kv.keys({ start: ['n'], end: ['o'] })].map((key) => key[1] as number)

t.test('a power cut takes what was not flushed; a kill takes nothing unless told', async (t) => {
  const disk = new SimDisk()
  const one = disk.open()
  put(one, 1)
  await one.flushed()
  put(one, 2)
  put(one, 3)
  disk.kill()
  t.throws(() => { put(one, 9) }, { code: 'STORE_UNAVAILABLE' })
  const two = disk.open()
  t.same(numbers(two), [1, 2, 3])
  put(two, 4)
  disk.kill(2)
  t.same(numbers(disk.open()), [1, 2])
  disk.powerCut(0)
  t.same(numbers(disk.open()), [1])
  t.throws(() => disk.open(), /open in another process/)
})

t.test('a flush takes time, covers what was committed before it, and dies with its process', async (t) => {
  const disk = new SimDisk(), clock = new SimClock()
  const kv = disk.open({ clock, flushMs: 5 })
  put(kv, 1)
  let first = false, second = false
  void kv.flushed().then(() => { first = true })
  put(kv, 2)
  void kv.flushed().then(() => { second = true })
  await clock.advanceAsync(5)
  t.same([first, second, disk.unflushedCount], [true, false, 1])
  await clock.advanceAsync(5)
  t.same([first, second, disk.unflushedCount], [true, true, 0])
  put(kv, 3)
  let third = false
  void kv.flushed().then(() => { third = true })
  await clock.advanceAsync(2)
  disk.powerCut()
  await clock.advanceAsync(50)
  t.notOk(third)
  t.same(numbers(disk.open()), [1, 2])
})

t.test('the n-th operation fails, and a failed flush ends the process', async (t) => {
  const disk = new SimDisk()
  const kv = disk.open()
  disk.failNth(2, 'transact', 'STORE_FULL')
  put(kv, 1)
  t.throws(() => { put(kv, 2) }, { code: 'STORE_FULL' })
  t.same(numbers(kv), [1])
  put(kv, 3)
  disk.failNth(1, 'flush')
  await t.rejects(kv.flushed(), { code: 'STORE_UNAVAILABLE' })
  t.throws(() => { put(kv, 4) }, { code: 'STORE_UNAVAILABLE' })
  await kv.close()
  t.same(numbers(disk.open()), [1, 3])
  t.same(disk.operations, { transact: 3, flush: 1 })
})

t.test('a disk is copied and restored', async (t) => {
  const disk = new SimDisk()
  let kv = disk.open()
  put(kv, 1)
  await kv.close()
  const old = disk.copy()
  kv = disk.open()
  put(kv, 2)
  await kv.close()
  disk.restore(old)
  t.same(numbers(disk.open()), [1])
  t.same(numbers(old.open()), [1])
})

t.test('time moves when told, timers in order; chance repeats', async (t) => {
  const clock = new SimClock(1000, 1e6), ran: string[] = []
  clock.after(10, () => { ran.push('b'); clock.after(5, () => ran.push('d')) })
  clock.after(10, () => ran.push('c'))
  clock.after(1, () => ran.push('a'))
  clock.after(2, () => ran.push('never'))()
  clock.advance(14)
  t.same(ran, ['a', 'b', 'c'])
  clock.advance(1)
  t.same([ran.at(-1), clock.now(), clock.wallMs(), clock.pending], ['d', 15, 1030, 0])
  const draw = (seed: number): number[] => { const random = new SimRandom(seed); return Array.from({ length: 8 }, () => random.integer(1000)) }
  t.same(draw(7), draw(7))
  t.notSame(draw(7), draw(8))
  const random = new SimRandom(3), counts = new Uint32Array(6)
  for (let i = 0; i < 6000; i++) counts[random.integer(6)]!++
  t.ok(counts.every((count) => count > 850 && count < 1150), String(counts))
  t.ok(random.integer(2 ** 48) < 2 ** 48)
})
