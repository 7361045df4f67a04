import t from 'tap'
import type { Test } from 'tap'
import { uuidText } from '../../src/device/formats/uuid.js'
import type { Body } from '../../src/peer/messages.js'
import type { Pool } from '../../src/pool/pool.js'
import type { MeshWorld } from '../../sim/mesh/world.js'
import type { Answer, GotKey } from '../../sim/sae-answer.js'
import { balanced, keysOf, network, refusalOf } from '../relay/network.js'

t.setTimeout(120_000)
/** B lies between A and C; D is a neighbour of A. */
const LINKS = [['A', 'B'], ['B', 'C'], ['A', 'D']] as const

const star = async (t: Test, seed: number, limits: object = {}): Promise<MeshWorld> => {
  const world = await network(t, { seed, links: LINKS, relayed: [{ between: ['A', 'C'] }], saesPerKme: 2, limits: { maxStockBytes: 262_144, ...limits }, stockBytes: 131_072 })
  await world.run(6, 60)
  return world
}

/** Get key at A for these slaves, the first in the path. */
const enc = async (world: MeshWorld, slaves: readonly string[], extra: { number?: number, sizeBits?: number } = {}, waitMs = 4_000): Promise<Answer | undefined> => {
  let answer: Answer | undefined
  const [slave, ...additionalSlaves] = slaves
  world.at('A').enc({ caller: 'a', slave: slave!, additionalSlaves, ...extra }, (got) => { answer = got })
  for (let i = 0; i < waitMs / 20 && answer === undefined; i++) await world.wait(20)
  return answer
}

const dec = async (world: MeshWorld, slave: string, keys: readonly string[], master = 'a'): Promise<Answer | undefined> => {
  let answer: Answer | undefined
  world.at(slave[0]!.toUpperCase()).dec({ caller: slave, master, keyIds: keys }, (got) => { answer = got })
  for (let i = 0; i < 50 && answer === undefined; i++) await world.wait(20)
  return answer
}

const plain = (keys: readonly GotKey[]): readonly [string, string][] => keys.map(({ id, key }) => [id, key])

t.test('slaves at the own KME, a neighbour, another neighbour and a far KME get the same keys, each once, in any order', async t => {
  const world = await star(t, 51)
  const slaves = ['b', 'a2', 'c', 'c2', 'd']
  const got = keysOf(await enc(world, slaves, { number: 5 }))
  t.equal(got.length, 5, 'the master has them')
  const ids = got.map((k) => k.id)
  for (const slave of ['d', 'c2', 'a2', 'b', 'c']) {
    t.same(plain(keysOf(await dec(world, slave, ids.slice(0, 3)))), plain(got.slice(0, 3)), `${slave} gets three of them`)
    t.equal(refusalOf(await dec(world, slave, ids.slice(2, 4))), 'KEYS_NOT_FOUND', `${slave} gets none twice`)
    t.same(plain(keysOf(await dec(world, slave, [ids[4]!, ids[3]!]))), plain([got[4]!, got[3]!]), `${slave} gets the others`)
  }
  t.equal(refusalOf(await dec(world, 'd2', ids)), 'UNAUTHORIZED', 'an SAE that is no slave')
  t.equal(refusalOf(await dec(world, 'd', ids, 'b')), 'KEYS_NOT_FOUND', 'another master')
  t.same(got[0]!.extension, { qkme_route: 'relayed', qkme_paths: 1, qkme_hybrid: false }, 'the pads to C were relayed, and the answer says so')
  await world.wait(500)
  balanced(t, world)
})

const poolOf = (world: MeshWorld, at: string, remote: string): Pool => {
  const { pools, relayedPools } = world.at(at).running
  return pools.get(remote) ?? relayedPools.poolsWith(remote)[0]!
}

/** Key IDs of every grant that A sends to its neighbour D; `keep` says whether a message of A goes out. */
const watch = (world: MeshWorld, keep: (name: string, to: string) => boolean = () => true): string[] => {
  const ids: string[] = []
  world.at('A').evil = (name, body, to) => {
    if (name === 'namedGrant') ids.splice(0, Infinity, ...(body as Body<'namedGrant'>).keys.map((id) => uuidText(id)))
    return keep(name, to) ? body : undefined
  }
  return ids
}

/** Nothing of a request that failed is left anywhere, and its IDs open nothing at any KME. */
const burned = async (t: Test, world: MeshWorld, ids: readonly string[], what: string, isFirst = true): Promise<void> => {
  await world.wait(1_500)
  t.ok(ids.length > 0, `${what}: a grant was sent`)
  for (const slave of ['b', 'a2', 'c', 'd']) t.equal(refusalOf(await dec(world, slave, ids)), 'KEYS_NOT_FOUND', `${what}: ${slave} gets nothing`)
  if (!isFirst) return // IDs of keys that were fetched before are still known.
  for (const [at, remote] of [['C', 'A'], ['D', 'A']] as const) t.equal(poolOf(world, at, remote).named.keys.size, 0, `${what}: ${at} keeps nothing`)
  t.equal([...world.at('A').running.kv.keys({ start: ['offered'], end: ['offeree'] })].length, 0, `${what}: A waits for nothing`)
}

const SLAVES = ['b', 'a2', 'c', 'd'] as const

t.test('one KME that cannot be reached, refuses or is full: no key for anybody, now or later', async t => {
  const world = await star(t, 52)
  const delivered = async (what: string): Promise<void> => {
    const got = keysOf(await enc(world, SLAVES, { number: 2 }))
    t.equal(got.length, 2, `${what}: then it works`)
    for (const slave of SLAVES) t.same(plain(keysOf(await dec(world, slave, got.map((k) => k.id)))), plain(got), `${what}: ${slave} has them`)
  }
  const fails = async (what: string, code: string, ids: readonly string[]): Promise<void> => {
    t.equal(refusalOf(await enc(world, SLAVES, { number: 2 })), code, `${what}: ${code}`)
    world.at('A').evil = undefined
    await burned(t, world, ids, what)
  }

  await fails('the grant is lost', 'PEER_DOWN', watch(world, (name) => name !== 'namedGrant'))
  const held = watch(world)
  world.at('D').evil = (name, body) => name === 'namedGrantAck' ? undefined : body
  await fails('its acknowledgement is lost', 'PEER_DOWN', held)
  world.at('D').evil = undefined

  const deps = poolOf(world, 'D', 'A').core.deps as { admit: (master: string, slaves: readonly string[]) => string }, { admit } = deps
  deps.admit = () => 'no'
  await fails('its policy refuses', 'UNAUTHORIZED', watch(world))
  const { account } = poolOf(world, 'A', 'D').core, before = account.burned['grant']
  t.equal(refusalOf(await enc(world, SLAVES)), 'UNAUTHORIZED', 'a refusal is believed for a moment')
  t.equal(account.burned['grant'], before, 'and costs no key')
  deps.admit = admit
  await world.wait(5_000)

  const { keys } = poolOf(world, 'D', 'A').named, { makeRoom } = keys
  keys.makeRoom = () => false
  await fails('it is full', 'BUSY', watch(world))
  keys.makeRoom = makeRoom

  const cut = watch(world)
  world.at('D').evil = (name, body) => {
    if (name === 'namedGrantAck') world.cut('A', 'D')
    return body
  }
  t.equal(refusalOf(await enc(world, SLAVES, { number: 2 })), 'PEER_DOWN', 'the line breaks as it answers')
  world.at('D').evil = undefined
  t.equal(poolOf(world, 'D', 'A').named.keys.size, 2, 'D has it and nobody tells it otherwise yet')
  t.equal(refusalOf(await enc(world, SLAVES)), 'PEER_DOWN', 'refused at once while it is away')
  world.at('A').evil = undefined
  world.heal('A', 'D')
  await world.run(8, 20)
  await burned(t, world, cut, 'the line breaks')
  await delivered('after all')
  balanced(t, world)
})

t.test('keys of a request are bounded, and what does not fit consumes nothing', async t => {
  const world = await star(t, 53)
  const before = poolOf(world, 'A', 'B').lane.leasedBytes
  const refused = await enc(world, SLAVES, { number: 62, sizeBits: 8_192 })
  t.equal(refusalOf(refused), 'BAD_REQUEST')
  t.match((refused as { refusal: { message: string } }).refusal.message, /at most 61/)
  t.equal(poolOf(world, 'A', 'B').lane.leasedBytes, before)
  t.equal(keysOf(await enc(world, SLAVES, { number: 13, sizeBits: 8_192 })).length, 13, 'large ones that fit')
  await world.run(4, 60)
  const many = keysOf(await enc(world, ['d', 'b'], { number: 128, sizeBits: 1_000 - 1_000 % 8 }))
  t.equal(many.length, 128, 'many of an odd size; the first slave\'s KME is the one with the lane')
  for (const slave of ['b', 'd']) t.same(plain(keysOf(await dec(world, slave, many.map((k) => k.id)))), plain(many), `${slave} has all`)
  balanced(t, world)
})

t.test('killed at any moment, here or there: all slaves get the keys that the master got, and nobody any others', async t => {
  const world = await star(t, 54)
  const outcomes = { answered: 0, not: 0 }
  for (const victim of ['A', 'D', 'C', 'B'] as const) {
    for (const afterMs of victim === 'A' ? [3, 11, 20, 23, 27] : [20, 30]) {
      const ids = watch(world), lost = afterMs % 3
      let answer: Answer | undefined
      world.at('A').enc({ caller: 'a', slave: 'b', additionalSlaves: ['a2', 'c', 'd'], number: 2 }, (got) => { answer = got })
      await world.wait(afterMs)
      world.at(victim).kill(lost)
      await world.wait(3_000)
      await world.at(victim).start()
      world.at('A').evil = undefined
      for (let i = 0; i < 40 && !['B', 'C', 'D'].every((id) => poolOf(world, 'A', id).core.ready); i++) await world.run(0.5, 40)
      await world.run(2, 40)
      const got = keysOf(answer), what = `${victim} killed after ${afterMs} ms, ${lost} transactions lost`
      outcomes[got.length > 0 ? 'answered' : 'not']++
      if (got.length > 0) for (const slave of SLAVES) t.same(plain(keysOf(await dec(world, slave, ids))), plain(got), `${what}: ${slave} has what the master has`)
      else if (ids.length > 0) await burned(t, world, ids, what, false)
      balanced(t, world)
    }
  }
  t.equal(outcomes.answered + outcomes.not, 11, JSON.stringify(outcomes))
})
