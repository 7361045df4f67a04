import t from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import type { World } from '../../sim/pool/world.js'
import type { Stretch } from '../../src/pool/leases.js'
import type { BlockRow } from '../../src/pool/rows.js'
import { blockOf, inside, keysFor, liveWorld, staysRight, until } from './lab.js'

t.setTimeout(90_000)

const openOf = (node: SimNode): number[] => [...node.pool.core.blocks.values()].filter((b) => b.owner === 'mine' && b.purpose === 'app' && b.state === 'open').map((b) => b.number)

t.test('a lane that is abandoned while a lease is being flushed closes the block of that lease', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  await keysFor(world, 'a1', 'b1')
  a.flushMs = 20
  const { leases } = inside(a.pool.lane), { lane } = a.pool
  /** To its end: then no list of the lane but this one names the block. */
  const lastOf = (): BlockRow | undefined => leases.coming.find((s: Stretch) => s.last && !leases.held.some((held: Stretch) => held.block === s.block))?.block
  for (let i = 0; i < 4_000 && lastOf() === undefined; i++) { if (i % 10 === 0) world.ask('a1', ['b1'], 16, 1_024); await world.wait(1) }
  t.equal(lastOf()?.state, 'open', 'a lease to the end of a block is on its way to the disk')
  const open = openOf(a)
  lane.abandon('epoch')
  t.same(openOf(a).filter((n) => open.includes(n)), [], 'no block stays open that nothing will be cut from')
  await world.wait(8_000)
  a.flushMs = 3
  await staysRight(t, world)
})

t.test('a turn that hands leases to the addon finds another lease whose flush is under way: nothing of it is handed over', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes
  await keysFor(world, 'a1', 'b1')
  a.flushMs = 50
  const { lane } = a.pool, { leases } = inside(lane)
  for (let i = 0; i < 4_000 && !(inside(lane).leasing as boolean && leases.isComing); i++) { if (i % 10 === 0) world.ask('a1', ['b1'], 16, 1_024); await world.wait(1) }
  const left = leases.leftBytes as number, coming = leases.comingBytes as number
  t.ok(coming > 0, 'stretches that are not on disk')
  inside(lane).push() // As of the lease before, whose stretches went a turn each.
  t.same([leases.leftBytes, leases.comingBytes], [left, coming])
  await world.wait(1_000)
  t.ok(leases.leftBytes > left, 'they are when that is done')
  a.flushMs = 3
  await staysRight(t, world)
})

t.test('a connection that breaks while a bye is struck: the lane goes on once, at its cursor', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  await keysFor(world, 'a1', 'b1')
  await a.stop()
  await a.start()
  a.flushMs = 400
  const { startup } = inside(a.pool)
  t.ok(await until(world, () => startup.resuming), 'the peer said yes')
  a.pool.core.channel!.close('test')
  a.flushMs = 1_500
  t.ok(await until(world, () => a.pool.core.ready), 'connected again')
  await world.wait(6_000)
  a.flushMs = 3
  const opened = new Set<number>()
  const { lane } = inside(a.pool)
  for (const b of a.pool.core.blocks.values()) if (lane.opened.has(b)) opened.add(b.number)
  t.equal(lane.opened.size, opened.size, 'no block is in the lane twice')
  t.ok(a.pool.lane.spending)
  t.ok((await keysFor(world, 'a1', 'b1', 64)).length > 0)
  await staysRight(t, world)
})

t.test('a stop while a bye is struck: nothing is spent after it, and the next start begins above', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  await keysFor(world, 'a1', 'b1')
  await a.stop()
  await a.start()
  a.flushMs = 400
  t.ok(await until(world, () => inside(a.pool).startup.resuming))
  const { pool } = a
  const open = openOf(a)
  const stopped = pool.stop(1_000)
  await world.wait(4_000)
  await stopped
  t.notOk(pool.lane.spending, 'it does not begin')
  a.kill()
  a.flushMs = 3
  await a.start()
  t.ok(await until(world, () => a.pool.lane.spending, 50))
  t.same(openOf(a).filter((n) => open.includes(n)), [], 'the struck bye is of no use')
  await staysRight(t, world)
})

t.test('a clean stop while an opening is under way: nothing is spent after the start that the looker did not store as opened', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const { core, lane } = a.pool, send = core.send.bind(core)
  inside(core).send = (name: 'hello', body: never) => (name as string) === 'horizon' ? false : send(name, body) // It finds no pad.
  const opening = (): BlockRow[] => [...inside(lane).opening.values()]
  for (let i = 0; i < 200 && opening().length === 0; i++) { world.ask('a1', ['b1'], 128, 1_024); await world.wait(50) }
  const [first] = opening()
  t.equal(b.pool.core.blocks.get(first!.number)?.state, 'usable', 'the looker knows nothing of it')
  await a.stop()
  await a.start()
  t.ok(await until(world, () => a.pool.lane.spending, 50, 200), 'the bye is taken up')
  t.equal(b.pool.core.blocks.get(first!.number)?.state, a.pool.core.blocks.get(first!.number)?.state, 'both know it as open')
  for (let i = 0; i < 40; i++) {
    world.ask('a1', ['b1'], 128, 1_024)
    await world.wait(100)
    world.check()
  }
  t.ok((a.pool.core.blocks.get(first!.number)?.spent ?? 1) > 0, 'it is spent')
  await staysRight(t, world)
})

t.test('the acknowledgement of an opening is lost and that of the next one comes: the lane is spent in the order of its indices, or a clean stop would give bytes again', async (t) => {
  const world = await liveWorld(t, {}, 320), [a] = world.nodes, { lane } = a.pool, { leases, opening } = inside(lane)
  const indices: number[] = [], add: (stretches: Stretch[]) => void = leases.add.bind(leases), acknowledged = lane.onHorizonAck.bind(lane), resendIfStuck: () => void = opening.resendIfStuck.bind(opening)
  leases.add = (stretches: Stretch[]) => { indices.push(...stretches.map((s) => s.block.index)); add(stretches) }
  const drain = async (steps: number, until = (): boolean => false): Promise<void> => {
    for (let i = 0; i < steps && !until(); i++) { world.ask('a1', ['b1'], 64, 1_024); world.frames(4); await world.wait(50); world.check() }
  }
  let lost = 0, later = 0
  opening.resendIfStuck = () => {}
  lane.onHorizonAck = (body) => { if (lost === 0) lost = body.index; else { later = body.index; acknowledged(body) } }
  await drain(80, () => later > lost && lane.freeBytes(false) < 8_192)
  t.ok(lost > 0 && later > lost, `one is lost and a later one comes (${lost}, ${later})`)
  lane.onHorizonAck = acknowledged
  opening.resendIfStuck = resendIfStuck
  lane.resend()
  await drain(8)
  t.ok(indices.includes(lost), 'it is spent')
  t.same(indices, [...indices].sort((x, y) => x - y))
  await a.stop()
  await a.start()
  t.ok(await until(world, () => a.pool.lane.spending, 50, 200), 'the bye is taken up')
  await drain(30)
  await staysRight(t, world)
})

t.test('pads are given only of what is flushed as spent, also when their block goes while it is being leased', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  const { pads, core } = a.pool
  const first = blockOf(a, 'auth', 'mine')
  inside(pads).clear()
  a.flushMs = 1_000
  pads.add(first)
  t.ok(inside(pads).leasing, 'the lease of one block is under way')
  inside(pads).clear()
  const second = { ...first, spent: 0 }
  core.blocks.set(second.number, second) // A fresh block in its place: its lease is flushed after the other one.
  pads.add(second)
  let isFlushed = false
  core.durable(() => { isFlushed = true })
  const early: unknown[] = [pads.take(true)]
  for (let i = 0; i < 40 && !isFlushed; i++) { await world.wait(100); if (!isFlushed) early.push(pads.take(true)) }
  t.ok(early.length > 15, `two flushes, one after the other (${early.length})`)
  t.ok(early.every((pad) => pad === undefined), 'no pad before its own lease is on disk')
  const pad = pads.take(true)
  t.ok(pad !== undefined && pad.offset + 16 <= second.spent, 'then there are')
})

t.test('pads that the peer saw are not given again', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  const { pads } = a.pool
  const { block, offset } = a.pool.core.meta.padMine
  inside(pads).restart({ block, offset: offset + 160 })
  const pad = pads.take(true)
  t.ok(pad === undefined || pad.block > block || pad.offset >= offset + 160)
})

t.test('an ID block that was confirmed just before a crash founds its epoch after it', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const { epochs } = a.pool
  inside(epochs).found = () => {} // The process dies before it gets there.
  epochs.onAsk(a.pool.core.meta.highestEpoch + 1)
  world.frames(20)
  t.ok(await until(world, () => [...a.pool.core.blocks.values()].some((x) => x.purpose === 'id' && x.state === 'usable'), 20))
  await world.wait(500)
  const before = epochs.current!.epoch
  a.kill()
  await a.start()
  await world.wait(15_000)
  t.ok(a.pool.epochs.current!.epoch > before, 'the epoch is there')
  t.equal(b.pool.epochs.current?.epoch, a.pool.epochs.current!.epoch)
  await staysRight(t, world)
})

t.test('ID keys that differ are kept by nobody: another epoch is made', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const on = b.pool.epochs.onIdEpoch.bind(b.pool.epochs)
  let lies = 1
  inside(b.pool.epochs).onIdEpoch = (body: Parameters<typeof on>[0], views: Parameters<typeof on>[1]) => {
    on(lies-- > 0 ? { ...body, check: new Uint8Array(16).fill(7) } : body, views)
  }
  const before = a.pool.core.meta.highestEpoch
  a.pool.epochs.onAsk(before + 1)
  for (let i = 0; i < 5; i++) { world.frames(20); await world.wait(2_500) }
  t.ok(lies <= 0)
  t.notOk(b.pool.epochs.has(before + 1), 'the wrong keys are not stored')
  t.notOk(a.pool.epochs.has(before + 1), 'nor waited for')
  t.equal(a.pool.epochs.current!.epoch, before + 2)
  t.equal(b.pool.epochs.current!.epoch, before + 2)
  await staysRight(t, world)
})

t.test('only the side that proposes announces ID epochs', async (t) => {
  const world = await liveWorld(t)
  const [a] = world.nodes
  t.throws(() => { a.pool.onMessage('idEpoch', { epoch: 9, block: 1, check: new Uint8Array(16) }) }, /ID epoch/)
  t.notOk(a.pool.epochs.has(9))
})

t.test('a block is granted before the word that it is stored: one KME owns it, not none', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  const { core } = a.pool, send = core.send.bind(core)
  let lost = 0
  inside(core).send = (name: 'hello', body: never) => { // A full queue, say.
    if ((name as string) !== 'stored') return send(name, body)
    lost++
    return false
  }
  world.frames(80)
  await world.wait(1_000)
  t.ok(lost > 0)
  core.send = send
  b.pool.core.send('grantAsk', { lane: 0, blocks: 64 })
  await world.wait(500)
  const owners = [...a.pool.core.blocks.values()].filter((x) => x.purpose === 'app').map((x) => [x.owner, b.pool.core.blocks.get(x.number)?.owner].sort().join())
  t.ok(owners.length > 4)
  t.same(owners.filter((pair) => pair !== 'mine,theirs'), [])
  await staysRight(t, world)
})

for (const [when, again] of [
  ['when it comes again', async (world: World) => { await world.wait(1_500) }],
  ['in a hello', async (world: World, own: SimNode) => {
    own.pool.core.channel!.close('test')
    await until(world, () => world.nodes.every((node) => node.pool.core.ready))
  }],
] as const) {
  t.test(`a message of the outbox whose effect is not on disk is not acknowledged ${when}: after a power cut it is sent once more`, async (t) => {
    const world = await liveWorld(t), [a, b] = world.nodes
    await keysFor(world, 'b1', 'a1')
    await world.wait(1_000)
    const [number] = openOf(b)
    a.flushMs = 5_000
    b.pool.lane.endEarly(new Set([b.pool.core.blocks.get(number!)!]), 'expired')
    t.ok(await until(world, () => a.pool.core.blocks.get(number!)?.state !== 'open'), 'the looker heard that the block is closed')
    await again(world, b)
    a.powerCut()
    a.flushMs = 3
    await a.start()
    t.equal(a.pool.core.blocks.get(number!)?.state, 'open', 'and lost that again')
    t.ok(await until(world, () => a.pool.core.blocks.get(number!)?.state !== 'open', 50, 200), 'it hears it once more')
    await staysRight(t, world)
  })
}

t.test('a confirmation that comes again before it is on disk is not called stored: after a power cut both have the block, or neither', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  a.flushMs = 2_000
  world.frames(80)
  const half = (): BlockRow | undefined => [...a.pool.core.blocks.values()].find((x) => x.state === 'usable' && b.pool.core.blocks.get(x.number)?.state === 'accepted')
  t.ok(await until(world, () => half() !== undefined), 'one is confirmed')
  inside(b.pool).agreement.answers.confirmAgain()
  await world.wait(100)
  a.powerCut()
  a.flushMs = 3
  await staysRight(t, world)
})
