import t from 'tap'
import { accountOf } from '../../src/pool/accounts.js'
import { classNumber, classOf, classText } from '../../src/relay/pool-class.js'
import { relayLink, relayPoolId } from '../../src/relay/link.js'
import type { Answer } from '../../sim/sae-answer.js'
import { SimClock } from '../../sim/clock.js'
import { AutomaticPools } from '../../src/relay/automatic.js'
import type { PoolClass } from '../../src/relay/pool-class.js'
import type { RelayedEntry } from '../../src/relay/pools.js'
import { balanced, keysOf, network, refusalOf, sameKeys } from './network.js'

t.setTimeout(120_000)
const line = [['A', 'B'], ['B', 'C']] as const
const square = [['A', 'B'], ['B', 'D'], ['A', 'E'], ['E', 'D']] as const
const limits = { maxStockBytes: 1 << 19 }
const paths = (value: number) => ({ extensions: [{ name: 'qkme_min_disjoint_paths', value, mandatory: true }] })
const countOf = async (of: () => number, wait: () => Promise<void>, wanted: number, tries = 40): Promise<number> => {
  for (let i = 0; i < tries && of() !== wanted; i++) await wait()
  return of()
}

t.test('a class has one number, one name and one link', async t => {
  const names = new Set<string>(), links = new Set<number>()
  for (let number = 0; number < 256; number++) {
    const cls = classOf(number)
    if (cls === undefined) continue
    t.equal(classNumber(cls), number)
    names.add(relayPoolId('kme-c', cls))
    links.add(relayLink('kme-c', 'kme-a', cls))
    t.equal(relayLink('kme-a', 'kme-c', cls), relayLink('kme-c', 'kme-a', cls), 'the same at both')
  }
  t.same([names.size, links.size], [16, 16])
  t.same([[1, 0], [2, 1]].map(([n, h]) => classText({ paths: n!, hybrid: h === 1 })), ['one path', '2 paths, hybrid'])
})

t.test('pools of two classes with one KME side by side: demands choose, and both outlive a start', async t => {
  const world = await network(t, { seed: 51, links: square, relayed: [{ between: ['A', 'D'] }, { between: ['A', 'D'], paths: 2 }], limits, stockBytes: 200_000 })
  await world.run(14, 60)
  const pools = (id: string) => world.at(id).running.relayedPools.list()
  t.same(pools('A').map((entry) => entry.id), ['relay:D', 'relay2:D'])
  const all = async (when: string): Promise<void> => {
    for (const [from, to] of [['A', 'D'], ['D', 'A']] as const) {
      const one = await world.exchange(from, to), two = await world.exchange(from, to, paths(2))
      sameKeys(t, one, `${when}, ${from} to ${to}: no demand`)
      sameKeys(t, two, `${when}, ${from} to ${to}: two paths`)
      t.same([one, two].map(({ master }) => keysOf(master)[0]?.extension), [1, 2].map((n) => ({ qkme_route: 'relayed', qkme_paths: n, qkme_hybrid: false, qkme_hops: 2 })), 'each says how it came')
      t.equal(refusalOf((await world.exchange(from, to, paths(3))).master), 'EXTENSION_UNMET', 'no class has three')
    }
  }
  await all('at first')
  world.at('A').kill(2)
  await world.run(1, 60)
  await world.at('A').start()
  await world.run(6, 60)
  await all('after a kill')
  const stocks = [0, 1].map((i) => [pools('A')[i]!, pools('D')[i]!].map((entry) => entry.pool.stockBytes()))
  for (const [a, d] of stocks) t.ok(Math.abs(a! - d!) < 20_000 && a! > 50_000, `equal stock of each class (${stocks.join(' and ')})`)
  balanced(t, world)
})

t.test('ends that do not agree on the class say so, both of them, and share nothing', async t => {
  const world = await network(t, { seed: 52, links: square, relayed: [{ between: ['A', 'D'], only: 'A' }, { between: ['A', 'D'], paths: 2, only: 'D' }], limits })
  await world.run(10, 60)
  const note = (id: string): string => world.at(id).running.relayedPools.list().map((entry) => world.at(id).running.automatic.note(entry)).join()
  t.match(note('A'), /D has with A only 2 paths, and accepts none by itself/)
  t.match(note('D'), /A has with D only one path, and accepts none by itself/)
  t.equal(world.at('A').running.relayedPools.list()[0]!.pool.stockBytes(), 0)
  t.ok(['NO_KEYS', 'PEER_DOWN'].includes(refusalOf((await world.exchange('A', 'D')).master)))
  balanced(t, world)
})

t.test('a pool opens by itself when an SAE asks, is taken at the far end, serves both ways, and ends when nobody uses it', async t => {
  const automatic = () => ({ open: 'onDemand', accept: true, idleMs: 20_000, stockBytes: 100_000 }) as const
  const world = await network(t, { seed: 53, links: line, relayed: [], automatic, limits })
  await world.run(8, 60)
  const entries = (id: string) => world.at(id).running.relayedPools.list()
  const [first, second] = [await world.exchange('C', 'A'), await world.exchange('C', 'A')]
  t.same([first, second].map(({ master }) => refusalOf(master)).slice(0, 1), ['NO_KEYS'])
  t.ok(first.master !== undefined && 'refusal' in first.master && first.master.refusal.retryAfterS !== undefined && /being prepared/.test(first.master.refusal.message), 'come again')
  await world.run(8, 60)
  sameKeys(t, await world.exchange('C', 'A', { number: 3 }), 'by the one who opened')
  sameKeys(t, await world.exchange('A', 'C', { number: 3 }), 'by the other')
  t.same([entries('A'), entries('C')].map((all) => all.map((entry) => [entry.id, entry.isKept])), [[['relay:C', false]], [['relay:A', false]]])
  world.at('A').kill()
  await world.at('A').start()
  await world.run(6, 60)
  sameKeys(t, await world.exchange('A', 'C'), 'a start forgets nothing of it')
  const pools = [entries('A')[0]!.pool, entries('C')[0]!.pool]
  t.equal(await countOf(() => entries('A').length + entries('C').length, () => world.run(1, 8), 0), 0, 'gone at both')
  t.same(pools.map((pool) => [pool.stockBytes(), accountOf(pool).differenceBits]), [[0, 0], [0, 0]], 'its stock is burned and booked')
  t.equal(await countOf(() => world.at('A').running.control.remotes.length, () => world.wait(1_000), 0, 80), 0, 'nor does a channel stay')
  await world.exchange('A', 'C')
  await world.run(8, 60)
  sameKeys(t, await world.exchange('A', 'C'), 'and again')
  t.ok(entries('A')[0]!.pool.core.meta.highestBlock > pools[0]!.core.meta.highestBlock, 'no number is used twice')
  balanced(t, world)
})

t.test('an unused pool whose KME is away stays while that one may deliver from it alone; then both ends void it', async t => {
  const automatic = () => ({ open: 'onDemand', accept: true, idleMs: 6_000, stockBytes: 100_000 }) as const
  const world = await network(t, { seed: 57, links: line, relayed: [], automatic, limits, keepAliveMs: 500 })
  const entries = (id: string) => world.at(id).running.relayedPools.list()
  await world.run(8, 48)
  await world.exchange('C', 'A')
  await world.run(8, 48)
  sameKeys(t, await world.exchange('C', 'A'), 'there it is')
  world.network.partition('A', 'B')
  await world.wait(14_000)
  t.same(['A', 'C'].map((id) => entries(id).length), [1, 1])
  let master: Answer | undefined, slave: Answer | undefined
  world.at('C').enc({ caller: 'c', slave: 'a', number: 1 }, (answer) => { master = answer })
  await world.wait(200)
  world.network.join('A', 'B')
  await world.run(6, 48)
  world.at('A').dec({ caller: 'a', master: 'c', keyIds: keysOf(master).map((key) => key.id) }, (answer) => { slave = answer })
  await world.wait(1_000)
  sameKeys(t, { master, slave }, 'delivered alone, fetched afterwards')
  world.network.partition('A', 'B')
  await world.wait(120_000)
  t.same(['A', 'C'].map((id) => entries(id).length), [0, 0], 'nobody waits for ever')
  balanced(t, world)
})

t.test('nobody answers: a pool that opened by itself waits while no way stands, and is tried again at once over another', async t => {
  const clock = new SimClock(), said: string[] = []
  let ways: string[][] | string = [['A', 'B', 'Z']], entry: RelayedEntry | undefined
  const list = (): RelayedEntry[] => entry === undefined ? [] : [entry]
  const pools = {
    list, with: list, find: () => entry, drop: () => { entry = undefined },
    add: (remote: string, cls: PoolClass) => { entry = { id: 'relay:Z', remote, cls, isKept: false, pool: { core: { account: { delivered: 0, leased: 0 }, meta: { horizonTheirs: 0 }, deps: { limits: { peerAbsenceMaxMs: 30_000 } } }, stockBytes: () => 0, lastReadyMs: -Infinity } } as unknown as RelayedEntry },
  }
  const policy = { open: 'onDemand', accept: true, kmes: [], paths: 1, hybrid: false, stockBytes: 1, poolsMax: 4, idleMs: 3_600_000 } as const
  const automatic = new AutomaticPools(policy, { self: 'A', clock, pools, ways: () => ways, isConnected: () => false, say: (what: string) => { said.push(what) }, openChannel: () => {}, channels: () => [], known: () => [] } as never)
  const passes = (seconds: number): void => {
    for (let i = 0; i < seconds; i++) {
      clock.advance(1_000)
      automatic.tick()
    }
  }
  const isThere = (): boolean => entry !== undefined
  t.ok(automatic.wanted('Z', {}))
  passes(50) // The line to B is dead, and now it is seen.
  ways = 'no way'
  passes(600)
  t.ok(isThere(), 'the line is waited for')
  ways = [['A', 'B', 'Z']]
  passes(59)
  t.ok(isThere())
  passes(3)
  t.notOk(isThere(), 'over ways that stand for a minute nobody answers')
  t.notOk(automatic.wanted('Z', {}), 'for a while it is not tried again')
  ways = [['A', 'C', 'Z']]
  t.ok(automatic.wanted('Z', {}), 'over another way it is')
  passes(30)
  t.ok(isThere())
  automatic.refused(entry!, 'said by Z')
  ways = [['A', 'B', 'Z']]
  t.notOk(automatic.wanted('Z', {}), 'what the far end itself refuses counts over any way')
  clock.advance(60_000)
  t.ok(automatic.wanted('Z', {}))
  ways = 'no way'
  passes(3_700)
  t.notOk(isThere(), 'nothing waits for ever')
})

t.test('what is accepted is bounded by list, class and number; a demand opens its class', async t => {
  const limitsOf = (kme: string) => kme === 'D' ? ({ accept: true, kmes: ['A', 'F'], poolsMax: 1 }) : ({ open: 'onDemand', accept: false, stockBytes: 100_000 }) as const
  const world = await network(t, { seed: 54, links: [...square, ['D', 'F']], relayed: [], automatic: limitsOf, limits })
  await world.run(8, 60)
  t.equal(refusalOf((await world.exchange('A', 'D', paths(3))).master), 'PEER_DOWN', 'no pool, and no three ways for one')
  await world.exchange('A', 'D', paths(2))
  await world.run(8, 60)
  sameKeys(t, await world.exchange('A', 'D', paths(2)), 'two paths')
  t.same(world.at('A').running.relayedPools.list().map((entry) => entry.id), ['relay2:D'])
  await world.exchange('F', 'A') // A accepts nothing.
  await world.exchange('F', 'D', { extensions: [{ name: 'qkme_route', value: 'relayed', mandatory: true }] }) // D has one pool already, and may have no more.
  await world.exchange('B', 'D', { extensions: [{ name: 'qkme_route', value: 'relayed', mandatory: true }] }) // D has not B in its list.
  await world.run(64, 8)
  t.same(['B', 'D', 'F'].map((id) => world.at(id).running.relayedPools.list().length), [0, 1, 0])
  t.ok(world.at('B').running.automatic.counters.closed === 1 && world.at('D').running.automatic.counters.declined === 1, 'F is told why; who may not call is not even heard')
  balanced(t, world)
})

t.test('ahead of demand: pools with every KME, and what the configuration dropped is burned', async t => {
  const world = await network(t, { seed: 55, links: [...line, ['C', 'D']], relayed: [], automatic: () => ({ open: 'all', accept: true, stockBytes: 80_000 }), limits })
  await world.run(16, 60)
  for (const [from, to] of [['A', 'C'], ['A', 'D'], ['D', 'B']] as const) sameKeys(t, await world.exchange(from, to), `${from} to ${to}`)
  balanced(t, world)
})
