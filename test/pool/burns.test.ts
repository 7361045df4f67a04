import t from 'tap'
import { checkBalance } from '../../sim/pool/invariants.js'
import type { SimNode } from '../../sim/pool/node.js'
import { KEY_ID_FIELDS, type KeyHandle } from '../../src/device/native.js'
import type { BlockRow } from '../../src/pool/rows.js'
import { blockOf, fetched, inside, keysFor, liveWorld, staysRight } from './lab.js'

const deviceBlockOf = (node: SimNode, block: BlockRow): string => node.pool.core.framesOf(block.number)[0]!.id
const has = (node: SimNode, block: BlockRow): boolean => node.pool.core.blocks.has(block.number)

t.setTimeout(90_000)
t.test('what a device calls compromised goes on both sides: not opened, of either owner, and for pads', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t, {}, 320)
    const node = world.nodes[home], other = world.nodes[1 - home]!
    for (const [purpose, owner] of [['app', 'mine'], ['app', 'theirs'], ['auth', 'mine'], ['auth', 'theirs']] as const) {
      const block = blockOf(node, purpose, owner)
      t.ok(has(other, block))
      t.equal(node.pool.revoke(1, deviceBlockOf(node, block)), 1)
      t.notOk(has(node, block), `${node.o.id}: ${purpose} of ${owner} is gone at once`)
      await world.wait(2_000)
      t.notOk(has(other, block), 'and there')
      t.ok(node.pool.core.ready || purpose === 'auth')
      world.frames(40)
      await world.wait(8_000)
    }
    await staysRight(t, world)
  }
})

t.test('an opened block that holds compromised bits is closed by its owner, whoever is told', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t)
    const [a, b] = world.nodes
    const ids = await keysFor(world, 'a1', 'b1')
    const block = blockOf(a, 'app', 'mine', 'open')
    t.equal(world.nodes[home].pool.revoke(1, deviceBlockOf(a, block)), 1)
    await world.wait(1_000)
    t.not(a.pool.core.blocks.get(block.number)?.state, 'open')
    t.equal(await fetched(world, 'b1', 'a1', ids), 'keys', 'what was named is served')
    t.not(b.pool.core.blocks.get(block.number)?.state, 'open')
    await staysRight(t, world)
  }
})

t.test('proposals under way hold compromised bits: they go, and nothing of them stays in flight', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t)
    const [a, b] = world.nodes
    // B confirms, A does not hear it; or B hears nothing at all.
    world.network.cut(home === 0 ? 'A' : 'B', home === 0 ? 'B' : 'A')
    world.frames(32)
    await world.wait(1_000)
    const node = world.nodes[home]
    const state = home === 0 ? 'proposed' : 'accepted'
    const block = [...node.pool.core.blocks.values()].find((x) => x.state === state)
    if (block === undefined) { t.fail(`no ${state} block`); return }
    for (const f of node.pool.core.framesOf(block.number)) node.pool.revoke(1, f.id)
    t.notOk(has(node, block))
    t.notOk(inside(a.pool).agreement.proposals.flights.has(home === 0 ? block.number : -1))
    world.network.join('A', 'B')
    await world.wait(40_000)
    t.notOk(has(a, block) || has(b, block), 'nobody has it')
    await staysRight(t, world)
  }
})

t.test('frames of a refused proposal are burned on both sides at once', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const { meta } = b.pool.core, { highestBlock } = meta
  meta.highestBlock = 1_000 // Proposals below it are dead.
  const before = [a, b].map((n) => n.pool.core.account.burned['refused'] ?? 0)
  world.frames(16)
  await world.wait(1_500)
  meta.highestBlock = highestBlock
  const burned = [a, b].map((n, i) => (n.pool.core.account.burned['refused'] ?? 0) - before[i]!)
  t.ok(burned[0]! > 0)
  t.equal(burned[0], burned[1], 'the same bytes')
  t.equal(b.pool.pending.size, 0, 'none of them waits')
  await staysRight(t, world)
})

t.test('a proposal too small for its purpose is refused', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  world.network.partition('A', 'B')
  await world.wait(30_000)
  for (const node of world.nodes) node.frame(77_777, 5, 100)
  const sent: { result: string }[] = []
  inside(b.pool.core).send = (name: string, body: { result: string }) => { if (name === 'confirm') sent.push(body); return true }
  b.pool.core.ready = true
  inside(b.pool).agreement.answers.onPropose({
    number: b.pool.core.meta.highestBlock + 1, owner: 'A', purpose: 'id', lane: 0, epoch: 9, tag: new Uint8Array(16),
    frames: [{ link: 1, block: Buffer.from((77_777).toString(16).padStart(32, '0'), 'hex'), offset: 0, length: 100 }],
  })
  await world.wait(50)
  b.pool.core.ready = false
  delete inside(b.pool.core).send
  t.equal(sent[0]?.result, 'refused')
  t.ok(a.process !== undefined)
})

t.test('a burn with a cause of the peer\'s own invention opens no account', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const block = blockOf(b, 'app', 'mine')
  b.pool.core.commit((tx) => { b.pool.core.enqueue(tx, 'burn', { blocks: [block.number], cause: '__proto__' }) })
  await world.wait(1_000)
  t.notOk(has(a, block))
  t.ok((a.pool.core.account.burned['peer'] ?? 0) > 0)
  t.notOk(Object.hasOwn(a.pool.core.account.burned, '__proto__'))
})

t.test('keys that were named and not fetched do not count as stock: the ring is drained', async (t) => {
  const world = await liveWorld(t)
  const [, b] = world.nodes
  const before = b.pool.stockBytes()
  for (let i = 0; i < 14; i++) await keysFor(world, 'a1', 'b1', 128, 1_024, 1)
  await world.wait(2_000)
  const closed = [...b.pool.core.blocks.values()].filter((x) => x.owner === 'theirs' && x.state === 'closed')
  t.ok(closed.length > 0, 'there are closed blocks whose keys nobody fetched')
  t.ok(b.pool.stockBytes() <= before - closed.reduce((sum, x) => sum + x.spent, 0), 'they are not stock')
})

t.test('a block that grows old before the other side acknowledges its opening is not used', async (t) => {
  const world = await liveWorld(t, { limits: { keyTtlMs: 20_000, fetchTtlMs: 10_000 } })
  const [a, b] = world.nodes
  await keysFor(world, 'a1', 'b1')
  const ack = b.pool.looker.onHorizon.bind(b.pool.looker)
  const held: Parameters<typeof ack>[0][] = []
  inside(b.pool.looker).onHorizon = (body: Parameters<typeof ack>[0]) => { held.push(body) }
  world.frames(90)
  for (let i = 0; i < 8; i++) await keysFor(world, 'a1', 'b1', 128, 1_024, 1)
  const opening: BlockRow[] = [...inside(a.pool.lane).opening.values()]
  t.ok(opening.length > 0, 'some wait for their acknowledgement')
  await world.wait(25_000)
  t.notOk([...inside(a.pool.lane).opening.values()].some((x) => opening.includes(x as BlockRow)), 'the old ones are given up')
  t.notOk(opening.some((x) => a.pool.core.blocks.has(x.number)), 'and closed')
  delete inside(b.pool.looker).onHorizon
  for (const body of held) b.pool.looker.onHorizon(body)
  await world.wait(1_000)
  t.notOk(opening.some((x) => inside(a.pool.lane).opened.has(x)))
  await staysRight(t, world)
})

t.test('of a block that was never opened nothing is served, though its owner says that it was spent', async (t) => {
  const world = await liveWorld(t), b = world.nodes[1], { core, epochs } = b.pool, { vault } = b.running
  const [id] = await keysFor(world, 'a1', 'b1'), fields = new Uint32Array(KEY_ID_FIELDS), key = epochs.key(epochs.current!.epoch) as KeyHandle
  t.equal(vault.openKeyIds(Uint32Array.of(key), id!, 1, fields), 1)
  const { number } = blockOf(b, 'app', 'theirs'), named = vault.makeKeyId(key, number, 0, 32, fields[4]!)
  core.channel = undefined // What the real owner says does not matter any more.
  b.pool.onMessage('close', { seq: core.meta.lastProcessed + 1, first: true, blocks: [{ number, spent: 8_000 }] })
  let outcome = ''
  b.dec({ caller: 'b1', master: 'a1', keyIds: [named] }, (answer) => { outcome = 'keys' in answer ? 'keys' : answer.refusal.code })
  await world.wait(100)
  t.equal(outcome, 'KEYS_NOT_FOUND')
  const faults: string[] = []
  checkBalance('B', b.pool, (what) => faults.push(what))
  t.same([faults, core.blocks.has(number)], [[], false], 'it is gone, and each byte is in one account')
})
