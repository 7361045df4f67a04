import t from 'tap'
import { plainWorld, World } from '../../sim/pool/world.js'
import { PendingFrames } from '../../src/pool/pending.js'
import { fetched, inside, keysFor, liveWorld, staysRight } from './lab.js'

const FRAME_BYTES = 3_968, MAX_BYTES = 131_072, BATCH_FRAMES = 32
const limits = { ...plainWorld.limits, maxStockBytes: MAX_BYTES, authReserveBytes: 16_384 }

t.test('frames of a small pool that lacks pads wait in the ring beyond its limit, and are taken when the peer comes', async (t) => {
  const world = new World(5, { ...plainWorld, limits }), [a, b] = world.nodes
  t.teardown(() => { world.dispose() })
  world.network.cut('A', 'B')
  world.network.cut('B', 'A')
  for (const node of world.nodes) await node.start()
  for (let i = 0; i < 10; i++) { world.frames(30); await world.wait(1_000) }
  for (const { pool } of [a, b]) {
    t.ok(pool.pads.left('mine') === 0 && pool.pending.bytes >= MAX_BYTES, 'the pool is at its limit, and without pads')
    t.ok(pool.pending.bytes < MAX_BYTES + BATCH_FRAMES * FRAME_BYTES, `by a batch at most (${pool.pending.bytes})`)
    t.notOk(pool.hungry)
  }
  await staysRight(t, world) // The lines are joined, pads and blocks are made.
})

t.test('frames that one side alone has, up to its limit, do not stop the link', async (t) => {
  const world = await liveWorld(t, { limits }, 0), [, b] = world.nodes
  world.frames(8) // An ID epoch, and some pads.
  await world.wait(5_000)
  for (let i = 0; i < 4; i++) { world.frames(20, { missing: () => 0 }); await world.wait(1_000) }
  t.ok(b.pool.pending.bytes >= MAX_BYTES, 'what nobody proposes fills the side that does not propose')
  for (let i = 0; i < 8; i++) { world.frames(16); await world.wait(10_000) }
  t.ok((b.pool.core.account.burned['unmatched'] ?? 0) >= MAX_BYTES, 'it is given up')
  t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys', 'and key is agreed on')
  await staysRight(t, world)
})

t.test('frames that the proposer alone has, more than it may propose at once, do not stop the link', async (t) => {
  const world = await liveWorld(t, {}, 32), [a] = world.nodes
  for (let i = 0; i < 20; i++) { world.frames(64, { missing: () => 1 }); await world.wait(100) }
  world.frames(64)
  const agreed = (): number => [...a.pool.core.blocks.values()].reduce((sum, block) => block.state !== 'proposed' ? sum + block.bytes : sum, 0), before = agreed()
  await world.wait(3_000)
  t.ok(agreed() - before >= 48 * FRAME_BYTES, `what both have is agreed on beside them (${agreed() - before} bytes)`)
  await world.wait(7_000)
  t.equal(a.pool.core.account.burned['unmatched'] ?? 0, 1_280 * FRAME_BYTES, 'what one alone has is given up as soon as the other has later frames')
  await staysRight(t, world)
})

t.test('a side that lacks what is proposed takes from its ring beyond its limit, until it comes', async (t) => {
  const world = await liveWorld(t, { limits }, 0), [a, b] = world.nodes
  world.frames(8)
  await world.wait(5_000)
  for (let i = 0; i < 2; i++) { world.frames(20, { missing: () => 0 }); await world.wait(1_000) }
  t.ok(b.pool.pending.bytes >= MAX_BYTES, 'what nobody proposes fills the side that does not propose')
  const burned = (): number => [a, b].reduce((sum, node) => sum + (node.pool.core.account.burned['unmatched'] ?? 0), 0), before = burned()
  world.frames(60)
  await world.wait(3_000)
  t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys', 'key is agreed on at once')
  t.equal(burned(), before, 'before anything is given up')
  await staysRight(t, world)
})

t.test('frames that were burned at one side are refused there at once, and not waited for', async (t) => {
  const world = await liveWorld(t, {}, 32), [a, b] = world.nodes
  world.network.cut('A', 'B')
  world.network.cut('B', 'A')
  await world.wait(500)
  world.frames(16)
  const { core, pending } = b.pool
  t.equal(pending.size, 16)
  core.commit((tx) => { inside(b.pool).agreement.burnPending(tx, pending.peek(16), 'void') })
  world.network.join('A', 'B')
  world.network.join('B', 'A')
  await world.wait(15_000)
  t.ok((a.pool.core.account.burned['refused'] ?? 0) > 0, 'the proposer burns them')
  t.equal(a.pool.core.account.burned['unmatched'] ?? 0, 0, 'before it would give up waiting')
  world.frames(60)
  await world.wait(3_000)
  t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys')
})

t.test('of burned frames the last 8,192 are known', async (t) => {
  const world = await liveWorld(t, {}, 8), pending = new PendingFrames(world.nodes[0].pool.core, [1])
  const frames = Array.from({ length: 8_193 }, (_, i) => ({ link: 1, id: i.toString(16).padStart(32, '0'), offset: 0, length: FRAME_BYTES }))
  pending.burned(frames)
  t.same([frames[0]!, frames[1]!, frames[8_192]!].map((f) => pending.isGone(f)), [false, true, true])
})

t.test('frames are on their way to a block for five seconds after the last of them came', async (t) => {
  const world = await liveWorld(t, {}, 8), pending = new PendingFrames(world.nodes[0].pool.core, [1])
  const frame = (offset: number): Parameters<PendingFrames['add']>[0] => ({ link: 1, id: '0'.repeat(32), offset, length: FRAME_BYTES })
  t.notOk(pending.isFresh)
  pending.add(frame(0))
  await world.wait(4_900)
  t.ok(pending.isFresh)
  pending.add(frame(1))
  await world.wait(4_900)
  t.ok(pending.isFresh)
  await world.wait(200)
  t.notOk(pending.isFresh)
  pending.add(frame(2))
  pending.remove([frame(0), frame(1), frame(2)])
  t.notOk(pending.isFresh, 'none is left')
})
