import t from 'tap'
import type { Test } from 'tap'
import type { MeshWorld, MeshOptions } from '../../sim/mesh/world.js'
import type { Answer } from '../../sim/sae-answer.js'
import { uuidText } from '../../src/device/formats/uuid.js'
import type { Body } from '../../src/peer/messages.js'
import type { PoolKeyService } from '../../src/pool/key-service.js'
import type { Pool } from '../../src/pool/pool.js'
import { balanced, keysOf, network, refusalOf } from '../relay/network.js'

t.setTimeout(60_000)
/** A's keys for `b` come from the pool with B, those for `c` from a relayed one; `d` is a further slave, at a neighbour. */
const star = async (t: Test, seed: number, more: Partial<MeshOptions> = {}): Promise<MeshWorld> => {
  const world = await network(t, {
    seed, links: [['A', 'B'], ['B', 'C'], ['A', 'D']], relayed: [{ between: ['A', 'C'] }], stockBytes: 65_536, ...more, limits: { maxStockBytes: 131_072, ...more.limits },
  })
  await world.run(4, 60)
  return world
}

const enc = async (world: MeshWorld, slaves: readonly string[]): Promise<Answer | undefined> => {
  let answer: Answer | undefined
  const [slave, ...additionalSlaves] = slaves
  world.at('A').enc({ caller: 'a', slave: slave!, additionalSlaves, number: 2 }, (got) => { answer = got })
  for (let i = 0; i < 200 && answer === undefined; i++) await world.wait(20)
  return answer
}

const outcome = async (world: MeshWorld, slave: string, ids: readonly string[]): Promise<string> => {
  let answer: Answer | undefined
  world.at(slave[0]!.toUpperCase()).dec({ caller: slave, master: 'a', keyIds: ids }, (got) => { answer = got })
  for (let i = 0; i < 50 && answer === undefined; i++) await world.wait(20)
  return answer !== undefined && 'keys' in answer ? 'keys' : refusalOf(answer)
}

const poolOf = (world: MeshWorld, at: string, remote: string): Pool => {
  const { pools, relayedPools } = world.at(at).running
  return pools.get(remote) ?? relayedPools.poolsWith(remote)[0]!
}
const idsOf = (answer: Answer | undefined): string[] => keysOf(answer).map((k) => k.id)

t.test('a granted key that nobody fetched goes after `fetch_ttl`, and later the memory of it at the giver', async t => {
  const world = await star(t, 81, { limits: { fetchTtlMs: 4_000 } })
  const ids = idsOf(await enc(world, ['b', 'd']))
  t.equal(ids.length, 2)
  await world.wait(2_000)
  t.equal(await outcome(world, 'd', [ids[0]!]), 'keys', 'in time')
  await world.wait(3_000)
  t.equal(await outcome(world, 'd', [ids[1]!]), 'KEYS_NOT_FOUND', 'too late')
  const { keys } = poolOf(world, 'D', 'A').named, left = (kme: string, table: string): number => [...world.at(kme).running.kv.keys({ start: [table], end: [`${table}~`] })].length
  t.same([keys.size, left('D', 'granted'), left('D', 'grantedKey'), left('A', 'offered')], [0, 0, 0, 1])
  await world.wait(601_000)
  t.equal(left('A', 'offered'), 0)
  balanced(t, world)
})

t.test('the pool of which the keys are cut, or that of the pads, is void while a KME has not answered: nobody gets any', async t => {
  const world = await star(t, 82)
  for (const remote of ['B', 'D']) {
    let ids: string[] = []
    world.at('A').evil = (name, body) => {
      if (name === 'namedGrant') ids = (body as Body<'namedGrant'>).keys.map((id) => uuidText(id))
      return body
    }
    world.at('D').evil = (name, body) => {
      if (name === 'namedGrantAck') poolOf(world, 'A', remote).void('a test')
      return body
    }
    t.not(refusalOf(await enc(world, ['b', 'd'])), '', `${remote} is void: refused`)
    t.equal(ids.length, 2, 'the grant went out')
    world.at('A').evil = world.at('D').evil = undefined
    await world.run(6, 60)
    if (ids.length > 0) for (const slave of ['b', 'd']) t.equal(await outcome(world, slave, ids), 'KEYS_NOT_FOUND', `${remote} is void: ${slave} gets nothing`)
    t.equal(poolOf(world, 'D', 'A').named.keys.size, 0, 'nothing is left at D')
    balanced(t, world)
  }
})

t.test('an answer that did not reach its master is taken back at every KME', async t => {
  const world = await star(t, 83)
  const { service } = world.at('A').running, deliveries: number[] = []
  const { encKeys } = service
  service.encKeys = function (this: PoolKeyService, request, reply) {
    encKeys.call(this, request, { ...reply, refuse: (refusal) => { reply.refuse(refusal) }, keys: (json, delivery) => { deliveries.push(delivery); reply.keys(json, delivery) } })
  }
  const ids = idsOf(await enc(world, ['b', 'd'])), before = poolOf(world, 'A', 'B').core.account.delivered
  t.same([ids.length, deliveries.length], [2, 1])
  service.aborted(deliveries[0]!)
  service.aborted(deliveries[0]!)
  t.equal(poolOf(world, 'A', 'B').core.account.delivered, before - 64, 'booked as burned, once')
  await world.wait(1_000)
  for (const slave of ['b', 'd']) t.equal(await outcome(world, slave, ids), 'KEYS_NOT_FOUND', slave)
  balanced(t, world)
})

t.test('a relayed pool that the configuration has dropped meanwhile: what was granted of its keys is taken back', async t => {
  const automatic = { open: 'onDemand' as const, accept: true, stockBytes: 65_536, kmes: [] as string[] }
  const world = await star(t, 84, { relayed: [], automatic: () => automatic })
  await enc(world, ['c'])
  await world.run(6, 60)
  const ids = idsOf(await enc(world, ['c', 'd']))
  t.equal(ids.length, 2, 'cut of the relayed pool, and granted to D')
  await world.wait(500)
  world.at('A').kill()
  automatic.kmes.push('X')
  await world.at('A').start()
  t.same(world.at('A').running.relayedPools.list(), [])
  await world.run(4, 20)
  t.equal(await outcome(world, 'd', ids), 'KEYS_NOT_FOUND')
  t.equal(poolOf(world, 'D', 'A').named.keys.size, 0)
  balanced(t, world)
})

t.test('what is being leased counts as stock, and undecided grants are looked for once', async t => {
  const world = await star(t, 85)
  const { lane, named } = poolOf(world, 'A', 'B'), before = lane.freeBytes(true)
  lane.lease(40_000)
  t.equal(lane.freeBytes(true), before, 'while it is flushed')
  await world.wait(100)
  t.equal(lane.freeBytes(true), before, 'and then')
  t.ok(lane.leasedBytes >= 40_000)
  let looks = 0
  named.offers.undecided = () => { looks++; return [] }
  await world.wait(1_000)
  t.equal(looks, 0)
})
