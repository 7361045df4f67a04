import t from 'tap'
import type { Body } from '../../src/peer/messages.js'
import { accountOf } from '../../src/pool/accounts.js'
import { FRAME_BYTES_MAX, PART_BYTES_MAX, partsOfBytes } from '../../src/relay/share.js'
import { RECORD_KIND } from '../../src/store/record.js'
import { balanced, network, sameKeys } from './network.js'

t.setTimeout(120_000)
const links = [['A', 'B'], ['B', 'C']] as const
const options = { links, relayed: [{ between: ['A', 'C'] as const }], limits: { maxStockBytes: 1 << 21 }, relayLimits: { reserveBytes: 16_384, framesPerJob: 40, sparePart: 1 }, stockBytes: 1 << 20 }

/** Calls `see` for what B passes on, with the number of frames; what it returns goes on. */
const seen = (see: (job: Body<'relay'>) => void) => (name: string, body: unknown): unknown => {
  if (name === 'relay') see(body as Body<'relay'>)
  return body
}

t.test('jobs of several parts: one message, and each part becomes a block', async t => {
  const world = await network(t, { seed: 71, ...options }), lengths: number[] = []
  world.at('B').evil = seen(({ frames }) => { lengths.push(frames.length) }) as never
  await world.run(14, 60)
  t.ok(lengths.filter((n) => n > 16).length > 4, `jobs of two parts (${lengths.join(', ')})`)
  for (const [from, to] of [['A', 'C'], ['C', 'A']] as const) sameKeys(t, await world.exchange(from, to, { number: 20 }), `${from} to ${to}`)
  const { counters } = world.at('A').running.relay
  t.equal(counters.lostBytes, 0)
  t.equal(partsOfBytes(PART_BYTES_MAX + 8), 2)
  balanced(t, world)
})

t.test('a share that has come makes its block without being opened again; of several paths it is opened once', async t => {
  const opened = async (seed: number, more: object): Promise<number> => {
    const world = await network(t, { seed, ...options, ...more }), { vault } = world.at('C').running, { loadFrame } = vault
    let opened = 0
    vault.loadFrame = (block, index, key, record) => { if (record[1] === RECORD_KIND.relayed) opened++; loadFrame(block, index, key, record) }
    await world.run(14, 60)
    const bytes = accountOf(world.at('C').running.relayed.get('A')!).bits['ingested']! / 8
    balanced(t, world)
    return opened * FRAME_BYTES_MAX / bytes
  }
  const one = await opened(73, {}), two = await opened(74, { links: [...links, ['A', 'D'], ['D', 'C']], relayed: [{ between: ['A', 'C'], paths: 2 }] })
  t.ok(one < 0.65, `C opens the half that it has sent itself, once: ${one}`)
  t.ok(two > 1.5 && two < 3, `both shares of all: ${two}`)
})

t.test('a bit of the second part is changed: no part of the job becomes key', async t => {
  const world = await network(t, { seed: 72, ...options })
  let changed = 0
  world.at('B').evil = seen(({ frames, data }) => {
    if (frames.length <= 16) { data[8]! ^= 1; return } // So that nothing else becomes key.
    const at = frames.slice(0, 16).reduce((sum, n) => sum + n, 0)
    data[at + 9]! ^= 4
    changed++
  }) as never
  await world.run(10, 60)
  t.ok(changed > 0, 'there were such jobs')
  t.same(['A', 'C'].map((id) => world.at(id).running.relay.counters.jobsDone), [0, 0], 'not one job is confirmed')
  t.equal(world.at('A').running.relayed.get('C')!.stockBytes(), 0)
  t.ok(world.at('A').alarms.some((a) => a.includes('A - B - C')) || world.at('C').alarms.some((a) => a.includes('C - B - A')), 'the path is named')
  balanced(t, world)
})
