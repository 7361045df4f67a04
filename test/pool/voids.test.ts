import t, { type Test } from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import type { World } from '../../sim/pool/world.js'
import { runVoid, voidPartOf, type VoidOrder, type VoidResult } from '../../src/pool/void-desk.js'
import type { PoolEvent } from '../../src/pool/ports.js'
import { alarms, fetched, inside, keysFor, liveWorld, staysRight } from './lab.js'

const everything = { peer: undefined, fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
let acts = 0

/** An operator's act at a node, over all that holds keys there. */
const order = (node: SimNode, what: VoidOrder, dryRun = false): VoidResult & { id: string } => {
  const { pool, local, vault } = node.running, id = (++acts).toString(16).padStart(32, '0')
  return { ...runVoid([voidPartOf(pool, vault), voidPartOf(local, vault)], { id, reason: 'a test' }, what, dryRun), id }
}

/** The model's ledger owes no key that an operator voided. */
const voided = async (t: Test, world: World, master: string, slave: string, ids: readonly string[]): Promise<void> => {
  t.equal(await fetched(world, slave, master, ids), 'KEYS_NOT_FOUND', `${ids.length} keys of ${master} for ${slave} are void`)
}

t.test('keys by ID: said at either KME, of remote and of local slaves, and only they', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t), [a, b] = world.nodes
    const ids = await keysFor(world, 'a1', 'b1', 4), local = await keysFor(world, 'a1', 'a2', 2)
    world.doubt()
    const dry = order(world.nodes[home], { ids: [ids[0]!, ids[1]!] }, true)
    t.equal(dry.unknown.length, 0)
    t.equal(await fetched(world, 'b1', 'a1', [ids[3]!]), 'keys', 'a dry run changes nothing')
    const done = order(world.nodes[home], { ids: [ids[0]!, ids[1]!, ids[3]!, '00000000-0000-4000-8000-000000000000'] })
    t.equal(done.unknown.length, 1, 'an ID that nobody made is told')
    if (home === 1) t.match(done.counts, [{ keys: 2, fetched: 1 }], 'one of them was fetched already')
    await world.wait(500)
    for (const id of ids.slice(0, 2)) await voided(t, world, 'a1', 'b1', [id])
    await voided(t, world, 'a1', 'b1', [ids[0]!, ids[2]!])
    t.equal(await fetched(world, 'b1', 'a1', [ids[2]!]), 'keys', 'another key is served')
    order(a, { ids: [local[0]!] })
    await world.wait(100)
    await voided(t, world, 'a1', 'a2', [local[0]!])
    t.equal(await fetched(world, 'a2', 'a1', [local[1]!]), 'keys')
    t.equal(alarms(a, 'integrity.overlap') + alarms(b, 'integrity.overlap'), 0)
    await staysRight(t, world)
  }
})

t.test('what a void means for other pools is not lost when the power goes before they hear it', async (t) => {
  const world = await liveWorld(t), b = world.nodes[1], news = (): string[] => b.events.flatMap((e) => e.type === 'keys.voided' ? [e.incident] : [])
  const node = inside(b) as { onEvent: (e: PoolEvent) => void }, told = node.onEvent.bind(b)
  let atThatMoment = b.disk.copy()
  node.onEvent = (e) => {
    if (e.type === 'keys.voided') atThatMoment = b.disk.copy()
    told(e)
  }
  world.doubt()
  const { id } = order(world.nodes[0], everything)
  await world.wait(500)
  t.same(news(), [id, id], 'what A gave out, and its question about what B did')
  b.kill()
  await b.start()
  await world.wait(5_000)
  t.same(news(), [id, id], 'what was heard is not said again')
  b.kill()
  b.disk.restore(atThatMoment)
  await b.start()
  await world.wait(5_000)
  t.same(news(), [id, id, id])
  const again = b.events.filter((e) => e.type === 'keys.voided')
  t.same(again[2], again[1], 'all of it')
})

t.test('keys of an SAE, as master and as slave; its next request makes new ones', async (t) => {
  for (const [home, sae] of [[0, 'a1'], [1, 'a1']] as const) {
    const world = await liveWorld(t)
    const there = await keysFor(world, 'a1', 'b1', 2), back = await keysFor(world, 'b1', 'a1', 2), others = await keysFor(world, 'a2', 'b2')
    world.doubt()
    t.equal(order(world.nodes[home], { sae }, true).counts[0]?.associations, 2)
    order(world.nodes[home], { sae })
    await world.wait(500)
    await voided(t, world, 'a1', 'b1', there)
    await voided(t, world, 'b1', 'a1', back)
    t.equal(await fetched(world, 'b2', 'a2', others), 'keys', 'other SAEs lose nothing')
    t.equal(await fetched(world, 'b2', 'a1', there), 'UNAUTHORIZED', 'somebody else is still told that it is not his')
    t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys', 'a new request gives keys that can be fetched')
    await staysRight(t, world)
  }
})

t.test('keys given out within a time: each KME by its own clock, and the rest stays', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t)
    const before = await keysFor(world, 'a1', 'b1'), back = await keysFor(world, 'b1', 'a1')
    await world.wait(10_000)
    const fromMs = world.clock.wallMs()
    await world.wait(3_000)
    const bad = await keysFor(world, 'a1', 'b1', 3), badBack = await keysFor(world, 'b1', 'a1', 3)
    await world.wait(3_000)
    const toMs = world.clock.wallMs()
    await world.wait(10_000)
    const after = await keysFor(world, 'a1', 'b1'), afterBack = await keysFor(world, 'b1', 'a1')
    world.doubt()
    const done = order(world.nodes[home], { peer: undefined, fromMs, toMs })
    t.ok(done.counts.some((c) => c.asked), 'the other KME is asked')
    await world.wait(1_000)
    await voided(t, world, 'a1', 'b1', bad)
    await voided(t, world, 'b1', 'a1', badBack)
    for (const [slave, master, ids] of [['b1', 'a1', before], ['b1', 'a1', after], ['a1', 'b1', back], ['a1', 'b1', afterBack]] as const) t.equal(await fetched(world, slave, master, ids), 'keys', 'a key from before or after is served')
    await staysRight(t, world)
  }
})

t.test('all issued keys; while the owner has not answered, its keys are held and not lost', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  const ids = await keysFor(world, 'a1', 'b1', 3)
  world.doubt()
  world.network.cut('A', 'B')
  world.network.cut('B', 'A')
  const done = order(b, { peer: undefined, fromMs: 0, toMs: 1 }) // A time long ago: nothing is void in the end.
  await world.wait(500)
  t.equal(await fetched(world, 'b1', 'a1', [ids[0]!]), 'SUSPENDED', 'nobody here knows when it was given out')
  t.notOk(b.pool.voids.isDone(done.id, done.counts[0]!.told))
  b.kill()
  await b.start()
  await world.wait(500)
  t.equal(await fetched(world, 'b1', 'a1', [ids[0]!]), 'SUSPENDED', 'a restart changes nothing')
  world.network.join('A', 'B')
  await world.wait(40_000)
  t.ok(b.pool.voids.isDone(done.id, done.counts[0]!.told), 'the answer came')
  t.equal(await fetched(world, 'b1', 'a1', [ids[0]!]), 'keys', 'it was given out at another time')
  order(b, everything)
  await world.wait(1_000)
  await voided(t, world, 'a1', 'b1', ids.slice(1))
  t.ok(a.pool.voids.stretches > 0, 'the owner keeps it for its local slaves')
  await staysRight(t, world)
})

t.test('said while the other KME is away, and both killed: nothing brings the keys back', async (t) => {
  for (const [home, what] of [[0, 'ids'], [1, 'sae'], [0, 'time']] as const) {
    const world = await liveWorld(t), node = world.nodes[home]
    const ids = await keysFor(world, 'a1', 'b1', 2)
    world.doubt()
    world.network.cut('A', 'B')
    world.network.cut('B', 'A')
    const done = order(node, what === 'ids' ? { ids } : what === 'sae' ? { sae: 'b1' } : everything)
    await world.wait(200) // On disk.
    for (const one of world.nodes) one.powerCut()
    for (const one of world.nodes) await one.start()
    world.network.join('A', 'B')
    await world.wait(40_000)
    t.ok(node.pool.voids.isDone(done.id, done.counts[0]!.told))
    await voided(t, world, 'a1', 'b1', [ids[0]!])
    for (const one of world.nodes) { one.kill(); await one.start() }
    await world.wait(5_000)
    await voided(t, world, 'a1', 'b1', ids)
    await staysRight(t, world)
  }
})

t.test('stretches that no block is left of are forgotten', async (t) => {
  const world = await liveWorld(t, { limits: { keyTtlMs: 20_000, fetchTtlMs: 10_000 } }), [a, b] = world.nodes
  await keysFor(world, 'a1', 'b1')
  world.doubt()
  order(a, everything)
  await world.wait(2_000)
  t.ok(b.pool.voids.stretches > 0)
  await world.wait(700_000)
  t.same([a.pool.voids.stretches, b.pool.voids.stretches, a.pool.voids.asksOpen, b.pool.voids.asksOpen], [0, 0, 0, 0])
  await staysRight(t, world)
})

t.test('a void of keys in more blocks than claims are kept of in memory is on disk whole', async (t) => {
  const world = await liveWorld(t), [, b] = world.nodes
  const { core, claims } = b.pool
  const blocks = [...core.blocks.values()].filter((block) => block.owner === 'theirs' && block.purpose === 'app' && block.state === 'open')
  t.ok(blocks.length >= 2, `${blocks.length} blocks`)
  inside(claims).blocksMax = 1
  core.commit((tx) => { for (const block of blocks) t.equal(claims.void(tx, block, 16, 32, 1, 1), 'void') })
  inside(claims).cache.clear()
  t.same(blocks.map((block) => claims.mask(block, 16)), blocks.map(() => 1), 'the store knows them')
  t.ok(inside(claims).cache.size <= 1, 'and memory stays bounded')
})

t.test('by time after a clean stop: what is given out of blocks that were open before is of its own time', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes
  const before = await keysFor(world, 'a1', 'b1')
  await a.stop()
  world.network.partition('A', 'B') // A ticks for a while after its start, and nobody lets it begin.
  await a.start()
  await world.wait(3_000)
  world.network.join('A', 'B')
  await world.wait(40_000)
  const fromMs = world.clock.wallMs()
  const after = await keysFor(world, 'a1', 'b1')
  t.ok(after.length > 0, 'A goes on')
  await world.wait(1_500)
  world.doubt()
  order(a, { peer: undefined, fromMs, toMs: world.clock.wallMs() })
  await world.wait(500)
  await voided(t, world, 'a1', 'b1', after)
  t.equal(await fetched(world, 'b1', 'a1', before), 'keys', 'what was given out before is not void')
  const later = await keysFor(world, 'a1', 'b1')
  t.equal(await fetched(world, 'b1', 'a1', later), 'keys', 'nor is what comes later')
  await staysRight(t, world)
})

t.test('a KME that asks for voids without end and takes no answer is refused, and fills nobody\'s outbox', async (t) => {
  const world = await liveWorld(t), { core, voids } = world.nodes[0].running.pool
  world.network.cut('A', 'B')
  const asked = (): void => { core.commit((tx) => voids.onVoidAsk(tx, { seq: 0, first: false, incident: Buffer.alloc(16, 1), reason: 'again', fromMs: 0, toMs: 1 })) }
  for (let i = 0; i < 256; i++) asked()
  t.throws(asked, { code: 'PROTOCOL' }, 'the 257th ends the connection')
  world.network.heal('A', 'B')
  await world.wait(20_000)
  t.doesNotThrow(asked, 'it may ask again once it has acknowledged')
  await staysRight(t, world)
})
