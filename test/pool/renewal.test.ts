import t from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import type { World } from '../../sim/pool/world.js'
import type { PoolCore } from '../../src/pool/core.js'
import { inside, fetched, keysFor, liveWorld, staysRight } from './lab.js'

// Numbers of associations that are used up begin anew with the next ID epoch, in the step that makes it active, and not before.

const PER_EPOCH = 3, BATCH_FRAMES = 32
const limits = { associationsPerEpoch: PER_EPOCH, keyTtlMs: 600_000, fetchTtlMs: 60_000 }

/** All numbers are given; the next association needs another space of them. */
const useUp = (node: SimNode): void => { node.pool.core.meta.nextAssociation = PER_EPOCH + 1 }
/** Of the blocks that keys are cut from. */
const epochsOf = ({ blocks }: PoolCore): number[] => [...new Set([...blocks.values()].filter((b) => b.owner === 'mine' && b.purpose === 'app' && b.state !== 'closed').map((b) => b.epoch))]
const feed = async (world: World, rounds: number): Promise<void> => { for (let i = 0; i < rounds; i++) { world.frames(24); await world.wait(3_000) } }

for (const [home, master, slave, other] of [[0, 'a1', 'b1', 'b2'], [1, 'b1', 'a1', 'a2']] as const) {
  t.test(`no epoch can be founded for long: what is open goes on, and a new association comes when one can (${master})`, async (t) => {
    const world = await liveWorld(t, { limits }), node = world.nodes[home]
    for (let n = 0; n < 6 && !world.nodes.some((each) => each.pool.epochs.isFull); n++) {
      useUp(node)
      await feed(world, 3)
    }
    t.ok(world.nodes.some((each) => each.pool.epochs.isFull), 'blocks of four epochs are alive')
    const ids = await keysFor(world, master, slave, 2), { generation } = node.pool.core.meta
    t.equal(ids.length, 2)
    useUp(node)
    await feed(world, 4)
    t.equal((await keysFor(world, master, other, 1, 256, 3)).length, 0, 'there is no number for another slave')
    for (let i = 0; i < 5; i++) t.equal((await keysFor(world, master, slave, 2, 256, 1)).length, 2, 'keys are issued as before')
    t.equal(await fetched(world, slave, master, ids), 'keys', 'and what was issued is fetched')
    for (let i = 0; i < 20 && node.pool.core.meta.generation === generation; i++) { await world.wait(80_000); await feed(world, 1) } // The blocks of the oldest epoch go.
    t.ok(node.pool.core.meta.generation > generation, 'then the numbers begin anew')
    await feed(world, 2)
    const more = await keysFor(world, master, other)
    t.equal(more.length, 1, 'and the other slave has its number')
    t.equal(await fetched(world, other, master, more), 'keys')
    await staysRight(t, world)
  })
}

t.test('a full pool that nobody uses takes the frames of an epoch, and burns nothing for them', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t, { limits: { ...limits, maxStockBytes: 400_000, authReserveBytes: 4_096 } }), node = world.nodes[home]
    for (const each of world.nodes) each.pool.pads.left = () => 1 << 20 // Nor do they lack pads.
    await feed(world, 2)
    t.same(world.nodes.map((each) => each.pool.hungry), [false, false], 'both are full')
    let burned = -1
    inside(node.pool.epochs).onNumbersBegun = () => { burned = node.pool.core.account.burned.epoch ?? 0; node.pool.renewal.begun() }
    useUp(node)
    await feed(world, 4)
    t.equal(burned, 0)
    t.equal(node.pool.core.meta.generation, 2, `the numbers of ${node.o.id} begin anew`)
    const [master, slave] = home === 0 ? ['a1', 'b1'] as const : ['b1', 'a1'] as const
    t.equal(await fetched(world, slave, master, await keysFor(world, master, slave)), 'keys')
    t.same(world.ledger.violations, [])
  }
})

t.test('a full pool that is suspended, and founds no epoch, takes no more frames than one may take', async (t) => {
  const world = await liveWorld(t, { limits: { ...limits, maxStockBytes: 400_000, authReserveBytes: 4_096 } }), [node] = world.nodes
  for (const each of world.nodes) each.pool.pads.left = () => 1 << 20
  await feed(world, 2)
  node.pool.suspend('a test')
  useUp(node)
  await feed(world, 5)
  t.ok(node.pool.pending.size >= 16 && node.pool.pending.size < 16 + BATCH_FRAMES, `${node.pool.pending.size} frames wait here, the others in the ring`)
  node.pool.release()
  await feed(world, 2)
  t.equal(node.pool.core.meta.generation, 2)
  await staysRight(t, world)
})

/** The process of `node` dies in the step in which the numbers of this pool of its begin anew. What it committed stays. */
const dieAtBegin = (node: SimNode, pool: { readonly epochs: object }): void => {
  inside(pool.epochs).onNumbersBegun = () => { node.kill(); throw new Error('the process is dead') }
}

for (const home of [0, 1] as const) {
  const [master, slave, other] = home === 0 ? ['a1', 'b1', 'b2'] as const : ['b1', 'a1', 'a2'] as const
  t.test(`a crash in the step that begins the numbers anew: no key is cut of the old epoch (${master})`, async (t) => {
    const world = await liveWorld(t, { limits }), node = world.nodes[home]
    const ids = await keysFor(world, master, slave, 4)
    dieAtBegin(node, node.pool)
    useUp(node)
    await feed(world, 3)
    t.equal(node.process, undefined)
    await node.start()
    await feed(world, 3)
    t.equal(node.pool.core.meta.generation, 2)
    t.same(epochsOf(node.pool.core), [2], 'the lane holds blocks of the new epoch only')
    t.equal(await fetched(world, other, master, await keysFor(world, master, other)), 'keys')
    t.not(await fetched(world, other, master, ids.slice(0, 1)), 'keys', 'a key of the old space has its own slave')
    await staysRight(t, world)
  })
}

t.test('a crash in that step of the pool with itself: no key is cut of the old epoch', async (t) => {
  const world = await liveWorld(t, { limits }), [node] = world.nodes
  const ids = await keysFor(world, 'a1', 'a2', 4)
  dieAtBegin(node, node.running.local)
  node.running.local.core.meta.nextAssociation = PER_EPOCH + 1
  await keysFor(world, 'a1', 'a3')
  t.equal(node.process, undefined)
  await node.start()
  t.same(epochsOf(node.running.local.core), [2], 'the lane holds blocks of the new epoch only')
  t.equal(await fetched(world, 'a3', 'a1', await keysFor(world, 'a1', 'a3')), 'keys')
  t.equal(await fetched(world, 'a2', 'a1', ids), 'keys', 'what was issued is fetched')
  await staysRight(t, world)
})
