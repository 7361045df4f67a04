import t, { type Test } from 'tap'
import { plainWorld, World } from '../../sim/pool/world.js'
import type { SimNode } from '../../sim/pool/node.js'
import { inside, staysRight } from './lab.js'

/** The ring of a simulated KME takes so many at once. */
const RING_FRAMES = 64
/** More than a pool keeps: 8,192. */
const MANY = 9_000
const MAX_BYTES = 1 << 20

interface Case {
  /** Nothing was agreed on before. */
  readonly young: boolean
  /** Frames that this end alone has, before those that both get. */
  readonly proposer?: number, readonly other?: number
  readonly lengthBytes?: number
  /** How much later the other end gets each frame. */
  readonly lateMs?: number
  readonly withinMs: number
}

let frame = 1_000_000

const feed = async (world: World, node: SimNode, count: number, lengthBytes: number): Promise<void> => {
  for (let left = count; left > 0; left -= RING_FRAMES) {
    for (let i = 0; i < Math.min(RING_FRAMES, left); i++) node.frame(++frame, frame, lengthBytes)
    await world.wait(20)
  }
}

const stockOf = (nodes: readonly SimNode[], above: number): number =>
  nodes.reduce((sum, { pool }) => sum + [...pool.core.blocks.values()].filter((b) => b.number > above && b.purpose === 'app' && b.owner === 'mine' && b.state === 'usable').length, 0)

/** @returns the simulated time until blocks for keys are there of what both ends got after what one had alone. */
const resumes = async (t: Test, { young, proposer = 0, other = 0, lengthBytes = 3_968, lateMs = 0, withinMs }: Case): Promise<void> => {
  const world = new World(5, { ...plainWorld, limits: { ...plainWorld.limits, maxStockBytes: MAX_BYTES } })
  t.teardown(() => { world.dispose() })
  for (const node of world.nodes) await node.start()
  await world.wait(300)
  if (!young) for (let i = 0; i < 2; i++) { world.frames(90); await world.wait(3_000) }
  const [first, second] = world.nodes[0].pool.core.proposer ? world.nodes : [world.nodes[1], world.nodes[0]]
  await Promise.all([feed(world, first, proposer, lengthBytes), feed(world, second, other, lengthBytes)])
  const startMs = world.clock.monoMs(), above = first.pool.core.meta.highestBlock, late: { readonly id: number, readonly atMs: number }[] = []
  while (stockOf(world.nodes, above) < 4 && world.clock.monoMs() - startMs < withinMs) {
    for (let i = 0; i < 4; i++) {
      first.frame(++frame, frame)
      late.push({ id: frame, atMs: world.clock.monoMs() + lateMs })
    }
    while (late[0] !== undefined && late[0].atMs <= world.clock.monoMs()) { const { id } = late.shift()!; second.frame(id, id) }
    await world.wait(50)
  }
  t.ok(stockOf(world.nodes, above) >= 4, `stock for keys after ${world.clock.monoMs() - startMs} ms`)
  const { burned } = inside(first.pool.core.account) as { burned: Record<string, number> }
  if (lateMs > 0) t.ok((burned['unmatched'] ?? 0) <= 24 * 3_968, 'late frames are waited for: hardly any are given up')
  else await staysRight(t, world)
}

// The limits are some times what each takes. An end that waits for all that it may never get, or never gives up, takes minutes, or for ever.
const cases: Readonly<Record<string, Case>> = {
  'a new pool, the proposer alone has a few': { young: true, proposer: 200, withinMs: 8_000 },
  'a new pool, the proposer alone has more than its limit': { young: true, proposer: 500, withinMs: 20_000 },
  'a new pool, each has more than its limit alone': { young: true, proposer: 500, other: 500, withinMs: 20_000 },
  'a new pool, the other side alone has as many as it takes': { young: true, other: MANY, lengthBytes: 64, withinMs: 20_000 },
  'a pool with stock, the proposer alone has as many as it takes': { young: false, proposer: MANY, lengthBytes: 64, withinMs: 15_000 },
  'a pool with stock, the other side alone has as many as it takes': { young: false, other: MANY, lengthBytes: 64, withinMs: 15_000 },
  'a new pool whose other end gets everything five seconds later': { young: true, lateMs: 5_000, withinMs: 15_000 },
}
for (const [name, of] of Object.entries(cases)) t.test(`frames that one end alone has: ${name}`, (t) => resumes(t, of))

t.test('frames that both have and that waited long are not given up when newer ones are proposed before them', async (t) => {
  const world = new World(5, plainWorld)
  t.teardown(() => { world.dispose() })
  for (const node of world.nodes) await node.start()
  await world.wait(300)
  const [first, second] = world.nodes[0].pool.core.proposer ? world.nodes : [world.nodes[1], world.nodes[0]]
  first.pool.suspend('for a while')
  await feed(world, first, 64, 3_968)
  for (let i = 0; i < 5; i++) { world.frames(64); await world.wait(200) }
  await world.wait(60_000)
  first.pool.release()
  await world.wait(60_000)
  const [one, both] = [first, second].map(({ pool }) => (pool.core.account.burned['unmatched'] ?? 0) / 3_968)
  t.ok(one! >= 64 && one! < 80, `what one alone has goes (${one} frames)`)
  t.ok(both! < 16, `of what both have at most a block's frames that lay beside it (${both})`)
  await staysRight(t, world)
})
