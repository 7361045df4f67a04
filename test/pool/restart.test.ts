import t from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import type { World } from '../../sim/pool/world.js'

import { usableBytes, type AccountRow } from '../../src/pool/rows.js'
import { fetched, inside, keysFor, liveWorld, staysRight, until } from './lab.js'

// What a stop in good order keeps.

const burned = (account: AccountRow, cause: string): number => account.burned[cause] ?? 0
const refused = (world: World): number => world.nodes.reduce((sum, node) => sum + burned(node.pool.core.account, 'refused'), 0)

/** The proposer gets frames now and the other side later: their proposal is answered 'missing' meanwhile. @returns the late delivery. */
const halfDelivered = async (world: World, first: number, count = 16): Promise<() => void> => {
  const [a, b] = world.nodes
  const deliver = (node: SimNode): void => { for (let i = 0; i < count; i++) node.frame(first + i, first + i) }
  deliver(a)
  await world.wait(3_000)
  return () => { deliver(b) }
}
const lastProposed = (world: World): number => Math.max(...[...world.nodes[0].pool.core.blocks.values()].filter((b) => b.state === 'proposed').map((b) => b.number))
const stateAt = (world: World, node: 0 | 1, block: number): string => world.nodes[node].pool.core.blocks.get(block)?.state ?? 'none'
const restart = async (...nodes: SimNode[]): Promise<void> => {
  for (const node of nodes) await node.stop()
  for (const node of nodes) await node.start()
}

t.test('a proposal whose frames the other side lacks outlives a stop of both, of either, and a new connection', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  const trials: Record<string, () => Promise<void>> = {
    'a stop of both': () => restart(a, b), 'a stop of the other side': () => restart(b), 'a stop of the proposer': () => restart(a),
    'a new connection': async () => { a.pool.core.channel!.close('test') },
  }
  let first = 1_000_000
  for (const [what, trial] of Object.entries(trials)) {
    const deliver = await halfDelivered(world, first += 1_000), number = lastProposed(world)
    t.same([stateAt(world, 0, number), stateAt(world, 1, number)], ['proposed', 'none'])
    await trial()
    await world.wait(3_000)
    deliver()
    await world.wait(8_000)
    t.match([stateAt(world, 0, number), stateAt(world, 1, number)].join(), /^(usable|open),(usable|open)$/, `${what}: the block comes about`)
    t.equal(refused(world), 0, `${what}: nothing is refused`)
  }
  await staysRight(t, world)
})

t.test('a proposal that was answered \'missing\' and whose block is stored since is as dead as any after that', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  const deliver = await halfDelivered(world, 1_000_000)
  const number = lastProposed(world)
  await restart(a, b)
  deliver()
  await world.wait(8_000)
  t.ok(b.pool.core.blocks.has(number), 'it came about')
  const { lacked } = b.pool.agreement.answers as unknown as { lacked: { has (n: number): boolean } }
  t.notOk(lacked.has(number))
  b.kill()
  await b.start()
  t.notOk((b.pool.agreement.answers as unknown as { lacked: typeof lacked }).lacked.has(number), 'a crash brings no list back that was used')
  await staysRight(t, world)
})

/** Everything that the local pool of a node ever got is where it was: in blocks, delivered, or burned by these causes alone. */
const localAccount = (node: SimNode): { account: AccountRow, stock: number } => {
  const { core } = node.running.local
  return { account: core.account, stock: [...core.blocks.values()].reduce((sum, b) => sum + (b.state === 'closed' ? 0 : usableBytes(b) - b.spent), 0) }
}

t.test('a stop in good order gives a local pool\'s lease back: nothing of it is burned, nothing cut twice', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes
  const ids: string[] = []
  for (let time = 0; time < 4; time++) {
    ids.push(...await keysFor(world, 'a1', 'a2', 5 + time * 90))
    const before = localAccount(a)
    t.ok(before.account.leased > 0, 'something is leased')
    await a.stop()
    await a.start()
    const after = localAccount(a)
    t.equal(burned(after.account, 'crash'), 0)
    await world.wait(1_000)
    t.ok(after.account.delivered >= 32 * ids.length)
  }
  t.equal(new Set(ids).size, 5 + 95 + 185 + 275, 'as many names as keys')
  t.equal(await fetched(world, 'a2', 'a1', ids.slice(0, 20)), 'keys', 'what was cut before is served after')
  await staysRight(t, world)
})

t.test('a crash burns a local pool\'s lease, and no key comes twice', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes
  await keysFor(world, 'a1', 'a2', 5)
  const { leased } = localAccount(a).account
  a.kill()
  await a.start()
  t.equal(burned(localAccount(a).account, 'crash'), leased)
  t.equal((await keysFor(world, 'a1', 'a2', 5)).length, 5)
  await staysRight(t, world)
})

t.test('a cursor that gives back more than was leased and not cut is a doubt: every opened block is closed, and nothing comes twice', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes, { meta } = a.pool.core
  await keysFor(world, 'a1', 'b1', 32)
  await a.stop()
  const { index, offset } = meta.bye!.cursors[0]!
  t.ok(offset > 0, 'the lane stands within a block')
  await a.start()
  const { core } = a.pool, { bye } = core.meta
  const before = [...core.blocks.values()].filter((b) => b.owner === 'mine' && b.state === 'open')
  t.ok(before.length > 0)
  core.meta.bye = { ...bye!, cursors: [{ lane: 0, index, offset: offset - 8 }] }
  t.ok(await until(world, () => a.pool.lane.spending, 50, 200))
  t.same(before.filter((b) => core.blocks.has(b.number)).map((b) => b.number), [], 'nothing of them is left')
  t.equal((await keysFor(world, 'a1', 'b1', 32)).length, 32)
  await staysRight(t, world)
})

t.test('an ID epoch begins new numbers of associations before a lane goes on after a stop: blocks of the old ones are cut no more', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes
  await keysFor(world, 'a1', 'b1')
  await a.stop(2_000)
  await a.start()
  const { lane, core, epochs } = a.pool, resume = lane.start.resume.bind(lane.start), old = epochs.current!.epoch
  let resumed = 0
  inside(lane.start).resume = (...[blocks, cursor]: Parameters<typeof resume>) => {
    core.commit(() => { core.meta.generation = old + 1; core.meta.nextAssociation = 1 }) // As an epoch does that becomes active.
    resumed = blocks.length
    resume(blocks, cursor)
  }
  await world.wait(2_000)
  t.ok(resumed > 0, `${resumed} blocks were open`)
  const owned = [...core.blocks.values()].filter((b) => b.owner === 'mine' && b.purpose === 'app' && b.epoch <= old)
  t.same(owned.filter((b) => b.state === 'open' || b.state === 'usable').map((b) => b.number), [])
  for (let i = 0; i < 3; i++) { world.frames(60); await world.wait(3_000) }
  t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys')
  await staysRight(t, world)
})
