import t from 'tap'
import { Deliveries, type Delivery } from '../../src/pool/deliveries.js'

const delivery = (number: number): Delivery => ({ number, association: 1, block: number, place: 0 }) as Delivery

t.test('the last 1024 deliveries are known, each is taken once', async (t) => {
  const deliveries = new Deliveries()
  t.equal(deliveries.take(1), undefined)
  // Numbers are those of the audit trail: others come between them.
  for (let number = 1; number <= 3_000; number += 2) deliveries.keep(delivery(number))
  const kept = Array.from({ length: 3_001 }, (_, number) => number).filter((number) => deliveries.take(number) !== undefined)
  t.equal(kept.length, 1_024)
  t.equal(kept[0], 2_999 - 2 * 1_023)
  t.equal(deliveries.take(2_999), undefined, 'taken before')
})
