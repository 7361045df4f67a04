import t from 'tap'
import type { PoolView, StatusView } from '../../src/admin/port.js'
import { exchangeAll, runLive, startLive } from '../e2e/live-network.js'

t.setTimeout(230_000)

t.test('a ring of six as processes: pools come by themselves, classes stand side by side, nodes between die and lines break', async t => {
  const live = await startLive(t, `
name: ring of six
mode: processes
seconds: 12
links: [{ between: [a, b], rate: 4M }, { between: [b, c], rate: 4M }, { between: [c, d], rate: 4M }, { between: [d, e], rate: 4M }, { between: [e, f], rate: 4M }, { between: [f, a], rate: 4M }]
automatic: { open: all, stockBytes: 131072 }
relayed: [{ between: [a, d], paths: 2, hybrid: true, stockBytes: 131072 }]
load: { perSecond: 12, keys: 2 }
faults: [{ at: 1, kill: b }, { at: 2.5, start: b }, { at: 4, partition: [d, e] }, { at: 6, heal: [d, e] }, { at: 7, kill: e }, { at: 8, start: e }]
`), { scenario, network } = live
  await exchangeAll(t, network, scenario.load.between)
  await exchangeAll(t, network, [['a', 'd']], ': two paths and hybrid', { qkme_min_disjoint_paths: 2, qkme_hybrid: true })
  t.match((await network.exchange('b', 'e', 1, { qkme_hybrid: true })).why, /^enc 503/, 'a class that opens by itself is on its way')
  const result = await runLive(t, live)
  const died = new Set(['b', 'e']), lasting = result.pairs.filter((p) => !died.has(p.from) && !died.has(p.to))
  t.ok(lasting.length === 12 && lasting.every((p) => p.keys > 0), `every pair that lived had keys meanwhile (${JSON.stringify(lasting.filter((p) => p.keys === 0))})`)
  await network.ready()
  await exchangeAll(t, network, scenario.load.between.filter(([a, b]) => died.has(a) || died.has(b)), ', one of whom had died')
  t.equal((await network.exchange('b', 'e', 1, { qkme_hybrid: true })).why, '', 'the class that opened by itself has key now')
  const pools = await network.ask('b', '/v1/pools') as PoolView[]
  t.same(pools.filter((pool) => pool.remote === 'kme-e').map((pool) => [pool.id, pool.route]).sort(), [['pool/relay1h:kme-e', 'relayed over one path, hybrid'], ['pool/relay:kme-e', 'relayed over one path']])
  const { parts } = await network.ask('b', '/v1/status') as StatusView
  t.same(parts.filter((part) => part.id.startsWith('control/')).map((part) => part.id).sort(), ['d', 'e', 'f'].map((n) => `control/kme-${n}`))
})
