import t from 'tap'
import { packBody } from '../../src/peer/body.js'
import { balanced, keysOf, network, sameKeys } from './network.js'

t.setTimeout(120_000)
const line = [['A', 'B'], ['B', 'C']] as const

t.test('what goes back from the last node of the longest path fits its schema', async t => {
  const path = Array.from({ length: 33 }, (_, i) => `kme-${i}`), job = new Uint8Array(16)
  for (const hop of [0, path.length - 2]) {
    t.ok(packBody('relayReady', { job, path, hop, share: 0, bytes: 4_096 }).length > 0)
    t.ok(packBody('relayFailed', { job, path, hop, share: 0, at: path.at(-1)!, cause: 'unknown' }).length > 0)
  }
})

t.test('a pool that is used more than its least stock is filled ahead of its use', async t => {
  const world = await network(t, { seed: 41, links: line, relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 1 << 20 }, stockBytes: 100_001 })
  await world.run(8, 80)
  let keys = 0
  for (let i = 0; i < 30; i++) {
    keys += keysOf((await world.exchange('A', 'C', { number: 37 + i })).slave).length
    await world.run(0.5, 80)
  }
  t.ok(keys > 1_000, `${keys} keys at both`)
  balanced(t, world)
})

t.test('an arena too small for a job gives the job up, and the process goes on', async t => {
  const world = await network(t, { seed: 42, links: line, relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 1 << 19 }, arenaBytes: 96 * 4_096 })
  await world.run(12, 60)
  sameKeys(t, await world.exchange('A', 'B'), 'neighbours')
  balanced(t, world)
})

t.test('a node that says nothing is passed by', async t => {
  const world = await network(t, { seed: 43, links: [['A', 'B'], ['B', 'D'], ['A', 'E'], ['E', 'D']], relayed: [{ between: ['A', 'D'] }], relayLimits: { reserveBytes: 16_384, jobMs: 2_000 } })
  world.at('B').isSilent = true
  await world.run(14, 60)
  t.ok(world.at('E').running.relay.counters.passedJobs > 0, 'blocks go over E')
  sameKeys(t, await world.exchange('A', 'D'), 'round the silent node')
  balanced(t, world)
})

t.test('a node that announces key which it has not: nothing is spent on it, and blocks go another way', async t => {
  const links = [['A', 'B'], ['B', 'D'], ['A', 'E'], ['E', 'D']] as const
  const world = await network(t, { seed: 44, links, relayed: [{ between: ['A', 'D'] }], limits: { maxStockBytes: 1 << 19 } })
  // Every way is told to be good; the link B - D has hardly more than the tags of its messages need.
  world.deliver('B', 'D', 14)
  for (let i = 0; i < 56; i++) {
    for (const [a, b] of links) if (b !== 'D' || a !== 'B') world.deliver(a, b, 15)
    await world.wait(250)
  }
  t.ok(world.at('B').running.relay.counters.refused.stock + world.at('B').running.relay.counters.refused.unroutable > 0, 'B says that it has nothing')
  t.equal(world.at('A').running.relay.counters.lostBytes, 0, 'no bit was spent in vain')
  sameKeys(t, await world.exchange('A', 'D'), 'over E')
  balanced(t, world)
})
