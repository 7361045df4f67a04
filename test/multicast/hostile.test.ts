import t, { type Test } from 'tap'
import type { MeshWorld } from '../../sim/mesh/world.js'
import type { Answer, GotKey } from '../../sim/sae-answer.js'
import { balanced, keysOf, network, refusalOf } from '../relay/network.js'

t.setTimeout(60_000)
/** B lies between A and C; D is a neighbour of A. */
const LINKS = [['A', 'B'], ['B', 'C'], ['A', 'D']] as const

const star = async (t: Test, seed: number): Promise<MeshWorld> => {
  const world = await network(t, { seed, links: LINKS, relayed: [{ between: ['A', 'C'] }], saesPerKme: 2, limits: { maxStockBytes: 262_144 }, stockBytes: 131_072 })
  await world.run(6, 60)
  return world
}

interface Question { readonly caller: string, readonly slaves: readonly string[], readonly number?: number, readonly sizeBits?: number }

const ask = (world: MeshWorld, at: string, { caller, slaves: [slave, ...additionalSlaves], ...rest }: Question): (Answer | undefined)[] => {
  const answers: (Answer | undefined)[] = []
  world.at(at).enc({ caller, slave: slave!, additionalSlaves, ...rest }, (got) => { answers.push(got) })
  return answers
}

const ids = (keys: readonly GotKey[]): string[] => keys.map((k) => k.id)

t.test('two slaves of one KME that ask for a granted key in the same moment both get it', async t => {
  const world = await star(t, 71)
  const [first] = await answered(world, ask(world, 'A', { caller: 'a', slaves: ['b', 'c', 'c2'], number: 3 }))
  const got = keysOf(first)
  t.equal(got.length, 3, 'the master has keys')
  const each = ['c', 'c2'].map((caller) => {
    const answers: Answer[] = []
    world.at('C').dec({ caller, master: 'a', keyIds: ids(got) }, (answer) => { answers.push(answer) })
    return answers
  })
  await world.wait(500)
  for (const answers of each) t.same(keysOf(answers[0]).map((k) => k.key), got.map((k) => k.key), `both have them ${refusalOf(answers[0])}`)
  const { kv } = world.at('C').running
  t.equal([...kv.keys({ start: ['grantedKey'], end: ['grantedKez'] })].length, 0, 'and then they are erased')
  balanced(t, world)
})

t.test('a KME cannot speak for an SAE of another: key of its own, said to be of that SAE, is given to nobody', async t => {
  const world = await star(t, 72)
  const own = keysOf((await answered(world, ask(world, 'D', { caller: 'd', slaves: ['a'] })))[0])
  t.equal(own.length, 1, 'D and A share keys')
  // D lies: no b ever authenticated to it.
  const forged = keysOf((await answered(world, ask(world, 'D', { caller: 'b', slaves: ['a'] })))[0])
  const answers: Answer[] = []
  if (forged.length > 0) world.at('A').dec({ caller: 'a', master: 'b', keyIds: ids(forged) }, (answer) => { answers.push(answer) })
  await world.wait(500)
  t.same(keysOf(answers[0]), [], 'a does not take them for keys with b')
  balanced(t, world)
})

t.test('a pool that goes while requests wait for its bits costs these requests, not the process', async t => {
  const world = await star(t, 73)
  const { relayedPools } = world.at('A').running, entry = relayedPools.list()[0]!
  t.ok(entry.pool.lane.leasedBytes < 16_384 && entry.pool.lane.freeBytes(true) > 65_536, 'there is enough, and it is not leased')
  const one = ask(world, 'A', { caller: 'a', slaves: ['c'], number: 1 })
  await world.wait(1_000)
  t.equal(keysOf(one[0]).length, 1, 'there is an association')
  const plain = ask(world, 'A', { caller: 'a', slaves: ['c'], number: 16, sizeBits: 8_192 })
  const cast = ask(world, 'A', { caller: 'a', slaves: ['b', 'c'], number: 16, sizeBits: 8_192 })
  t.equal(plain.length + cast.length, 0, 'both wait')
  world.at('A').running.run(() => { relayedPools.drop(entry, 'a test') })
  await world.wait(3_000)
  t.ok(world.at('A').process !== undefined, 'A runs')
  t.equal(keysOf(plain[0]).length + keysOf(cast[0]).length, 0, `${refusalOf(plain[0])} ${refusalOf(cast[0])}`)
  balanced(t, world)
})

t.test('a pool that stops while keys for several KMEs are made fails the request', async t => {
  const world = await star(t, 74)
  const before = ask(world, 'A', { caller: 'a', slaves: ['b', 'd'], number: 1 })
  await answered(world, before)
  t.equal(keysOf(before[0]).length, 1, 'it works')
  const { pools } = world.at('A').running
  const cast = ask(world, 'A', { caller: 'a', slaves: ['b', 'd'], number: 61, sizeBits: 8_192 })
  world.at('A').running.run(() => { pools.get('D')!.stop(1_000).catch(() => { t.fail('it stops') }) })
  await world.wait(3_000)
  t.ok(world.at('A').process !== undefined, 'A runs')
  t.same(keysOf(cast[0]), [], refusalOf(cast[0]))
  balanced(t, world)
})

const answered = async (world: MeshWorld, answers: (Answer | undefined)[]): Promise<(Answer | undefined)[]> => {
  for (let i = 0; i < 200 && answers.length === 0; i++) await world.wait(20)
  return answers
}
