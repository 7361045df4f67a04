import t from 'tap'
import { Deliveries, type Delivery } from '../../src/pool/deliveries.js'
import type { KeyPool } from '../../src/pool/key-pool.js'

const pool = {} as KeyPool
const delivery = (number: number): Delivery => ({
  number, pool, caller: `a${number}`, slave: `b${number}`, association: 60_000, block: 2 ** 32 - number, place: number, keys: 128, sizeBytes: 1_024, takeBack: number % 4 === 1 ? () => {} : undefined,
})

t.test('the last 1024 deliveries are known, each is taken once', async (t) => {
  const deliveries = new Deliveries()
  t.equal(deliveries.take(1), undefined)
  // Numbers are those of the audit trail: others come between them.
  const given = new Map<number, Delivery>()
  for (let number = 1; number <= 3_000; number += 2) {
    given.set(number, delivery(number))
    deliveries.keep(given.get(number)!)
  }
  const kept = Array.from({ length: 3_001 }, (_, number) => number).filter((number) => {
    const taken = deliveries.take(number)
    if (taken !== undefined) t.strictSame(taken, given.get(number))
    return taken !== undefined
  })
  t.equal(kept.length, 1_024)
  t.equal(kept[0], 2_999 - 2 * 1_023)
  t.equal(deliveries.take(2_999), undefined, 'taken before')
})
