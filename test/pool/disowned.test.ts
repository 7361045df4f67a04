import t, { type Test } from 'tap'
import { plainWorld, World } from '../../sim/pool/world.js'

/** A world with stock on both sides and a key issued within A and one from A to B. */
const live = async (t: Test): Promise<World> => {
  const world = new World(11, plainWorld)
  t.teardown(() => { world.dispose() })
  for (const node of world.nodes) await node.start()
  await world.wait(1_500)
  world.frames(80)
  await world.wait(3_000)
  return world
}

t.test('a store with a new identity starts with nothing of its old stock, before any peer says so', async (t) => {
  const world = await live(t)
  const [a, b] = world.nodes
  t.ok([...a.pool.core.blocks.values()].length > 2 && a.pool.pads.left('mine') > 0, 'there was stock')
  const localBlocks = [...a.running.local.core.blocks.keys()]
  b.kill()
  a.kill()
  a.rolledBack = 'the stamp is not its own'
  await a.start()
  await world.wait(5_000)
  t.equal(a.pool.core.blocks.size, 0, 'no block of the neighbour\'s pool is left')
  t.equal(a.pool.pending.size, 0, 'and no frame')
  t.equal(a.pool.pads.left('mine'), 0, 'and no pad')
  t.same(a.pool.epochs.live(), [], 'and no ID key')
  const { local } = a.running
  t.notOk([...local.core.blocks.keys()].some((n) => localBlocks.includes(n)), 'the local pool has other blocks')
  t.same(a.bugs, [])
})

t.test('the local pool of such a store fills with fresh blocks once, and delivers', async (t) => {
  const world = await live(t)
  const [a] = world.nodes
  a.kill()
  a.rolledBack = 'the stamp is not its own'
  await a.start()
  const made = (): number => a.running.local.core.meta.highestBlock
  const before = made()
  await world.wait(5_000)
  t.equal(made(), before, 'no block is made and burned at each tick')
  let keys = 0
  world.ask('a1', ['a2'], 2, 256, (answer) => {
    if (!('keys' in answer)) return
    keys = answer.keys.length
    world.fetch('a2', 'a1', answer.keys.map((k) => k.id), (second) => { t.ok('keys' in second, 'the slave gets them') })
  })
  await world.wait(500)
  t.equal(keys, 2)
  t.same(world.ledger.violations, [])
  t.same(a.bugs, [])
})
