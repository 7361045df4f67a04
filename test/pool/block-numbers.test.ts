import t from 'tap'
import { packBody } from '../../src/peer/body.js'
import { POOL_BODY_BYTES_MAX } from '../../src/peer/messages.js'
import { BLOCKS_MAX, LAST_EPOCH } from '../../src/pool/number-ranges.js'
import type { SimNode } from '../../sim/pool/node.js'
import { plainWorld, type World } from '../../sim/pool/world.js'
import { alarms, fetched, inside, keysFor, liveWorld, staysRight, until } from './lab.js'

const BEFORE = 4

/** The next blocks of both nodes' pools are numbered from just before `limit` on. */
const skipTo = (world: World, limit: number): void => {
  for (const node of world.nodes) {
    const { pool, local } = node.running
    for (const { core } of [pool, local]) core.commit(() => { core.meta.highestBlock = Math.max(core.meta.highestBlock, limit - BEFORE) })
  }
}

/** Short frames make small blocks: of keys, and of pads for tags. */
const frames = (world: World): void => { world.frames(32, { length: () => 400 }) }

/** Uses up key of both lanes, and brings frames, until blocks before and behind `limit` have been cut from, and tags have pads behind it. @returns keys that were fetched. */
const across = async (world: World, limit: number): Promise<number> => {
  const seen = new Set<boolean>()
  const isAcross = (): boolean => seen.size === 2 && world.nodes.every((node) => node.pool.pads.position.block > limit)
  let count = 0
  for (let i = 0; i < 80 && !isAcross(); i++) {
    frames(world)
    for (const [master, slave] of [['a1', 'b1'], ['b1', 'a1']] as const) {
      const ids = await keysFor(world, master, slave, 100, 256)
      count += await fetched(world, slave, master, ids) === 'keys' ? ids.length : 0
      const front = inside(world.nodes[master === 'a1' ? 0 : 1].pool.lane).leases.front
      if (front !== undefined) seen.add(front.number >= limit)
    }
  }
  return isAcross() ? count : 0
}

t.test('a pool goes on behind block numbers of 32 bits, over a crash and a stop', async (t) => {
  const world = await liveWorld(t, { limits: { ...plainWorld.limits, authReserveBytes: 1_024, authFloorBytes: 256 } }, 0), limit = 2 ** 32
  for (let i = 0; i < 3; i++) { frames(world); await world.wait(2_500) }
  skipTo(world, limit)
  t.ok(await across(world, limit) > 200, 'keys of blocks before and behind it are cut and fetched')
  const ids = await keysFor(world, 'a1', 'b1', 4)
  world.nodes[1].kill()
  await world.nodes[1].start()
  await world.nodes[0].stop()
  await world.nodes[0].start()
  t.ok(await until(world, () => world.nodes.every((n) => n.pool.core.ready), 50))
  t.equal(await fetched(world, 'b1', 'a1', ids), 'keys', 'what was given before the crash is there')
  t.ok(world.nodes.every((n) => n.pool.core.meta.highestBlock > limit))
  await staysRight(t, world)
  t.equal(alarms(world.nodes[0], 'peer.rolledBack') + alarms(world.nodes[1], 'peer.rolledBack'), 0)
})

t.test('the 32 bits in a key ID name a block behind the one that founded its epoch, and no second one', async (t) => {
  const world = await liveWorld(t), { epochs } = world.nodes[0].pool, { epoch } = epochs.current!
  for (const first of [1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 46 - 3]) {
    const row = epochs.get(epoch)!
    row.block = first
    for (const more of [1, 2, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1]) {
      t.equal(epochs.blockOf(row, (first + more) % 2 ** 32), first + more)
      t.ok(epochs.canName(epoch, first + more))
    }
    for (const more of [-1, 0, 2 ** 32, 2 ** 32 + 1]) t.notOk(epochs.canName(epoch, first + more), `${first} and ${more}`)
  }
  t.notOk(epochs.canName(epoch + 1, 2 ** 20), 'an epoch that is not there')
})

t.test('when all ID epochs are in use and the last has no numbers left, there are no blocks of keys until one ends', async (t) => {
  const world = await liveWorld(t, { limits: { keyTtlMs: 120_000, fetchTtlMs: 10_000 } }), { core, epochs } = world.nodes[0].pool
  for (let i = 0; i < 8 && !epochs.isFull; i++) {
    for (const node of world.nodes) node.skipBlocks(2 ** 30)
    world.frames(48)
    await world.wait(5_000)
  }
  t.ok(epochs.isFull)
  const apps = (): number => [...core.blocks.values()].filter((b) => b.purpose === 'app').length
  const newest = epochs.current!, had = apps()
  core.commit(() => { core.meta.highestBlock = newest.block + 2 ** 32 - 3 })
  world.frames(64)
  await world.wait(8_000)
  t.equal(epochs.current, newest)
  t.ok(apps() > had && apps() <= had + 2 && core.meta.highestBlock <= newest.block + 2 ** 32 + 1, 'the last two of the epoch, and perhaps pads')
  t.ok(await until(world, () => epochs.current !== newest, 1_000, 900), 'an older epoch has ended with its blocks')
  t.ok(epochs.current!.block >= newest.block + 2 ** 32 - 1)
  await staysRight(t, world)
})

t.test('a block that its epoch cannot name is not taken', async (t) => {
  const world = await liveWorld(t), b = world.nodes[1], { epoch, block } = b.pool.epochs.current!
  const sent: { result: string }[] = []
  const { channel } = b.pool.core
  t.teardown(() => { b.pool.core.channel = channel })
  b.pool.core.channel = { ...channel!, send: (name, body) => { if (name === 'confirm') sent.push(body as never); return 'sent' } }
  for (const [id, number] of [[9_001, block + 2 ** 32 - 1], [9_002, block + 2 ** 32]] as const) {
    b.frame(id, id, 3_968)
    const frame = b.pool.pending.peek(1)[0]!, name = { link: frame.link, block: Buffer.from(frame.id, 'hex'), offset: frame.offset, length: frame.length }
    b.pool.onMessage('propose', { number, owner: 'A', purpose: 'app', lane: 0, epoch, tag: new Uint8Array(16), frames: [name] })
    await world.wait(20)
  }
  t.same(sent.map((s) => s.result), ['mismatch', 'missing'], 'the last one that it can name is looked at')
})

t.test('a pool with itself founds another epoch in time', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes, { local } = a.running
  const first = local.epochs.current!
  for (const skip of [2 ** 30, 2 ** 32]) {
    a.skipBlocks(skip)
    for (let i = 0; i < 24; i++) {
      let ids: string[] = []
      world.ask('a1', ['a2'], 64, 8_192, (answer) => { if ('keys' in answer) ids = answer.keys.map((k) => k.id) })
      await world.wait(300)
      t.equal(await fetched(world, 'a2', 'a1', ids), 'keys')
    }
  }
  t.ok(local.epochs.current!.epoch > first.epoch && local.epochs.current!.block > 2 ** 32)
  t.same(world.ledger.violations, [])
})

t.test('no hello takes a pool near the end of its numbers', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  const judged = (to: SimNode, from: SimNode, more: object): string => {
    const hello = from.pool.hello()
    return inside(to.pool).greeting.judge({ ...hello, mine: { ...hello.mine, ...more } }).kind
  }
  t.same([BLOCKS_MAX / 2 - 1, BLOCKS_MAX / 2, BLOCKS_MAX].map((highestBlock) => judged(a, b, { highestBlock })), ['go', 'refuse', 'refuse'])
  const check = new Uint8Array(16)
  t.same([LAST_EPOCH / 2 - 1, LAST_EPOCH / 2, LAST_EPOCH].map((epoch) => judged(a, b, { epochs: [{ epoch, check }] })), ['go', 'refuse', 'refuse'])
  t.equal(judged(b, a, { highestBlock: BLOCKS_MAX, epochs: [{ epoch: LAST_EPOCH, check }] }), 'go', 'whoever gives the numbers may be there')
  const { meta } = a.pool.core
  Object.assign(meta, { highestBlock: BLOCKS_MAX / 2, highestEpoch: LAST_EPOCH / 2 }) // A peer of before brought us to the bound, and we went on.
  t.same([0, 1].map((beyond) => judged(a, b, { highestBlock: meta.highestBlock + beyond })), ['go', 'refuse'], 'what we gave ourselves is heard')
  t.same([0, 1].map((beyond) => judged(a, b, { epochs: [{ epoch: meta.highestEpoch + beyond, check }] })), ['go', 'refuse'])
})

t.test('after the last ID epoch of all, and a void, there are no keys and no fault', async (t) => {
  const world = await liveWorld(t), b = world.nodes[1]
  t.throws(() => packBody('idEpoch', { epoch: LAST_EPOCH + 1, block: 1, check: new Uint8Array(16) }), /fits its schema/)
  for (const { pool: { core } } of world.nodes) core.commit(() => { core.meta.highestEpoch = LAST_EPOCH })
  b.voidPool()
  world.doubt()
  await world.wait(5_000)
  world.frames(90)
  await world.wait(5_000)
  t.equal(b.pool.core.meta.generation, 2 ** 32 - 1)
  t.same(await keysFor(world, 'b1', 'a1', 1, 256, 3), [])
  for (const node of world.nodes) t.same([node.bugs, node.process !== undefined], [[], true])
})

t.test('the longest inventory of the highest numbers fits where its body must', async (t) => {
  const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => BLOCKS_MAX - i)
  const length = packBody('inventory', { highest: BLOCKS_MAX, blocks: numbers(28_000), flying: numbers(1_024) }).length
  t.ok(length <= POOL_BODY_BYTES_MAX, `${length} bytes`)
  t.ok(packBody('inventory', { highest: 2 ** 32 - 1, blocks: numbers(40_000).map((n) => n % 2 ** 32), flying: [] }).length <= POOL_BODY_BYTES_MAX)
})
