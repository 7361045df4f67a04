import t from 'tap'
import type { Test } from 'tap'
import { RelayAccess } from '../../src/pool/relay-access.js'
import { Allotment } from '../../src/relay/allotment.js'
import { patch, type Removal } from '../pool/removals.js'
import { network } from './network.js'

t.setTimeout(60_000)
const RESERVE = 16_384

/** Links whose devices bring frames of 64 bytes. @returns jobs that were done, and jobs whose bits were lost. */
const shortFrames = async (t: Test): Promise<{ readonly done: number, readonly lost: number }> => {
  const world = await network(t, { seed: 51, links: [['A', 'B'], ['B', 'C']], relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 200_000, keyTtlMs: 3_600_000 }, stockBytes: 65_536 })
  for (let i = 0; i < 24; i++) {
    for (const [a, b] of [['A', 'B'], ['B', 'C']] as const) world.deliver(a, b, 120, 64)
    await world.wait(250)
  }
  const ends = ['A', 'C'].map((kme) => world.at(kme).running.relay.counters)
  return { done: ends.reduce((sum, c) => sum + c.jobsDone, 0), lost: ends.reduce((sum, c) => sum + c.jobsFailed, 0) }
}

/** The relay wants more than the links have. @returns the least that an offer of it would have left of a lane. */
const leastLeft = async (t: Test): Promise<number> => {
  let least = Infinity
  const putBack = patch(Allotment.prototype, 'offer', (f) => function (from, next, path, bytes) {
    const offered = f.call(this, from, next, path, bytes)
    if (offered > 0) least = Math.min(least, this.p.neighbour(next).access.freeBytes - this.promises.of(next) - offered)
    return offered
  })
  t.teardown(putBack)
  const world = await network(t, { seed: 52, links: [['A', 'B'], ['B', 'C']], relayed: [{ between: ['A', 'C'] }], relayLimits: { reserveBytes: RESERVE } })
  await world.wait(1_000)
  world.frames(40)
  await world.wait(8_000)
  putBack()
  t.ok(['A', 'C'].some((kme) => world.at(kme).running.relay.counters.jobsDone > 0), 'jobs are done')
  return least
}

/** Runs without the rule, and puts it back. */
const without = async <T>(removal: Removal, run: () => Promise<T>): Promise<T> => {
  const putBack = removal()
  try { return await run() } finally { putBack() }
}

t.test('an offer is no larger than leases reach: without that, jobs over short frames wait in vain', async t => {
  const { done, lost } = await shortFrames(t)
  t.ok(done > 0, `${done} jobs are done`)
  t.equal(lost, 0, 'and none is lost')
  const offersAll: Removal = () => patch(RelayAccess.prototype, 'reachBytes', () => (bytes: number) => bytes)
  const bare = await without(offersAll, () => shortFrames(t))
  t.ok(bare.done < done, `the removal is noticed: ${bare.done} jobs are done, ${bare.lost} lost`)
})

t.test('the relay leaves SAEs their reserve: without that, it takes all of a lane', async t => {
  const left = await leastLeft(t)
  t.ok(left >= RESERVE, `${left} bytes are left`)
  const keepsNothing: Removal = () => patch(RelayAccess.prototype, 'keptBytes', () => () => 0)
  t.ok(await without(keepsNothing, () => leastLeft(t)) < RESERVE, 'the removal is noticed')
})
