import t from 'tap'
import type { Body } from '../../src/peer/messages.js'
import type { Answer, GotKey } from '../../sim/sae-answer.js'
import { balanced, keysOf, network, refusalOf, sameKeys } from './network.js'

t.setTimeout(300_000)
const line = [['A', 'B'], ['B', 'C'], ['C', 'D']] as const
const ring = [['A', 'B'], ['B', 'C'], ['C', 'D'], ['D', 'E'], ['E', 'F'], ['F', 'A']] as const

t.test('a line of four: every pair of SAEs, both directions', async t => {
  const relayed = [['A', 'C'], ['A', 'D'], ['B', 'D']] as const
  const world = await network(t, { seed: 11, links: line, relayed: relayed.map((between) => ({ between })), limits: { maxStockBytes: 524_288 } })
  await world.run(16, 60)
  for (const a of 'ABCD') for (const b of 'ABCD') if (a !== b) sameKeys(t, await world.exchange(a, b, { number: 3 }), `${a} to ${b}`)
  balanced(t, world)
  const far = keysOf((await world.exchange('A', 'D')).master)
  t.match(far, [{ extension: { qkme_hops: 3 } }], 'over two nodes')
  const lost = [...world.kmes.values()].reduce((sum, kme) => sum + kme.running.relay.counters.lostBytes, 0)
  t.equal(lost, 0, 'no bit was spent on a job that failed')
})

t.test('keys of a relayed pool say how they came, and extensions choose', async t => {
  const world = await network(t, { seed: 12, links: [['A', 'B'], ['B', 'C'], ['A', 'C']], relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 524_288 } })
  await world.run(12, 60)
  const ask = (name: string, value: unknown) => world.exchange('A', 'C', { extensions: [{ name, value, mandatory: true }] })
  sameKeys(t, await ask('qkme_route', 'relayed'), 'of the relayed pool')
  sameKeys(t, await ask('qkme_route', 'direct'), 'over the link')
  sameKeys(t, await ask('qkme_min_disjoint_paths', 2), 'a direct link passes nobody')
  t.equal(refusalOf((await ask('qkme_hybrid', true)).master), 'EXTENSION_UNMET')
  const enc = (route: string): Promise<readonly GotKey[]> => new Promise((resolve) => {
    world.at('A').enc({ caller: 'a', slave: 'c', extensions: [{ name: 'qkme_route', value: route, mandatory: true }] }, (answer) => { resolve(keysOf(answer)) })
  })
  const dec = (keys: readonly GotKey[]): Promise<readonly GotKey[]> => {
    const got = new Promise<readonly GotKey[]>((resolve) => { world.at('C').dec({ caller: 'c', master: 'a', keyIds: keys.map((k) => k.id) }, (answer) => { resolve(keysOf(answer)) }) })
    return world.wait(500).then(() => got)
  }
  const [relayed, direct, another] = [(await enc('relayed'))[0]!, (await enc('direct'))[0]!, (await enc('relayed'))[0]!]
  t.same([relayed.extension, direct.extension], [{ qkme_route: 'relayed', qkme_paths: 1, qkme_hybrid: false, qkme_hops: 1 }, undefined])
  t.same(await dec([another]), [another], 'the slave is told the same')
  const mixed = await dec([relayed, direct])
  t.same(mixed.map(({ id, key, extension }) => [id, key, extension]), [relayed, direct].map(({ id, key }) => [id, key, undefined]), 'of keys that came different ways nothing false is said')
  balanced(t, world)
})

t.test('one answer with a granted key and a key of the pool, which came the same way, tells it', async t => {
  const world = await network(t, { seed: 16, links: line, relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 524_288 } })
  await world.run(16, 60)
  const own = keysOf((await world.exchange('A', 'C', { number: 1 })).master)
  t.equal(own.length, 1, 'the pool works')
  const asked: Answer[] = []
  for (const additionalSlaves of [[], ['b']]) world.at('A').enc({ caller: 'a', slave: 'c', number: 1, additionalSlaves }, (answer) => { asked.push(answer) })
  for (const additionalSlaves of [['c']]) world.at('A').enc({ caller: 'a', slave: 'b', number: 1, additionalSlaves }, (answer) => { asked.push(answer) })
  await world.wait(2_000)
  const keys = asked.flatMap(keysOf)
  t.equal(keys.length, 3, asked.map(refusalOf).join())
  let got: Answer | undefined
  world.at('C').dec({ caller: 'c', master: 'a', keyIds: keys.map((k) => k.id) }, (answer) => { got = answer })
  await world.wait(1_000)
  t.same(keysOf(got).map((k) => (k.extension as { qkme_route?: string } | undefined)?.qkme_route), ['relayed', 'relayed', 'relayed'], refusalOf(got))
})

t.test('two disjoint paths: the block is the xor of two shares', async t => {
  const world = await network(t, { seed: 13, links: ring, relayed: [{ between: ['A', 'D'], paths: 2 }], limits: { maxStockBytes: 524_288 } })
  await world.run(14, 60)
  sameKeys(t, await world.exchange('A', 'D', { extensions: [{ name: 'qkme_min_disjoint_paths', value: 2, mandatory: true }] }), 'two paths')
  t.equal(refusalOf((await world.exchange('A', 'D', { extensions: [{ name: 'qkme_min_disjoint_paths', value: 3, mandatory: true }] })).master), 'EXTENSION_UNMET')
  for (const between of 'BCEF') t.ok(world.at(between).running.relay.counters.passedJobs > 0, `${between} passed shares on`)
  balanced(t, world)
})

t.test('a node that changes bits is found out: no key, and its path is named', async t => {
  const world = await network(t, { seed: 14, links: line.slice(0, 2), relayed: [{ between: ['A', 'C'] }] })
  world.at('B').evil = (name, body) => {
    if (name === 'relay') (body as Body<'relay'>).data[100]! ^= 1
    return body
  }
  await world.run(10, 60)
  t.equal(world.at('A').running.relayed.get('C')!.stockBytes(), 0)
  t.ok(world.at('A').alarms.some((a) => a.includes('relay.lyingPath') && a.includes('A - B - C')) || world.at('C').alarms.some((a) => a.includes('relay.lyingPath') && a.includes('C - B - A')), 'the path is named')
  t.ok(['NO_KEYS', 'PEER_DOWN'].includes(refusalOf((await world.exchange('A', 'C')).master)))
  world.at('B').evil = undefined
  await world.run(70, 20)
  sameKeys(t, await world.exchange('A', 'C'), 'after the lie')
  balanced(t, world)
})

t.test('a share of one path is changed: the lying path is the one that is named', async t => {
  const world = await network(t, { seed: 15, links: ring, relayed: [{ between: ['A', 'D'], paths: 2 }] })
  world.at('E').evil = (name, body) => {
    if (name === 'relay') (body as Body<'relay'>).data[3_000]! ^= 128
    return body
  }
  await world.run(10, 60)
  const named = [...world.at('A').alarms, ...world.at('D').alarms].filter((a) => a.includes('on the way'))
  t.ok(named.length > 0)
  t.ok(named.every((a) => a.includes(' E ')), 'only ways through E')
  t.equal(world.at('A').running.relayed.get('D')!.stockBytes(), 0)
  balanced(t, world)
})

t.test('a line is cut: blocks go the other way round, and stock is never mixed up', async t => {
  const world = await network(t, { seed: 16, links: ring, relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 1 << 19 } })
  await world.run(10, 60)
  sameKeys(t, await world.exchange('A', 'C'), 'before the cut')
  world.cut('B', 'C')
  for (let i = 0; i < 6; i++) {
    sameKeys(t, await world.exchange('A', 'C', { number: 100 }), `after the cut, ${i}`)
    await world.run(2, 60)
  }
  for (const passing of 'DEF') t.ok(world.at(passing).running.relay.counters.passedJobs > 0, `${passing} passes now`)
  balanced(t, world)
})

t.test('a node between dies under way: what is uncertain is burned at both ends', async t => {
  const world = await network(t, { seed: 17, links: line, relayed: [{ between: ['A', 'D'] }], limits: { maxStockBytes: 1 << 19 } })
  for (let i = 0; i < 4; i++) {
    await world.run(5, 60)
    world.at('B').kill(i)
    await world.run(2, 30)
    await world.at('B').start()
  }
  await world.run(60, 30)
  sameKeys(t, await world.exchange('A', 'D', { number: 20 }), 'after all')
  sameKeys(t, await world.exchange('D', 'A', { number: 20 }), 'after all, back')
  balanced(t, world)
  const stocks = ['A', 'D'].map((id) => [...world.at(id).running.relayed.values()][0]!.stockBytes())
  t.ok(Math.abs(stocks[0]! - stocks[1]!) < 20_000, `both ends hold the same, but for what is being named (${stocks.join(', ')})`)
})
