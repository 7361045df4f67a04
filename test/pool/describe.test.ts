import t from 'tap'
import type { GotKey } from '../../sim/sae-answer.js'
import { keyMembers, type AnswerDetails } from '../../src/pool/describe.js'
import { hopsOfJob, markHops } from '../../src/pool/hops.js'
import { directTraits, localTraits, type KeyTraits } from '../../src/pool/traits.js'
import { liveWorld } from './lab.js'

const relayed: KeyTraits = { route: 'relayed', paths: 2, hybrid: true }
const details = (keys: AnswerDetails['keys']): AnswerDetails => ({ keys, status: false, localSource: 'local-random' })
const told = (keys: AnswerDetails['keys'], traits: KeyTraits, ageMs?: number, hops?: number): unknown => (JSON.parse(`{"a":0${keyMembers(details(keys), traits, ageMs, hops)}}`) as { key_extension?: unknown }).key_extension

t.test('key_extension tells what the setting says, and no age that is not known', async (t) => {
  const way = { qkme_route: 'relayed', qkme_paths: 2, qkme_hybrid: true }
  t.same([directTraits, localTraits, relayed].map((traits) => told('nothing', traits, 5)), [undefined, undefined, undefined])
  t.same([directTraits, localTraits, relayed].map((traits) => told('way', traits, 5)), [undefined, { qkme_source: 'local-random' }, way])
  t.same([directTraits, localTraits, relayed].map((traits) => told('wayAndAge', traits, 5.4)), [{ qkme_route: 'direct', qkme_age_ms: 5 }, { qkme_source: 'local-random', qkme_age_ms: 5 }, { ...way, qkme_age_ms: 5 }])
  t.same(told('wayAndAge', relayed), way)
  t.same(told('way', relayed, undefined, 3), { ...way, qkme_hops: 3 })
  t.same(told('wayAndAge', directTraits, -3), { qkme_route: 'direct', qkme_age_ms: 0 }, 'a clock that was read twice makes no negative age')
})

t.test('the ID of a job says its hops; what is no such ID says nothing', async (t) => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  for (const hops of [1, 2, 32]) t.equal(hopsOfJob(hex(markHops(new Uint8Array(16).fill(7), hops))), hops)
  t.same(['00'.repeat(16), 'ff'.repeat(16), `${'07'.repeat(14)}0202`, hex(markHops(new Uint8Array(16), 33))].map(hopsOfJob), [0, 0, 0, 0])
})

t.test('keys tell their age to master and slave; status lists extensions and ways', async (t) => {
  const world = await liveWorld(t)
  let first: GotKey | undefined, second: GotKey | undefined
  world.ask('a1', ['b1'], 1, 256, (answer) => { if ('keys' in answer) first = answer.keys[0] })
  await world.wait(30_000)
  const ageMs = (key: GotKey | undefined): number => (key?.extension as { qkme_age_ms: number }).qkme_age_ms
  t.match(first?.extension, { qkme_route: 'direct', qkme_age_ms: Number })
  t.ok(ageMs(first) < 20_000)
  world.fetch('b1', 'a1', [first!.id], (answer) => { if ('keys' in answer) second = answer.keys[0] })
  await world.wait(1_000)
  t.equal(second?.key, first?.key)
  t.ok(ageMs(second) >= ageMs(first) + 29_000, `it is older when the slave gets it (${ageMs(first)}, ${ageMs(second)} ms)`)
  const status = world.nodes[0].running.service.status('a1', 'b1')
  t.match(status, { extension: { qkme_extensions: ['qkme_max_age_ms', 'qkme_route', 'qkme_min_disjoint_paths', 'qkme_hybrid'], qkme_ways: [{ qkme_route: 'direct', qkme_paths: 0, qkme_hybrid: false }] } })
  const { storedKeyCount, extension } = status as unknown as { storedKeyCount: number, extension: { qkme_ways: [{ stored_key_count: number }] } }
  t.equal(extension.qkme_ways[0].stored_key_count, storedKeyCount)
  t.ok(storedKeyCount > 0)
})
