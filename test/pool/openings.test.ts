import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import type { PoolCore } from '../../src/pool/core.js'
import { Openings } from '../../src/pool/openings.js'
import type { BlockRow } from '../../src/pool/rows.js'

t.test('an opening whose acknowledgement is lost goes out again, however many are opened behind it', (t) => {
  const clock = new SimClock(), sent: number[][] = []
  const core = { deps: { clock }, meta: { horizonMine: 0 }, send: (_name: string, { blocks }: { blocks: number[] }) => sent.push(blocks) > 0 } as unknown as PoolCore
  const openings = new Openings(core), block = (index: number): BlockRow => ({ index, number: 100 + index }) as BlockRow
  const acknowledge = (from: number, to: number) => openings.acknowledged({ lane: 0, from, index: to, refused: [] }).opened.map((b) => b.index)
  openings.add([block(1)])
  clock.advance(5_000)
  openings.resendIfStuck()
  openings.resend()
  t.same(sent, [], 'what is not on disk is not said')
  openings.stored(5)
  for (let index = 2; index <= 5; index++) {
    clock.advance(300)
    openings.add([block(index)])
    t.same(acknowledge(index, index), [], `${index} waits for the first one`)
    openings.resendIfStuck()
  }
  t.same(sent, [[101, 102, 103, 104, 105]], 'once, when the first has waited for a second')
  t.same(acknowledge(1, 5), [1, 2, 3, 4, 5])
  openings.add([block(6)])
  clock.advance(999)
  openings.resendIfStuck()
  t.equal(sent.length, 1, 'a second counts anew')
  t.end()
})
