import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { SimDisk } from '../../sim/store.js'
import type { Body } from '../../src/peer/messages.js'
import type { PoolCore } from '../../src/pool/core.js'
import { Flights, LACKING_MAX } from '../../src/pool/flights.js'
import { Lacked } from '../../src/pool/lacked.js'

const UNANSWERED_MAX = 64, URGENT_ROOM = 8
const proposal = (number: number): Body<'propose'> => ({ number, frames: [] }) as unknown as Body<'propose'>
const tag = new Uint8Array(16)

t.test('proposals under way have a bound, and so have those whose frames the other side lacks: no more than it remembers', (t) => {
  const flights = new Flights(() => 0)
  let number = 0
  const propose = (count: number): void => { for (let i = 0; i < count; i++) flights.add(proposal(++number), tag) }
  t.equal(flights.room, UNANSWERED_MAX)
  propose(UNANSWERED_MAX - 1)
  t.equal(flights.room, 1)
  propose(1)
  t.equal(flights.room, 0)
  for (let lacking = 0; flights.room > 0 || lacking < number;) {
    while (lacking < number) flights.lacks(++lacking)
    propose(flights.room)
  }
  t.equal(number, LACKING_MAX - URGENT_ROOM, 'nearly all of them may be lacked')
  t.equal(flights.urgentRoom, URGENT_ROOM, 'there is room for what brings the others on')
  propose(URGENT_ROOM)
  t.equal(flights.urgentRoom, 0)
  flights.delete(1)
  t.equal(flights.urgentRoom, 1)
  for (let i = 2; i <= 10; i++) flights.delete(i)
  t.equal(flights.room, 2)
  t.end()
})

t.test('a proposal whose frames are lacked is asked again at the pace that so many allow, one without an answer after five seconds', (t) => {
  const clock = new SimClock(), flights = new Flights(() => clock.monoMs())
  const due = (): number[] => flights.due(() => false).map((message) => message.number)
  flights.add(proposal(1), tag)
  flights.add(proposal(2), tag)
  clock.advance(60_000)
  t.same(due(), [], 'what is not on disk is not said')
  flights.said(1)
  flights.lacks(2)
  clock.advance(999)
  t.same(due(), [])
  clock.advance(1)
  t.same(due(), [2])
  clock.advance(3_999)
  t.same(due(), [], 'on its way')
  clock.advance(1)
  t.same(due(), [1])
  clock.advance(1_000)
  t.same(due(), [2], 'its answer did not come')
  for (let number = 3; number <= 2 + LACKING_MAX - 2; number++) { flights.add(proposal(number), tag); flights.lacks(number) }
  clock.advance(5_000)
  due()
  flights.lacks(3)
  clock.advance(4_999)
  t.notOk(due().includes(3))
  clock.advance(LACKING_MAX / UNANSWERED_MAX * 1_000 - 4_999)
  t.ok(due().includes(3))
  t.end()
})

t.test('of numbers that were lacked those are known that were asked for last, over a stop in good order and not over a crash', async (t) => {
  const clock = new SimClock(), disk = new SimDisk()
  const open = (): { lacked: Lacked, kv: ReturnType<SimDisk['open']> } => {
    const kv = disk.open({ clock, flushMs: 0 })
    const core = { pool: 'B', deps: { kv }, commit: <T>(fn: Parameters<typeof kv.transact<T>>[0]) => kv.transact(fn) } as unknown as PoolCore
    return { lacked: new Lacked(core), kv }
  }
  const { lacked, kv } = open()
  for (let number = 1; number <= LACKING_MAX; number++) lacked.add(number)
  lacked.add(1) // Asked again.
  lacked.add(LACKING_MAX + 1)
  t.same([1, 2, 3, LACKING_MAX + 1].map((number) => lacked.has(number)), [true, false, true, true])
  lacked.keep()
  const flushed = kv.flushed()
  clock.advance(1)
  await flushed
  disk.kill()
  const next = open()
  t.same([1, 2, 3].map((number) => next.lacked.has(number)), [true, false, true])
  const flushedNext = next.kv.flushed()
  clock.advance(1)
  await flushedNext
  disk.kill()
  t.notOk(open().lacked.has(1), 'the row of a stop serves one start')
})
