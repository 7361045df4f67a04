import t from 'tap'
import type { Test } from 'tap'
import type { MeshWorld } from '../../sim/mesh/world.js'
import type { Answer } from '../../sim/sae-answer.js'
import { runVoid, spreadVoid, voidPartOf, type VoidOrder, type VoidPart } from '../../src/pool/void-desk.js'
import { balanced, keysOf, network, refusalOf } from '../relay/network.js'

t.setTimeout(60_000)
/** A's keys for `b` come from the pool with B, and are granted to C over a relayed pool and to D. */
const star = async (t: Test, seed: number): Promise<MeshWorld> => {
  const world = await network(t, {
    seed, links: [['A', 'B'], ['B', 'C'], ['A', 'D']], relayed: [{ between: ['A', 'C'] }], saesPerKme: 2, limits: { maxStockBytes: 262_144 }, stockBytes: 131_072,
  })
  await world.run(6, 60)
  return world
}

const partsOf = (world: MeshWorld, kme: string): VoidPart[] => world.at(kme).running.allPools.map((pool) => voidPartOf(pool, world.at(kme).running.vault))

const settled = new WeakMap<object, number>()
/** What the runtime does with voids that other KMEs tell: they go on to where this KME granted the keys. */
const spread = (world: MeshWorld): void => {
  for (const kme of ['A', 'B', 'C', 'D']) {
    const { events, process } = world.at(kme), from = settled.get(events) ?? 0
    settled.set(events, events.length)
    if (process === undefined) continue
    for (const event of events.slice(from)) if (event.type === 'keys.voided') spreadVoid(partsOf(world, kme), event.pool, { id: event.incident, reason: event.reason }, event.spread)
  }
}

let acts = 0
const order = async (world: MeshWorld, kme: string, what: VoidOrder): Promise<void> => {
  runVoid(partsOf(world, kme), { id: (++acts).toString(16).padStart(32, '0'), reason: 'a test' }, what, false)
  for (let i = 0; i < 8; i++) {
    await world.wait(250)
    spread(world)
  }
}

const cast = async (world: MeshWorld, number: number, [slave, ...additionalSlaves]: readonly [string, ...string[]] = ['b', 'c', 'd']): Promise<string[]> => {
  let answer: Answer | undefined
  world.at('A').enc({ caller: 'a', slave, additionalSlaves, number }, (got) => { answer = got })
  for (let i = 0; i < 200 && answer === undefined; i++) await world.wait(20)
  return keysOf(answer).map((k) => k.id)
}

const outcome = async (world: MeshWorld, slave: string, ids: readonly string[]): Promise<string> => {
  let answer: Answer | undefined
  world.at(slave[0]!.toUpperCase()).dec({ caller: slave, master: 'a', keyIds: ids }, (got) => { answer = got })
  for (let i = 0; i < 50 && answer === undefined; i++) await world.wait(20)
  return answer !== undefined && 'keys' in answer ? 'keys' : refusalOf(answer)
}

t.test('keys by ID, said at the master, at the first slave, and at a further one: void at every KME, and only they', async (t) => {
  const world = await star(t, 61)
  for (const kme of ['A', 'B', 'C']) {
    const ids = await cast(world, 3)
    t.equal(ids.length, 3)
    await order(world, kme, { ids: [ids[1]!] })
    for (const slave of ['b', 'c', 'd']) {
      t.equal(await outcome(world, slave, [ids[1]!]), 'KEYS_NOT_FOUND', `said at ${kme}: void for ${slave}`)
      t.equal(await outcome(world, slave, [ids[0]!, ids[2]!]), 'keys', 'the others are served')
    }
  }
  t.equal(world.at('C').alarms.length + world.at('A').alarms.length, 0)
  balanced(t, world)
})

t.test('keys of a master, and all keys of a time: taken back where they were granted, over a restart', async (t) => {
  const world = await star(t, 62)
  const first = await cast(world, 2)
  await order(world, 'A', { sae: 'a' })
  for (const slave of ['b', 'c', 'd']) t.equal(await outcome(world, slave, first), 'KEYS_NOT_FOUND', `no key of a for ${slave}`)
  const second = await cast(world, 2)
  t.equal(await outcome(world, 'd', [second[0]!]), 'keys', 'new keys are served')
  world.at('C').kill()
  await world.wait(500)
  await order(world, 'A', { peer: undefined, fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
  await world.at('C').start()
  for (let i = 0; i < 60; i++) await world.wait(500)
  for (const slave of ['b', 'c', 'd']) t.equal(await outcome(world, slave, [second[1]!]), 'KEYS_NOT_FOUND', `nothing that was issued is left for ${slave}`)
  const third = await cast(world, 1)
  await order(world, 'B', { peer: 'A', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
  for (const slave of ['b', 'c', 'd']) t.equal(await outcome(world, slave, third), 'KEYS_NOT_FOUND', `said at the first slave's KME: ${slave}`)
  const fourth = await cast(world, 1)
  world.at('A').kill()
  await world.wait(500)
  await order(world, 'D', { peer: 'A', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
  t.equal(await outcome(world, 'd', fourth), 'SUSPENDED', 'until the master\'s KME has answered')
  await world.at('A').start()
  for (let i = 0; i < 60; i++) {
    await world.wait(500)
    spread(world)
  }
  t.equal(await outcome(world, 'd', fourth), 'KEYS_NOT_FOUND', 'said at a further KME')
  balanced(t, world)
})

t.test('all keys of an SAE, master or slave, wherever it is said: for every slave at every KME, and no others', async (t) => {
  const world = await star(t, 63)
  for (const [kme, sae] of [['A', 'a'], ['B', 'a'], ['C', 'a'], ['A', 'b'], ['B', 'b'], ['A', 'c'], ['C', 'c']] as const) {
    const said = `${sae} said at ${kme}`
    const others = await cast(world, 1, ['b2', 'c2', 'd2']), ids = await cast(world, 2)
    t.same([others.length, ids.length], [1, 2], said)
    if (kme === 'C') t.equal(await outcome(world, 'c', [ids[0]!]), 'keys', 'one that c has is void for the others, too')
    await order(world, kme, { sae })
    for (const slave of ['b', 'c', 'd']) for (const id of ids) t.equal(await outcome(world, slave, [id]), 'KEYS_NOT_FOUND', `${said}: void for ${slave}`)
    for (const slave of ['b2', 'c2', 'd2']) t.equal(await outcome(world, slave, others), sae === 'a' ? 'KEYS_NOT_FOUND' : 'keys', `${said}: others for ${slave}`)
  }
  t.equal(world.at('A').alarms.length + world.at('B').alarms.length + world.at('C').alarms.length + world.at('D').alarms.length, 0)
  balanced(t, world)
})

t.test('all keys of an SAE: over restarts of the master\'s KME and of one that holds a grant', async (t) => {
  const world = await star(t, 64), ids = await cast(world, 2)
  world.at('D').kill()
  world.at('A').kill()
  await world.wait(500)
  await order(world, 'B', { sae: 'b' })
  await world.at('A').start()
  for (let i = 0; i < 20; i++) {
    await world.wait(250)
    spread(world)
  }
  world.at('A').powerCut()
  await world.at('A').start()
  await world.at('D').start()
  for (let i = 0; i < 60; i++) await world.wait(500)
  for (const slave of ['b', 'c', 'd']) t.equal(await outcome(world, slave, ids), 'KEYS_NOT_FOUND', `void for ${slave}`)
  balanced(t, world)
})

t.test('a request that waits for one KME while another makes its keys void: its master gets none', async (t) => {
  const world = await star(t, 65)
  world.network.setFaults('A', 'D', { delayMs: 900 })
  let answer: Answer | undefined
  world.at('A').enc({ caller: 'a', slave: 'b', additionalSlaves: ['c', 'd'], number: 2 }, (got) => { answer = got })
  await world.wait(500)
  t.equal(answer, undefined, 'D has not answered')
  await order(world, 'C', { sae: 'c' })
  t.equal(refusalOf(answer), 'NO_KEYS')
  balanced(t, world)
})

t.test('a master is removed: no KME serves its keys any more, over a cut line, too', async (t) => {
  const world = await star(t, 66), ids = await cast(world, 1)
  world.network.partition('A', 'D')
  world.at('A').running.run(() => {
    for (const { associations, named } of world.at('A').running.allPools) {
      associations.removeSae('a')
      named.offers.removeMaster('a')
    }
  })
  await world.wait(1_000)
  t.same([await outcome(world, 'b', ids), await outcome(world, 'c', ids)], ['UNAUTHORIZED', 'KEYS_NOT_FOUND'])
  world.network.join('A', 'D')
  for (let i = 0; i < 60; i++) await world.wait(500)
  t.equal(await outcome(world, 'd', ids), 'KEYS_NOT_FOUND')
  balanced(t, world)
})
