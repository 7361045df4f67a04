import t from 'tap'
import { RelayedEnd } from '../../src/relay/relayed.js'
import type { Pool } from '../../src/pool/pool.js'

/** What a relayed pool asks the relay for. */

const STOCK = 100_000, DRY = 63_488
interface State { freeBytes: number, stockBytes: number, perSecond: number, isFresh: boolean, awaitsBlock: boolean, hungry: boolean }
/** Enough stock of its own, nothing used. */
const full: State = { freeBytes: 50_000, stockBytes: STOCK, perSecond: 0, isFresh: false, awaitsBlock: false, hungry: true }

const wanted = (state: Partial<State>): number => {
  const s = { ...full, ...state }
  const pool = {
    core: { pool: 'relay:B', deps: { self: 'A', remote: 'B', limits: { maxStockBytes: 1 << 20 } } }, traits: { route: 'relayed', paths: 1, hybrid: false },
    hungry: s.hungry, stockBytes: () => s.stockBytes, pending: { isFresh: s.isFresh }, epochs: { awaitsBlock: s.awaitsBlock },
    lane: { freeBytes: () => s.freeBytes, used: { perSecond: () => s.perSecond } },
  }
  return new RelayedEnd(pool as unknown as Pool, STOCK).wantedBytes()
}

t.test('a relayed pool wants its target, or what its use needs', async (t) => {
  t.ok(wanted({}) <= 0, 'it has its target')
  t.equal(wanted({ stockBytes: 60_000 }), 40_000)
  t.equal(wanted({ perSecond: 1_000 }), 140_000, 'two minutes of use, for either side')
  t.equal(wanted({ perSecond: 1_000_000 }), (1 << 20) - STOCK, 'no more than it may hold')
  t.equal(wanted({ perSecond: 1_000_000, hungry: false }), 0, 'it is full')
})

t.test('a side that cannot deliver a key wants a block, though the other owns all of the target', async (t) => {
  t.equal(wanted({ freeBytes: 0 }), DRY)
  t.equal(wanted({ freeBytes: 1_016 }), DRY, 'a rest too short for the longest key')
  t.ok(wanted({ freeBytes: 1_024 }) <= 0)
  t.ok(wanted({ freeBytes: 0, isFresh: true }) <= 0, 'what it waits for has come')
  t.equal(wanted({ freeBytes: 0, stockBytes: 0 }), STOCK, 'the target is more than a block')
})

t.test('an ID epoch is wanted beyond the target', async (t) => {
  t.equal(wanted({ awaitsBlock: true }), 1)
  t.equal(wanted({ awaitsBlock: true, stockBytes: 60_000 }), 40_000)
})
