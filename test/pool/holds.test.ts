import t from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import { alarms, blockOf, fetched, inside, keysFor, liveWorld, staysRight } from './lab.js'

const held = (node: SimNode): string[] => node.events.flatMap((e) => e.type === 'pool.held' ? [e.reason] : e.type === 'link.heldThere' ? [`link ${e.link} ${e.held ? 'held' : 'free'}`] : [])

t.test('a hold stops both sides and both directions, over restarts, and ends where it was said', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  const ids = await keysFor(world, 'a1', 'b1')
  a.pool.holds.hold('an audit')
  await world.wait(200)
  t.same(held(b), ['A holds it: an audit'])
  const ask = async (master: string, slave: string): Promise<string> => {
    let code = ''
    world.ask(master, [slave], 1, 256, (answer) => { code = 'keys' in answer ? 'keys' : answer.refusal.code })
    await world.wait(200)
    return code
  }
  t.same([await ask('a1', 'b1'), await ask('b1', 'a1'), await ask('a1', 'a2')], ['SUSPENDED', 'SUSPENDED', 'keys'], 'other pools serve')
  t.equal(await fetched(world, 'b1', 'a1', ids), 'SUSPENDED')
  t.notOk(a.pool.relay.isReady)
  t.match(b.pool.relay.claim([{ block: 1, offset: 0, length: 8 }]), /on hold/)
  for (const node of world.nodes) { node.powerCut(); await node.start() }
  await world.wait(5_000)
  t.same([await ask('a1', 'b1'), await ask('b1', 'a1')], ['SUSPENDED', 'SUSPENDED'])
  b.pool.holds.hold('') // B never held it.
  await world.wait(200)
  t.equal(await ask('b1', 'a1'), 'SUSPENDED', 'only who holds it releases it')
  b.pool.holds.hold('a doubt')
  world.network.cut('A', 'B')
  world.network.cut('B', 'A')
  await world.wait(500)
  a.pool.holds.hold('') // B hears it when it is connected again.
  await world.wait(500)
  b.kill()
  await b.start()
  world.network.join('A', 'B')
  await world.wait(40_000)
  t.same([a.pool.holds.there, b.pool.holds.there], ['a doubt', ''])
  t.equal(await ask('a1', 'b1'), 'SUSPENDED', 'B holds it still')
  b.pool.holds.hold('')
  world.frames(90) // Each crash closed a runway.
  await world.wait(4_000)
  t.equal((await keysFor(world, 'a1', 'b1')).length, 1)
  t.equal((await keysFor(world, 'b1', 'a1')).length, 1)
  await staysRight(t, world)
})

t.test('a hold ends at the other side when the store that knew of it is gone', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes, before = a.disk.copy()
  a.pool.holds.hold('an audit')
  await world.wait(200)
  t.equal(b.pool.holds.there, 'an audit')
  a.kill()
  world.doubt()
  a.disk.restore(before)
  await a.start()
  await world.wait(40_000)
  t.same([a.pool.holds.here, b.pool.holds.there], ['', ''])
})

t.test('a held link is told to the other side, and its release', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  b.pool.holds.holdLink(1, true)
  b.pool.holds.holdLink(1, true)
  await world.wait(200)
  t.same([held(a), a.pool.holds.linksThere], [['link 1 held'], [1]])
  t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys', 'stock is served')
  for (const node of world.nodes) { node.kill(); await node.start() }
  t.same(a.pool.holds.linksThere, [1])
  await world.wait(5_000)
  b.pool.holds.holdLink(1, false)
  await world.wait(200)
  t.same([held(a), a.pool.holds.linksThere], [['link 1 held', 'link 1 free'], []])
  await staysRight(t, world)
})

t.test('an ID epoch that is made of bits a device takes back is replaced on both sides', async (t) => {
  for (const home of [0, 1] as const) {
    const world = await liveWorld(t), [a, b] = world.nodes, node = world.nodes[home]
    const ids = await keysFor(world, 'a1', 'b1', 2), back = await keysFor(world, 'b1', 'a1', 1)
    const epoch = a.pool.epochs.current!
    t.ok(epoch.from !== undefined && epoch.from.length > 0, 'an epoch knows its source')
    const [link, id] = epoch.from![0]!.split('/') as [string, string]
    t.equal(node.pool.revoke(1, 'ff'), 0, 'another block changes nothing')
    world.doubt()
    t.ok(node.pool.revoke(Number(link), id) >= 1)
    await world.wait(300)
    for (const one of world.nodes) {
      t.notOk(one.pool.epochs.has(epoch.epoch), 'its keys are gone')
      t.equal(alarms(one, 'integrity.epoch'), 1)
    }
    t.equal(await fetched(world, 'b1', 'a1', ids), 'KEYS_NOT_FOUND')
    t.equal(await fetched(world, 'a1', 'b1', back), 'KEYS_NOT_FOUND')
    for (const one of world.nodes) { one.powerCut(); await one.start() }
    world.frames(90)
    await world.wait(8_000)
    world.frames(60)
    await world.wait(4_000)
    t.ok(a.pool.epochs.current!.epoch > epoch.epoch, 'another is founded')
    t.same(a.pool.epochs.current!.epoch, b.pool.epochs.current!.epoch)
    t.ok(blockOf(a, 'app', 'mine').epoch > epoch.epoch)
    t.equal(await fetched(world, 'b1', 'a1', await keysFor(world, 'a1', 'b1')), 'keys')
    t.equal(await fetched(world, 'b1', 'a1', ids), 'KEYS_NOT_FOUND', 'for good')
    t.equal(inside(a.pool).core.meta.suspended, '')
    await staysRight(t, world)
  }
})

t.test('a KME speaks for its own links only: neither its holds nor its proposals reach a link of ours with another', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  for (const on of [true, false]) a.pool.holds.holdLink(1, on)
  await world.wait(200) // Both have said by now what they hold.
  a.pool.holds.onHold({ pool: '', links: [1, 2, 2, 7] })
  await world.wait(50)
  t.same([held(a), a.pool.holds.linksThere], [['link 1 held'], [1]])
  const frame = (link: number, id: number): object => ({ link, block: new Uint8Array(16).fill(id), offset: 0, length: 3_968 })
  inside(b.pool).agreement.answers.onPropose({
    number: b.pool.core.meta.highestBlock + 1, owner: 'A', purpose: 'auth', lane: 0, epoch: 0, frames: [frame(1, 200), frame(7, 201)], tag: new Uint8Array(16),
  })
  inside(b.pool).agreement.answers.answerProposals()
  t.same(b.events.flatMap((e) => e.type === 'frames.wanted' ? [e.link] : []), [1], 'no device is asked for frames of another link')
})
