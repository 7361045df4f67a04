import t from 'tap'
import type { Body } from '../../src/peer/messages.js'
import { plainWorld, World } from '../../sim/pool/world.js'
import type { SimNode } from '../../sim/pool/node.js'
import type { PoolCore } from '../../src/pool/core.js'
import type { Epochs } from '../../src/pool/epochs.js'
import { Greeting } from '../../src/pool/greeting.js'
import { newMeta } from '../../src/pool/rows.js'
import { alarms, fetched, inside, keysFor, liveWorld, staysRight, until } from './lab.js'

/** What B would say to A now, but for some of it. */
const helloOf = (hello: object, change: (h: Body<'hello'>) => void): Body<'hello'> => {
  const copy = structuredClone(hello) as Body<'hello'>
  change(copy)
  return copy
}

/** A disk becomes an old copy of itself, and nothing says so. */
const restore = async (world: World, home: 0 | 1, copy: SimNode['disk']): Promise<void> => {
  const node = world.nodes[home]
  node.kill()
  node.disk.restore(copy)
  node.loseLocalPool()
  world.ledger.forgave(home)
  world.forgetPads()
  world.doubt()
  await node.start()
}

t.setTimeout(90_000)
t.test('a neighbour that says this store was rolled back costs the pool with it, and nothing else', async (t) => {
  const lies = [
    (h: Body<'hello'>) => { h.yours!.incarnation += 7; h.yours!.nonce = new Uint8Array(16).fill(1) },
    (h: Body<'hello'>) => { h.yours!.lastSent += 1_000 },
    (h: Body<'hello'>) => { h.yours!.horizons[0]!.index += 1_000 },
    (h: Body<'hello'>) => { h.yours!.padBlock += 10_000 },
  ]
  for (const lie of lies) {
    const world = await liveWorld(t)
    const [a, b] = world.nodes
    const ids = await keysFor(world, 'a1', 'a2')
    const hello = helloOf(b.pool.hello(), lie)
    world.doubt()
    t.throws(() => { a.pool.onHello(hello) }, /KME|store/)
    t.ok(a.process !== undefined, 'the process lives')
    t.equal(a.events.filter((e) => e.type === 'store.rolledBack').length, 1, 'and an operator is told')
    t.equal(a.pool.core.blocks.size, 0, 'the pool is void')
    t.equal(await fetched(world, 'a2', 'a1', ids), 'keys', 'the pool with itself is not')
    a.pool.core.channel?.close('as the channel does after that hello')
    await world.wait(20_000)
    t.ok(a.pool.core.ready && b.pool.core.ready, 'they meet again: another store, as the neighbour sees it')
    t.same([...a.pool.core.storeId], [...b.pool.core.meta.theirStore!])
    world.frames(90)
    if (lie === lies[0]) await staysRight(t, world)
    t.equal(alarms(b, 'peer.copy'), 0)
  }
})

t.test('the identity that a void made survives a restart', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  world.doubt()
  t.throws(() => { a.pool.onHello(helloOf(b.pool.hello(), (h) => { h.yours!.grant += 5 })) })
  const id = [...a.pool.core.storeId]
  t.not(id.join(), [...inside(a).identity.storeId].join())
  a.pool.core.channel?.close('test')
  await world.wait(15_000)
  await a.stop()
  await a.start()
  await world.wait(10_000)
  t.same([...a.pool.core.storeId], id)
  t.equal(a.events.filter((e) => e.type === 'pool.voided').length <= 2, true, 'no further void')
  world.frames(90)
  await staysRight(t, world)
})

t.test('a store that really was rolled back gives no key twice, whichever side it is', async (t) => {
  for (const homes of [[0], [1], [0, 1]] as const) {
    const world = await liveWorld(t)
    const copies = world.nodes.map((n) => n.disk.copy())
    for (const [master, slave] of [['a1', 'b1'], ['b1', 'a1']] as const) await keysFor(world, master, slave, 64)
    for (const home of homes) world.nodes[home]!.kill()
    for (const home of homes) {
      const node = world.nodes[home]!
      node.disk.restore(copies[home]!)
      if (homes.length === 2) node.rolledBack = 'the stamp is not its own' // Then no peer remembers: only the stamp can tell.
      else node.loseLocalPool()
      world.ledger.forgave(home)
      world.forgetPads()
    }
    world.doubt()
    for (const home of homes) await world.nodes[home]!.start()
    await world.wait(20_000)
    world.frames(90)
    await world.wait(5_000)
    for (const [master, slave] of [['a1', 'b1'], ['b1', 'a1']] as const) t.ok((await keysFor(world, master, slave, 64)).length > 0, `${homes.join()}: ${master} gets keys again`)
    await staysRight(t, world)
  }
})

t.test('an old copy that lost nothing of its own is found out by what it had acknowledged', async (t) => {
  const losses = {
    messages: async (world: World) => { await keysFor(world, 'a2', 'b2') }, // An association that B knows no more.
    'opened blocks': async (world: World) => { for (let i = 0; i < 2; i++) await keysFor(world, 'a1', 'b1', 128, 1_024) },
  }
  for (const [what, lose] of Object.entries(losses)) {
    const world = await liveWorld(t), [a, b] = world.nodes
    await keysFor(world, 'a1', 'b1')
    await world.wait(5_000)
    const copy = b.disk.copy()
    await lose(world)
    await restore(world, 1, copy)
    await world.wait(20_000)
    t.ok(alarms(a, 'peer.rolledBack') > 0, `${what}: an operator is told`)
    t.ok(a.pool.core.ready && b.pool.core.ready)
    t.equal(a.pool.core.meta.voids, b.pool.core.meta.theirVoids, 'both know that the pool was void')
    world.frames(90)
    await world.wait(5_000)
    t.equal(await fetched(world, 'b2', 'a2', await keysFor(world, 'a2', 'b2')), 'keys', 'and they agree again')
    await staysRight(t, world)
  }
})

t.test('a store that was rolled back opens blocks again where it stands, not where the peer saw it before', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes, copy = b.disk.copy()
  for (let i = 0; i < 2; i++) await keysFor(world, 'b1', 'a1', 128, 1_024)
  const { horizonTheirs } = a.pool.core.meta
  await restore(world, 1, copy)
  await world.wait(5_000)
  t.ok(b.rolledBack !== '' || b.pool.core.meta.horizonMine < horizonTheirs, 'it has forgotten some')
  await world.wait(15_000)
  world.frames(90)
  await world.wait(5_000)
  t.equal(await fetched(world, 'a1', 'b1', await keysFor(world, 'b1', 'a1')), 'keys')
  t.equal(b.pool.core.account.burned['refused'] ?? 0, 0, 'no block of its is refused')
  await staysRight(t, world)
})

t.test('a hello that was long on its way does not know what was acknowledged meanwhile over a connection that crossed it: nothing is void', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  a.pool.core.channel!.close('test')
  await world.wait(10)
  let hellos = 0
  world.network.tap = (from, _to, bytes) => {
    if (from === 'A') world.network.setFaults('A', 'B', { delayMs: ++hellos === 1 ? 3_000 : 2 })
    return [bytes]
  }
  a.running.manager.dialOnce('B' as never)
  b.running.manager.dialOnce('A' as never)
  t.ok(await until(world, () => b.pool.core.ready && a.pool.core.ready), 'connected as B dialled')
  const { acknowledgedTo } = b.pool.core.outbox, { channel } = b.pool.core
  t.ok(hellos > 1, "A's own hello is still on its way")
  t.equal(await fetched(world, 'a2', 'b2', await keysFor(world, 'b2', 'a2')), 'keys')
  t.ok(b.pool.core.outbox.acknowledgedTo > acknowledgedTo, 'and A has acknowledged more since')
  t.ok(await until(world, () => b.pool.core.ready && b.pool.core.channel !== channel), 'its connection takes over')
  await world.wait(2_000)
  t.equal(alarms(b, 'peer.rolledBack'), 0)
  t.same([a.pool.core.meta.voids, b.pool.core.meta.voids], [0, 0])
  await staysRight(t, world)
})

t.test('the very first hello, long on its way, knows nothing of a store that was met meanwhile over a connection that crossed it: nothing is void', async (t) => {
  const world = new World(11, plainWorld), [a, b] = world.nodes
  t.teardown(() => { world.dispose() })
  world.network.partition('A', 'B')
  for (const node of world.nodes) await node.start()
  const first = [a, b].map((node) => ({ hello: structuredClone(node.pool.hello()), before: node.pool.acknowledged() }))
  world.network.join('A', 'B')
  await world.wait(1_500)
  world.frames(90)
  await world.wait(4_000)
  t.ok(a.pool.core.blocks.size > 0 && b.pool.core.blocks.size > 0, 'met, and with blocks')
  const ids = await keysFor(world, 'a1', 'b1')
  a.pool.onHello(first[1]!.hello, first[0]!.before) // Each was made before they met, on a connection that began before they met.
  b.pool.onHello(first[0]!.hello, first[1]!.before)
  t.same([a, b].map(({ pool }) => [pool.core.meta.voids, pool.core.blocks.size > 0]), [[0, true], [0, true]])
  t.equal(await fetched(world, 'b1', 'a1', ids), 'keys')
  t.same([a, b].map((node) => [alarms(node, 'peer.rolledBack'), alarms(node, 'peer.copy')]), [[0, 0], [0, 0]])
  await staysRight(t, world)

  const met = b.pool.acknowledged() // On a connection that begins now, the same words are those of a store that forgot.
  world.doubt()
  b.pool.onHello(first[0]!.hello, met)
  t.equal(b.pool.core.blocks.size, 0)
})

t.test('what a void dropped the peer need not have seen: a connection that broke between the two hellos is no rollback', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  world.network.partition('A', 'B')
  a.pool.core.commit((tx) => { a.pool.core.enqueue(tx, 'burn', { blocks: [999_999], cause: 'void' }) })
  b.pool.void('an operator')
  await world.wait(200)
  for (let i = 0; i < 2; i++) a.pool.onHello(b.pool.hello()) // Each of a connection over which no answer comes.
  t.equal(alarms(a, 'peer.rolledBack'), 0)
  await a.stop()
  await a.start()
  a.pool.onHello(b.pool.hello())
  t.equal(alarms(a, 'peer.rolledBack'), 0, 'nor after a start')
  world.network.join('A', 'B')
  world.frames(90)
  await world.wait(10_000)
  await staysRight(t, world)
})

t.test('a store that has lost a void which it told comes back as another; its next voids are heard, and those of a store that counts from the beginning', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes, copy = a.disk.copy()
  await world.wait(5_000)
  a.pool.void('an operator')
  t.ok(await until(world, () => b.pool.core.meta.theirVoids === 1 && b.pool.core.ready), 'the other side has heard of it')
  await restore(world, 0, copy)
  await world.wait(20_000)
  t.ok(a.events.some((e) => e.type === 'store.rolledBack'))
  t.equal(b.pool.core.meta.theirVoids, a.pool.core.meta.voids)
  world.frames(90)
  await world.wait(5_000)
  t.ok(b.pool.core.blocks.size > 0)
  a.pool.void('again')
  t.ok(await until(world, () => b.pool.core.meta.theirVoids === a.pool.core.meta.voids && b.pool.core.blocks.size === 0), 'as empty as the first time')
  world.frames(90)
  await staysRight(t, world)
})

t.test('the first void of a new store is heard by a peer that heard one of the store before it', (t) => {
  const meta = { ...newMeta(), theirStore: new Uint8Array(16), theirVoids: 3 }
  const core = { meta, proposer: false, storeId: new Uint8Array(16), processed: () => {} } as unknown as PoolCore
  const mine = { storeId: new Uint8Array(16).fill(2), incarnation: 1, nonce: new Uint8Array(16), horizons: [], epochs: [], grant: 0, voids: 0, lastSent: 0 }
  new Greeting(core, {} as Epochs, () => 0).merge({ mine, yours: null } as unknown as Body<'hello'>, true)
  t.equal(meta.theirVoids, 0)
  t.end()
})

const replace = async (world: World, home: 0 | 1): Promise<void> => {
  world.nodes[home].kill()
  world.nodes[home].replaceDisk()
  world.forgetPads()
  world.ledger.forgave(home)
  world.doubt()
  await world.nodes[home].start()
}

for (const home of [0, 1] as const) {
  t.test(`a new store at ${home === 0 ? 'A' : 'B'}, and then at the other end: nobody waits for numbers of old ID epochs and pads`, async (t) => {
    const world = await liveWorld(t), { nodes } = world, other = 1 - home as 0 | 1
    const epoch = (): number => nodes[other].pool.epochs.current?.epoch ?? 0
    for (let i = 0; i < 4; i++) { // Each void begins the numbers of associations anew with another epoch.
      const before = epoch()
      nodes[other].voidPool()
      t.ok(await until(world, () => { world.frames(8); return epoch() > before }, 500, 40), 'another ID epoch')
    }
    await world.wait(5_000)
    await replace(world, home)
    t.ok(await until(world, () => nodes.every(({ pool }) => pool.core.ready)), 'they meet, and agree on nothing')
    await replace(world, other)
    for (let i = 0; i < 4; i++) { world.frames(60); await world.wait(3_000) }
    for (const { pool } of nodes) {
      t.ok(pool.core.meta.generation <= (pool.epochs.current?.epoch ?? 0), `numbers of epoch ${pool.core.meta.generation} may be used`)
      for (const owner of ['mine', 'theirs'] as const) t.ok(pool.core.tally.pads[owner].size <= 2, `pads, ${owner}: ${[...pool.core.tally.pads[owner].keys()].join(' ')}`)
    }
    for (const [master, slave] of [['a1', 'b1'], ['b1', 'a1']] as const) t.equal(await fetched(world, slave, master, await keysFor(world, master, slave)), 'keys')
    await staysRight(t, world)
  })
}

t.test('association numbers of an ID epoch that this store has not heard of are taken, for the epochs before were void already: the next one is theirs', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  for (const [{ pool: { core, associations } }, master, slave] of [[b, 'a1', 'b2'], [a, 'b1', 'a2']] as const) {
    const epoch = core.meta.highestEpoch + 5
    const ack = core.commit((tx) => associations.onAssociation(tx, { seq: 1, first: true, number: 9, epoch, master, slaves: [slave], removed: false } as Body<'association'>))
    t.match(ack, { number: 9, epoch, accepted: true })
    t.equal(core.meta.highestEpoch, epoch - 1)
  }
})
