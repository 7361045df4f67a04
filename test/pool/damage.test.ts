import t from 'tap'
import type { LocalPool } from '../../src/pool/local-pool.js'
import type { Pool } from '../../src/pool/pool.js'
import type { BlockRow } from '../../src/pool/rows.js'
import { alarms, blockOf, damage, damageBlock, fetched, inside, keysFor, liveWorld, staysRight } from './lab.js'

t.setTimeout(120_000)
t.test('records of frames that wait for a block are damaged: at either end they are burned, and agreement goes on', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t)
    const node = world.nodes[home]
    world.network.partition('A', 'B')
    await world.wait(30_000)
    world.frames(32)
    await world.wait(500)
    for (const frame of node.pool.pending.peek(3)) damage(node, frame)
    world.network.join('A', 'B')
    await world.wait(40_000)
    t.ok(alarms(node, 'integrity.record') > 0, `${node.o.id} raises an alarm`)
    t.ok(node.process !== undefined && node.bugs.length === 0, 'and lives')
    t.equal(world.nodes[0].pool.pending.size, 0, 'nothing is left over at A')
    await staysRight(t, world)
  }
})

/** Own blocks with keys, of which nothing is in the vault. */
const notLeased = (pool: Pool | LocalPool): BlockRow[] => [...pool.core.blocks.values()]
  .filter((b) => b.owner === 'mine' && b.purpose === 'app' && (b.state === 'open' || b.state === 'usable') && !inside(pool.lane).leases.has(b))
  .sort((x, y) => x.number - y.number)

t.test('a record of a block whose keys are about to be leased is damaged: the block is closed, others serve', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  t.equal((await keysFor(world, 'a1', 'b1')).length, 1)
  damageBlock(a, notLeased(a.pool)[0]!)
  for (let i = 0; i < 12; i++) await keysFor(world, 'a1', 'b1', 128, 1_024, 1)
  t.ok(alarms(a, 'integrity.record') > 0)
  t.ok(a.process !== undefined)
  t.ok((a.pool.core.account.burned['damaged'] ?? 0) > 0, 'what was leased and not cut is burned')
  world.frames(90)
  await staysRight(t, world)
})

t.test('the record of a key that a slave asks for is damaged: that key is lost, its owner stops cutting there', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const ids = await keysFor(world, 'a1', 'b1', 2)
  const block = blockOf(b, 'app', 'theirs', 'open')
  damageBlock(b, block)
  world.ledger.doubt() // The key is lost, and nobody owes it.
  t.equal(await fetched(world, 'b1', 'a1', [ids[0]!]), 'KEYS_NOT_FOUND')
  t.ok(alarms(b, 'integrity.record') > 0)
  t.ok(b.audit.some((e) => e.kind === 'refused' && e.block === block.number), 'the audit trail says so')
  await world.wait(1_000)
  t.not(a.pool.core.blocks.get(block.number)?.state, 'open', 'the owner has closed it')
  world.ledger.sure()
  await staysRight(t, world)
})

t.test('a local pool with a damaged record goes on', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  const { local } = a.running
  t.equal((await keysFor(world, 'a1', 'a2', 1)).length, 1)
  const bad = notLeased(local)
  for (const b of bad) damageBlock(a, b, local)
  for (let i = 0; i < 12; i++) await keysFor(world, 'a1', 'a2', 128, 1_024, 1)
  t.ok(alarms(a, 'integrity.record') > 0)
  t.notOk(bad.some((b) => local.core.blocks.get(b.number)?.state === 'open'), 'none of them is cut from')
  t.equal(await fetched(world, 'a2', 'a1', await keysFor(world, 'a1', 'a2')), 'keys', 'fresh blocks serve')
  await staysRight(t, world)
})

t.test('damaged blocks for pads and ID keys are replaced', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  damageBlock(a, blockOf(a, 'auth', 'mine'))
  damageBlock(a, blockOf(a, 'auth', 'theirs'))
  for (let i = 0; i < 6; i++) { await keysFor(world, 'a1', 'b1'); await keysFor(world, 'b1', 'a1'); world.frames(20); await world.wait(2_000) }
  t.ok(alarms(a, 'integrity.record') > 0)
  // An ID block whose records cannot be read by the one, then by the other.
  for (const node of [a, b] as const) {
    const before = a.pool.core.meta.highestEpoch
    const { epochs, views } = node.pool
    let isBroken = true
    const derive = inside(epochs).derive.bind(epochs)
    inside(epochs).derive = (block: BlockRow) => { if (isBroken) { isBroken = false; damageBlock(node, block) } return derive(block, views) }
    a.pool.epochs.onAsk(before + 1)
    for (let i = 0; i < 6; i++) { world.frames(20); await world.wait(2_500) }
    t.notOk(isBroken)
    t.ok(a.pool.epochs.current!.epoch > before, `${node.o.id}: another epoch was founded`)
    t.equal(a.pool.epochs.current!.epoch, b.pool.epochs.current!.epoch)
    t.notOk([...node.pool.core.blocks.values()].some((x) => x.purpose === 'id'), 'no ID block is left over')
  }
  await staysRight(t, world)
})

t.test('a store with damaged records starts: frames that wait and headers included', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  world.network.partition('A', 'B')
  await world.wait(500)
  world.frames(8)
  await world.wait(300)
  const [first, second, third] = a.pool.pending.peek(3)
  damage(a, first!, 28) // the payload's length
  damage(a, second!, 9) // the name
  damage(a, third!, 32) // the key slot
  const app = blockOf(a, 'app', 'mine')
  for (const f of a.pool.core.framesOf(app.number)) damage(a, f, 32)
  a.kill()
  await a.start()
  t.ok(a.process !== undefined)
  world.network.join('A', 'B')
  await world.wait(40_000)
  t.same(a.bugs, [])
  await keysFor(world, 'a1', 'b1')
})
