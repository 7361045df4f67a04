import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { Avoid } from '../../src/relay/avoid.js'
import { defaultRelayLimits } from '../../src/relay/limits.js'
import { balanced, network } from './network.js'

const make = (): { clock: SimClock, avoid: Avoid } => { const clock = new SimClock(); return { clock, avoid: new Avoid(clock, defaultRelayLimits) } }
/** How long the link B - C is left out from now on. */
const closedMs = ({ clock, avoid }: ReturnType<typeof make>): number => {
  const startMs = clock.now()
  while (avoid.excludedHops.length > 0) clock.advance(100)
  return clock.now() - startMs
}

t.test('jobs that were under way together and met one closed link are one failure', async (t) => {
  const it = make()
  for (let i = 0; i < 20; i++) {
    it.avoid.hop('B', 'C')
    it.avoid.node('B')
    it.clock.advance(10)
  }
  t.equal(closedMs(it), 800)
  t.same(it.avoid.avoided, [])
})

t.test('there is room for 1,024 links; one that fails again needs none', async (t) => {
  const { avoid, clock } = make()
  for (let i = 0; i < 1_024; i++) avoid.hop('B', `c${i}`)
  clock.advance(900)
  avoid.hop('B', 'c5')
  t.equal(avoid.excludedHops.length, 1_024)
  avoid.hop('B', 'new')
  t.match(avoid.excludedHops, { length: 1_024, 0: { to: 'c1' } })
})

t.test('who fails again when asked again is left out for twice as long, up to a bound; who went well is forgiven, and so is who was left alone', async (t) => {
  const it = make(), times: number[] = []
  for (let i = 0; i < 8; i++) {
    it.avoid.hop('B', 'C')
    times.push(closedMs(it))
  }
  t.same(times, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  it.avoid.forgive(['A', 'B', 'C'])
  it.avoid.hop('B', 'C')
  t.equal(closedMs(it), 1_000)
  it.avoid.hop('B', 'C')
  it.clock.advance(2_000 + defaultRelayLimits.avoidMaxMs + 1)
  it.avoid.hop('B', 'C')
  t.equal(closedMs(it), 1_000)
})

t.test('the pool of a link on the way is voided under load: blocks come again soon, however many were under way', async (t) => {
  const world = await network(t, { seed: 71, links: [['A', 'B'], ['B', 'C']], relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 32 << 20 }, stockBytes: 30 << 20, keepAliveMs: 500 })
  await world.run(6, 48)
  const { relay } = world.at('A').running, before = relay.counters.jobs
  t.ok(relay.counters.jobsDone > 4)
  for (let i = 0; i < 4; i++) relay.tick()
  world.at('B').running.run(() => { world.at('B').running.pools.get('C')!.void('a test') })
  let done = relay.counters.jobsDone, sinceMs = world.clock.now(), restMs = 0
  for (let i = 0; i < 32; i++) {
    await world.run(0.25, 48)
    if (relay.counters.jobsDone > done) { restMs = Math.max(restMs, world.clock.now() - sinceMs); sinceMs = world.clock.now() }
    done = relay.counters.jobsDone
  }
  restMs = Math.max(restMs, world.clock.now() - sinceMs)
  t.comment(`${relay.counters.jobs - before} jobs, the longest rest was ${restMs} ms, refused: ${JSON.stringify(world.at('B').running.relay.counters.refused)}`)
  t.ok(restMs <= 6_000, `${restMs} ms`)
  balanced(t, world)
})
