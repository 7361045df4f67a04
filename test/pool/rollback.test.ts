import t from 'tap'
import type { Body } from '../../src/peer/messages.js'
import { alarms, fetched, inside, keysFor, liveWorld, staysRight } from './lab.js'

/** What B would say to A now, but for some of it. */
const helloOf = (hello: object, change: (h: Body<'hello'>) => void): Body<'hello'> => {
  const copy = structuredClone(hello) as Body<'hello'>
  change(copy)
  return copy
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
