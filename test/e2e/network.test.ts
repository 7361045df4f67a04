import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ProcessNetwork } from '../../sim/network/processes.js'
import { readScenario } from '../../sim/network/scenario.js'
import { exchangeAll, runLive, startLive } from './live-network.js'
import { eventually } from './process.js'

t.setTimeout(230_000)

const notFound = 'one or more keys specified are not found on KME'

/** A key of A for B, C and D: equal at all, once at each; and when D is gone, none for anybody, and every bit accounted for. */
const oneKeyForThree = async (t: Test, network: ProcessNetwork): Promise<void> => {
  const master = network.sae('a'), ask = () => master.enc('sae-b', 3, {}, ['sae-c', 'sae-d'])
  const granted = <T extends { status: number }>(what: string, ask: () => Promise<T>): Promise<T> => eventually(what, async () => { const reply = await ask(); return reply.status === 200 ? reply : undefined })
  const { body: { keys = [] } } = await granted('every slave can be reached again', ask), ids = keys.map((k) => k.key_ID)
  t.equal(keys.length, 3)
  for (const name of ['d', 'b', 'c']) {
    t.same((await granted(`keys for ${name}`, () => network.sae(name).dec('sae-a', ids))).body.keys?.map((k) => [k.key_ID, k.key]), keys.map((k) => [k.key_ID, k.key]), `${name} has the bytes of a`)
    t.match(await network.sae(name).dec('sae-a', ids), { status: 400, body: { message: notFound } }, `${name} has them once`)
  }
  await network.fault({ at: 0, kill: 'd' })
  const burned = async (): Promise<number> => Object.entries((await network.sample(['a']))[0]!.account).reduce((sum, [what, bytes]) => what.startsWith('burned') ? sum + bytes : sum, 0)
  const delivered = async (): Promise<number> => (await network.sample(['a']))[0]!.account['delivered']!
  const before = [await burned(), await delivered()] as const
  const refused = await ask()
  t.equal(refused.status, 503, 'one slave away: nobody gets a key')
  t.equal(refused.body.keys, undefined)
  t.equal(await delivered(), before[1], 'nothing counts as delivered')
  t.ok(await burned() >= before[0])
  for (const { differenceBits } of await network.sample(['a', 'b', 'c'])) t.equal(differenceBits, 0)
  await granted('the others can be reached without it', () => master.enc('sae-b', 1, {}, ['sae-c']))
}

t.test('a line of four as processes: every pair gets equal keys, while a node between dies and comes back', async t => {
  const live = await startLive(t, `
name: line of four
mode: processes
seconds: 9
links: [{ between: [a, b], rate: 4M }, { between: [b, c], rate: 4M }, { between: [c, d], rate: 4M }]
relayed: all
load: { perSecond: 8, keys: 2 }
faults: [{ at: 3, kill: b }, { at: 4, start: b }]
`), { network } = live
  await exchangeAll(t, network, live.scenario.load.between)
  const result = await runLive(t, live)
  t.ok(result.pairs.every((p) => p.keys > 0), 'every pair had keys')
  await oneKeyForThree(t, network)
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
