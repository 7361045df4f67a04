/** A ring of six: A and C share key over B. What breaks there must not keep it from coming over F, E and D for more than a second. */
import t, { type Test } from 'tap'
import type { MeshWorld } from '../../sim/mesh/world.js'
import { balanced, network, sameKeys } from './network.js'

t.setTimeout(120_000)
const ring = [['A', 'B'], ['B', 'C'], ['C', 'D'], ['D', 'E'], ['E', 'F'], ['F', 'A']] as const
const KEEP_ALIVE_MS = 250, STEP_MS = 10, REST_MAX_MS = 1_000

const passedJobs = (world: MeshWorld, id: string): number => world.at(id).running.relay.counters.passedJobs

/** Blocks come to A and C over B. */
const running = async (t: Test, seed: number): Promise<MeshWorld> => {
  const world = await network(t, { seed, links: ring, relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 32 << 20 }, stockBytes: 30 << 20, keepAliveMs: KEEP_ALIVE_MS, tickMs: 50, delayMs: 2 })
  // Much key on the short way, little on the long one.
  for (let i = 0; i < 24; i++) {
    for (const [a, b] of ring) world.deliver(a, b, a === 'A' && b === 'B' || b === 'C' ? 32 : 8)
    await world.wait(250)
  }
  t.ok(passedJobs(world, 'B') > 4 * passedJobs(world, 'E'), 'blocks come over B, but for a few')
  return world
}

/** @returns simulated time until both ends have taken in a block that came over E since. */
const restMs = async (world: MeshWorld, breaks: () => void, isDead: (line: string) => boolean): Promise<number> => {
  const ends = ['A', 'C'].map((id) => world.at(id).running.relayed.get(id === 'A' ? 'C' : 'A')!)
  const ingested = (): number[] => ends.map((pool) => pool.core.account.ingested)
  const startMs = world.clock.now(), passed = passedJobs(world, 'E')
  breaks()
  let before: number[] | undefined
  for (let ms = 0; ms < 5 * REST_MAX_MS; ms += STEP_MS) {
    if (ms % 250 === 0) for (const [a, b] of ring) if (!isDead(a + b)) world.deliver(a, b, 8)
    await world.wait(STEP_MS)
    if (before === undefined && passedJobs(world, 'E') > passed) before = ingested()
    if (before !== undefined && ingested().every((bytes, i) => bytes > before![i]!)) break
  }
  return world.clock.now() - startMs
}

const ways: Record<string, { breaks: (world: MeshWorld) => void, isDead: (line: string) => boolean, seesInMs: number }> = {
  'a link beyond the neighbour': { breaks: (world) => { world.cut('B', 'C') }, isDead: (line) => line === 'BC', seesInMs: 2.1 * KEEP_ALIVE_MS },
  'the process of the node between': { breaks: (world) => { world.at('B').kill() }, isDead: (line) => line.includes('B'), seesInMs: 0 },
  'the power of the node between': { breaks: (world) => { for (const other of ['A', 'C']) world.network.partition('B', other) }, isDead: (line) => line.includes('B'), seesInMs: 2.1 * KEEP_ALIVE_MS },
}

for (const [what, { breaks, isDead, seesInMs }] of Object.entries(ways)) {
  t.test(what, async t => {
    const world = await running(t, 61)
    const connections = (): number[] => [['A', 'C'], ['C', 'A']].map(([id, other]) => world.at(id!).running.control.manager.status(other!).counters.connections)
    const before = connections()
    const ms = await restMs(world, () => { breaks(world) }, isDead)
    t.comment(`fresh key after ${ms} ms, ${seesInMs} of them until somebody sees it`)
    t.ok(ms <= Math.min(REST_MAX_MS, seesInMs + 350), `${ms} ms`)
    t.same(connections(), before, 'the control channel has gone along')
    sameKeys(t, await world.exchange('A', 'C'), 'A to C')
    sameKeys(t, await world.exchange('C', 'A'), 'C to A')
    balanced(t, world)
  })
}
