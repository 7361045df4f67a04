import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ProcessNetwork } from '../../sim/network/processes.js'
import { runScenario } from '../../sim/network/run.js'
import { readScenario } from '../../sim/network/scenario.js'

t.setTimeout(230_000)

t.test('a line of four as processes: every pair gets equal keys, while a node between dies and comes back', async t => {
  const file = join(t.testdir(), 'line.yaml')
  writeFileSync(file, `
name: line of four
mode: processes
seconds: 9
links: [{ between: [a, b], rate: 4M }, { between: [b, c], rate: 4M }, { between: [c, d], rate: 4M }]
relayed: all
load: { perSecond: 8, keys: 2 }
faults: [{ at: 3, kill: b }, { at: 4, start: b }]
`)
  const scenario = readScenario(file)
  const network = await ProcessNetwork.start(scenario)
  t.teardown(() => network.stop())
  await network.ready()
  for (const [a, b] of scenario.load.between) {
    t.equal((await network.exchange(a, b, 2)).why, '', `${a} to ${b}`)
    t.equal((await network.exchange(b, a, 2)).why, '', `${b} to ${a}`)
  }
  const result = await runScenario(scenario, network, () => {})
  t.equal(result.unequal, 0, 'no two SAEs have different keys')
  t.equal(result.differenceBits, 0, 'every account adds up')
  t.ok(result.pairs.every((p) => p.keys > 0), 'every pair had keys')
})

t.test('scenarios that are wrong say so', async t => {
  const file = join(t.testdir(), 's.yaml')
  const refused = (text: string, message: RegExp): void => {
    writeFileSync(file, text)
    t.throws(() => readScenario(file), message)
  }
  const rest = 'mode: simulated\nseconds: 5\nload: { perSecond: 1, keys: 1 }\n'
  refused(`name: x\n${rest}links: [{ between: [a, a] }]\nrelayed: []\n`, /joins a KME with itself/)
  refused(`name: x\n${rest}links: [{ between: [a, b] }]\nrelayed: [{ between: [a, z] }]\n`, /z is at no link/)
  refused(`name: x\n${rest}links: [{ between: [a, b] }]\nrelayed: []\nfaults: [{ at: 1, cut: [b, c] }]\n`, /which is none/)
  refused(`name: x\n${rest}links: 3\nrelayed: []\n`, /\/links/)
})
