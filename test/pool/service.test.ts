import t from 'tap'
import { SimNode } from '../../sim/pool/node.js'
import { alarms, fetched, inside, keysFor, liveWorld, staysRight } from './lab.js'

t.setTimeout(90_000)

t.test('both lanes are drained to the last byte in both directions; when the link returns, service resumes by itself', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const ways = [['a1', 'b1', a], ['b1', 'a1', b]] as const
  for (let round = 0; round < 60 && ways.some(([, , node]) => node.pool.lane.freeBytes(true) >= 8); round++) {
    for (const [master, slave] of ways) for (const [number, bits] of [[128, 1_024], [128, 64], [16, 64], [1, 64]] as const) world.ask(master, [slave], number, bits)
    await world.wait(250)
  }
  for (const [master, slave, node] of ways) {
    t.ok(node.pool.lane.freeBytes(true) < 8, `${node.o.id} has not one key left (${node.pool.lane.freeBytes(true)} bytes)`)
    t.equal((await keysFor(world, master, slave, 1, 64, 1)).length, 0)
  }
  await world.wait(120_000) // Nothing comes for two minutes. Heartbeats and messages go on, on what pads there are.
  t.ok(a.pool.core.ready && b.pool.core.ready, 'the KMEs are still connected')
  world.frames(90)
  await world.wait(20_000)
  for (const [master, slave] of ways) {
    const ids = await keysFor(world, master, slave, 8)
    t.equal(ids.length, 8, `${master} gets keys again`)
    t.equal(await fetched(world, slave, master, ids), 'keys')
  }
  await staysRight(t, world) // The world watches every pad on the wire, too.
})

t.test('wall clocks an hour apart, or drifting: every key that is issued can be fetched within fetch_ttl', async (t) => {
  for (const clocks of [{ wallAheadMs: 3_600_000, wallDriftPpm: 0 }, { wallAheadMs: -3_600_000, wallDriftPpm: -5_000 }, { wallAheadMs: 0, wallDriftPpm: 5_000 }]) {
    const world = await liveWorld(t, { ...clocks, limits: { keyTtlMs: 60_000, fetchTtlMs: 30_000 } }, 60)
    const due: { atMs: number, ids: string[], way: readonly [string, string] }[] = []
    let served = 0
    for (let i = 0; i < 30; i++) {
      if (i % 4 === 0) world.frames(16)
      const way = i % 2 === 0 ? ['a1', 'b1'] as const : ['b1', 'a1'] as const
      const ids = await keysFor(world, way[0], way[1], 2, 256, 1)
      if (ids.length > 0) due.push({ atMs: world.clock.now(), ids, way })
      await world.wait(3_000)
      for (const d of due.splice(0, due.length)) {
        if (world.clock.now() - d.atMs < 24_000) { due.push(d); continue } // As late as it may.
        t.equal(await fetched(world, d.way[1], d.way[0], d.ids), 'keys', `${JSON.stringify(clocks)} at ${d.atMs}`)
        served++
      }
    }
    t.ok(served > 15, `keys were served late (${served})`)
    t.same(world.ledger.violations, [])
  }
})

t.test('association numbers are used up: an old key ID never opens for another SAE', async (t) => {
  const world = await liveWorld(t, { limits: { associationsPerEpoch: 3, keyTtlMs: 600_000, fetchTtlMs: 300_000 } }, 170)
  const [a] = world.nodes
  const old: { ids: string[], slave: string }[] = []
  const pairs = [['a1', 'b1'], ['a1', 'b2'], ['a2', 'b1'], ['a2', 'b2'], ['a1', 'b3'], ['a3', 'b1'], ['a3', 'b2'], ['a2', 'b3']] as const
  for (const [master, slave] of pairs) {
    const ids = await keysFor(world, master, slave, 2, 256, 16)
    if (ids.length > 0) old.push({ ids, slave })
    world.frames(20)
    await world.wait(6_000)
  }
  t.ok(old.length >= 6 && a.pool.core.meta.generation > 1, `numbers began again (${old.length} associations, generation ${a.pool.core.meta.generation})`)
  for (const { ids, slave } of old) {
    for (const other of ['b1', 'b2', 'b3'].filter((s) => s !== slave)) {
      for (const master of ['a1', 'a2', 'a3']) t.not(await fetched(world, other, master, [ids[0]!]), 'keys', `${other} asks for a key of ${slave}`)
    }
  }
  // A slave that is removed, its number a tombstone: nobody takes its place.
  const ids = await keysFor(world, 'a1', 'b1', 2, 256, 16)
  a.pool.associations.removeSae('b1')
  await world.wait(1_000)
  world.ledger.doubt()
  for (const slave of ['b2', 'b3']) { await keysFor(world, 'a1', slave, 1, 256, 16); t.not(await fetched(world, slave, 'a1', ids.slice(0, 1)), 'keys') }
  t.equal(await fetched(world, 'b1', 'a1', ids.slice(0, 1)), 'UNAUTHORIZED', 'nor does it keep its right')
  world.ledger.sure()
  t.same(world.ledger.violations, [])
})

t.test('two copies of one store are alive: no key twice from both', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  await keysFor(world, 'a1', 'b1', 16)
  world.hasTwin = true
  world.doubt()
  world.ledger.forgave(0)
  const twin = new SimNode({ ...a.o, random: world.random.fork(), copyOf: a })
  t.teardown(() => { twin.dispose() })
  twin.loseLocalPool()
  await twin.start()
  for (let i = 0; i < 20; i++) {
    world.ask('a1', ['b1'], 8, 256, () => {}, i % 2 === 0 ? a : twin)
    if (i % 5 === 0) world.frames(8)
    if (i % 6 === 5) b.pool.core.channel?.close('test') // So that either of the two may be the one that B meets.
    await world.wait(1_500)
  }
  t.ok(twin.events.some((e) => e.type === 'pool.ready' || e.type === 'store.rolledBack') || alarms(b, 'peer.copy') > 0, 'B met the copy, too')
  t.notOk(a.pool.core.ready && twin.pool.core.ready, 'B holds with one of the two only')
  t.same(world.ledger.violations, [], 'no byte was given by both')
  twin.kill()
  a.kill()
  a.rolledBack = 'two of this store ran at once'
  world.hasTwin = false
  world.doubt()
  await a.start()
  await world.wait(20_000)
  world.frames(60)
  t.ok(inside(a).process !== undefined)
  await staysRight(t, world)
})

t.test('requests that come while each turn brings more share a flush', async (t) => {
  const world = await liveWorld(t), ids = await keysFor(world, 'a1', 'b1', 4), dec = inside(world.nodes[1].running.service).dec
  let flushes = 0, answered = 0
  const flush = dec.flush.bind(dec) as () => void
  dec.flush = () => { flushes++; flush() }
  for (const id of ids) {
    world.fetch('b1', 'a1', [id], (answer) => { if ('keys' in answer) answered++ })
    await Promise.resolve() // The next one comes in the next turn.
  }
  await world.wait(1_000)
  t.same([flushes, answered], [1, 4])
  await staysRight(t, world)
})
