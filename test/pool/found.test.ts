import t from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import type { World } from '../../sim/pool/world.js'
import type { Answer } from '../../sim/sae-answer.js'
import { fetched, keysFor, liveWorld, staysRight } from './lab.js'

// What runs of the model found, each in the few steps that bring it about.

t.test('a slave beside its master fetches as many keys at once as one elsewhere, though they lie in the lane with another KME', async (t) => {
  const world = await liveWorld(t)
  let ids: string[] = []
  for (let i = 0; i < 4 && ids.length === 0; i++) {
    world.ask('b1', ['a1', 'b2'], 100, 128, (answer) => { if ('keys' in answer) ids = answer.keys.map((k) => k.id) })
    await world.wait(500)
  }
  t.equal(ids.length, 100)
  t.equal(await fetched(world, 'b2', 'b1', ids), 'keys', 'more than are tried with pools that are not meant')
  t.equal(await fetched(world, 'a1', 'b1', ids), 'keys')
  await staysRight(t, world)
})

t.test('of a slow link\'s key one side gets some though the other uses all that comes, and a rest of a block is left to it', async (t) => {
  const world = await liveWorld(t, { limits: { maxStockBytes: 262_144 } }, 32), [a] = world.nodes
  const useAll = async (master: string, slave: string, number: number): Promise<void> => { for (let i = 0; i < 40 && (await keysFor(world, master, slave, number, 1_000, 1)).length > 0;) i++ }
  await useAll('a1', 'b1', 30)
  const rest = a.pool.lane.freeBytes(true)
  t.ok(rest > 0 && rest < 30 * 128, `${rest} bytes are left`)
  for (let round = 0; round < 8; round++) {
    await useAll('b1', 'a1', 32)
    if (round < 7) world.frames(4)
    await world.wait(2_000)
  }
  t.equal((await keysFor(world, 'a1', 'b1', 30, 1_000)).length, 30)
  await staysRight(t, world)
})

const owners = (world: World): string[] => {
  const [a, b] = world.nodes.map((node) => node.pool.core.blocks)
  return [...a!.values()].filter((x) => x.purpose === 'app').map((x) => [x.owner, b!.get(x.number)?.owner].sort().join())
}
const grant = async (world: World, to: SimNode): Promise<void> => {
  to.pool.core.send('grantAsk', { lane: 0, blocks: 64 })
  await world.wait(500)
}

t.test('a store that came back as an older one, with another identity, gives blocks away and they are taken', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  const copy = a.disk.copy()
  for (let i = 0; i < 4; i++) { await grant(world, b); world.frames(80); await world.wait(3_000) }
  const taken = b.pool.core.meta.grantTaken
  t.ok(taken > 2, 'grants were taken of the store as it was')
  world.doubt()
  a.kill()
  a.disk.restore(copy)
  a.rolledBack = 'the stamp is not its own'
  await a.start()
  await world.wait(3_000)
  for (let i = 0; i < 3; i++) { world.frames(80); await world.wait(3_000) }
  world.check()
  await grant(world, b)
  const given = a.pool.core.meta.grantGiven
  t.ok(given > 0 && given <= taken, `it counts grants from less (${given} of ${taken})`)
  t.same(owners(world).filter((pair) => pair !== 'mine,theirs'), [], 'every block has one owner')
  await staysRight(t, world)
})

t.test('association numbers begin anew more often than spaces of them are kept', async (t) => {
  const world = await liveWorld(t, { limits: { keyTtlMs: 60_000, fetchTtlMs: 20_000 } }), [a, b] = world.nodes
  for (let time = 1; time <= 10; time++) {
    a.pool.core.meta.nextAssociation = 60_001 // They are used up.
    for (let turn = 0; turn < 16 && a.pool.core.meta.generation <= time; turn++) { world.frames(16); await world.wait(60_000) } // Until the blocks of older epochs are gone.
    t.equal(a.pool.core.meta.generation, time + 1, `they began anew ${time} times`)
    world.frames(24)
    await world.wait(5_000)
    t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys', 'and a key is given and fetched')
  }
  t.equal(b.pool.core.ready, true)
  t.same(world.ledger.violations, [])
})

t.test('one side uses all of a slow link as it comes: the other gets key all the same', async (t) => {
  const world = await liveWorld(t, {}, 40), given = { a1: 0, b1: 0 }
  for (let i = 0; i < 240; i++) {
    const count = (sae: 'a1' | 'b1') => (answer: Answer): void => { if ('keys' in answer && i >= 120) given[sae] += answer.keys.length }
    for (let k = 0; k < 8; k++) world.ask('a1', ['b1'], 8, 1_024, count('a1'))
    world.ask('b1', ['a1'], 8, 1_024, count('b1'))
    world.frames(1)
    await world.wait(250)
  }
  t.ok(given.a1 > 40 && given.b1 > 40, `both get key (${JSON.stringify(given)})`)
  await staysRight(t, world)
})
