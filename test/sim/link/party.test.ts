import t from 'tap'
import { presetNamed } from '../../../sim/link/analysis/presets.js'
import { popcount } from '../../../sim/link/chance/bits.js'
import { Xoshiro } from '../../../sim/link/chance/xoshiro.js'
import { BurstSource } from '../../../sim/link/party/burst.js'
import { assumedLeakBits } from '../../../sim/link/party/estimate.js'
import { slotLaw } from '../../../sim/link/physics/law.js'
import { bitAt } from '../../../src/post/bits.js'
import { estimateKey } from '../../../src/post/key-length.js'
import { SiftAlice } from '../../../src/post/sift-alice.js'
import { SiftBob } from '../../../src/post/sift-bob.js'
import { BURSTS_IN_FLIGHT_MAX } from '../../../src/post/sift-messages.js'
import type { SiftMessage } from '../../../src/post/sift-messages.js'
import { blockCounts, errorsByIntensity } from '../../../src/post/sifted-block.js'
import type { Burst, SiftedBlock } from '../../../src/post/sifted-block.js'

const { config } = presetNamed('metro-25km')
const sum = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0)

/** Both parties and everything they said. */
const pair = (blockBits: number) => {
  const alice = new SiftAlice(3, blockBits), bob = new SiftBob(3, blockBits), said: SiftMessage[] = []
  const blocks: { alice: SiftedBlock, bob: SiftedBlock }[] = []
  const sift = (burst: { alice: Burst, bob: Burst }): void => {
    alice.prepare(burst.alice)
    const announced = bob.announce(burst.bob), sifted = alice.receive(announced).reply
    const opened = bob.receive(sifted).reply!, answer = alice.receive(opened), end = bob.receive(answer.reply)
    said.push(announced, sifted, opened, answer.reply)
    if (answer.block !== undefined || end.block !== undefined) blocks.push({ alice: answer.block!, bob: end.block! })
  }
  return { alice, bob, said, blocks, sift }
}

t.test('two parties that exchange messages get blocks that differ only by the errors of the channel', async t => {
  const source = new BurstSource(Xoshiro.seeded(1), config), p = pair(200_000)
  for (let i = 0; i < 20; i++) p.sift(source.next(1e7))
  t.ok(p.blocks.length >= 3)
  for (const [i, { alice, bob }] of p.blocks.entries()) {
    const { bits: a, ...restA } = alice, { bits: b, ...restB } = bob
    t.same(restA, restB, 'everything but the bits is equal')
    t.equal(alice.number, i)
    t.ok(alice.lengthBits >= 200_000 && alice.bits.length === Math.ceil(alice.lengthBits / 8))
    const errors = popcount(a.map((x, j) => x ^ b[j]!)), qber = errors / alice.lengthBits
    t.ok(qber > 0.025 && qber < 0.035, `QBER ${qber}`)
    const byIntensity = errorsByIntensity(bob, b, a)
    t.equal(sum(byIntensity), errors)
    const test = sum(alice.test.errors) / sum(alice.test.detections)
    t.ok(Math.abs(test - qber) < 0.01, 'the test basis shows the same QBER')
    t.ok(byIntensity[2]! / alice.keyDetections[2]! > 0.3, 'vacuum pulses are mostly noise')
    const ones = popcount(a) / alice.lengthBits
    t.ok(Math.abs(ones - 0.5) < 0.005, 'bits are balanced')
  }
})

t.test('counts of the parties are those of the law, and give the key of the formulas', async t => {
  const quiet = presetNamed('lim-2014').config, near = { ...quiet, fibre: { ...quiet.fibre, lengthKm: 5 } }
  const source = new BurstSource(Xoshiro.seeded(2), near), p = pair(4_000_000), slots = 5e7
  while (p.blocks.length === 0) p.sift(source.next(slots))
  const { alice, bob } = p.blocks[0]!, law = slotLaw(near)
  for (let k = 0; k < 3; k++) {
    let expected = 0
    for (let code = 0; code < 64; code++) if ((code & 3) === k && (code & 12) === 0) expected += law.outcomes[code]! * alice.slots
    t.ok(Math.abs(alice.keyDetections[k]! - expected) < 5 * Math.sqrt(expected), `intensity ${k}: ${alice.keyDetections[k]} of ${expected}`)
  }
  const counts = blockCounts(alice, errorsByIntensity(alice, alice.bits, bob.bits))
  const key = estimateKey(near.source, counts, assumedLeakBits(counts, 1.16), { secrecy: 1e-10, correctness: 1e-15 })
  t.ok(key.bits > 0.15 * alice.lengthBits && key.bits < 0.4 * alice.lengthBits, `${key.bits} of ${alice.lengthBits}`)
})

t.test('no message carries key-basis bits', async t => {
  const source = new BurstSource(Xoshiro.seeded(3), config), p = pair(1e6)
  const burst = source.next(1e6), records = burst.bob.records.slice()
  p.sift(burst)
  const opened = p.said.find((m) => m.type === 'test-bits')!
  const sifted = p.said.find((m) => m.type === 'sifting')!
  if (opened.type !== 'test-bits' || sifted.type !== 'sifting') return t.fail('both were said')
  const tests = [...records].filter((r, i) => (r & 2) !== 0 && bitAt(sifted.keep, i) === 1)
  t.equal(opened.count, tests.length)
  t.same(tests.map((_, i) => bitAt(opened.bits, i)), tests.map((r) => r & 1))
  t.ok(burst.alice.records.every((r) => r === 0) && burst.bob.records.every((r) => r === 0), 'records are wiped')
})

t.test('malformed, foreign and repeated messages are refused', async t => {
  const source = new BurstSource(Xoshiro.seeded(4), config), { alice, bob } = pair(1e6), burst = source.next(1e5)
  alice.prepare(burst.alice)
  const announced = bob.announce(burst.bob) as SiftMessage & { type: 'detections' }
  const refused = { code: 'PROTOCOL' }
  t.throws(() => alice.receive({ ...announced, burst: 7 }), refused)
  t.throws(() => alice.receive({ ...announced, bases: announced.bases.slice(1) }), refused)
  t.throws(() => alice.receive({ ...announced, count: announced.count - 8, bases: announced.bases.slice(1) }), refused)
  t.throws(() => alice.receive({ ...announced, count: -1 }), refused)
  t.throws(() => alice.receive({ type: 'nonsense', burst: 0 } as unknown as SiftMessage), refused)
  t.throws(() => alice.receive({ type: 'test-bits', burst: 0, count: 0, bits: new Uint8Array(0) }), refused, 'out of turn')
  const sifted = alice.receive(announced).reply as SiftMessage & { type: 'sifting' }
  t.throws(() => alice.receive(announced), refused, 'twice')
  t.throws(() => bob.receive({ ...sifted, low: sifted.high.map((x, i) => x | sifted.low[i]!), high: sifted.high.map((x, i) => x | sifted.low[i]!) }), refused, 'no such intensity')
  t.throws(() => bob.receive({ ...sifted, keep: sifted.keep.slice(1) }), refused)
  const opened = bob.receive(sifted).reply as SiftMessage & { type: 'test-bits' }
  t.throws(() => bob.receive({ type: 'test-errors', burst: 0, errors: [opened.count + 1, 0, 0] }), refused, 'more errors than bits')
  t.throws(() => bob.receive({ type: 'test-errors', burst: 0, errors: [0] }), refused)
  t.throws(() => bob.receive({ type: 'test-errors', burst: 0, errors: [0.5, 0, 0] }), refused)
  t.throws(() => alice.receive({ ...opened, count: opened.count + 1, bits: new Uint8Array(Math.ceil((opened.count + 1) / 8)) }), refused)
})

t.test('bursts that wait for the other side are bounded', async t => {
  const source = new BurstSource(Xoshiro.seeded(5), config), { alice, bob } = pair(1e6)
  for (let i = 0; i < BURSTS_IN_FLIGHT_MAX; i++) {
    const burst = source.next(1000)
    alice.prepare(burst.alice)
    bob.announce(burst.bob)
  }
  const next = source.next(1000)
  t.throws(() => { alice.prepare(next.alice) }, { code: 'QUEUE_FULL' })
  t.throws(() => { bob.announce(next.bob) }, { code: 'QUEUE_FULL' })
})

t.test('two runs with the same seed are equal bit by bit; a cut fibre leaves nothing but noise', async t => {
  const run = (seed: number) => {
    const source = new BurstSource(Xoshiro.seeded(seed), config)
    source.next(1e6)
    source.setConditions({ ...config, fibre: { ...config.fibre, extraLossDb: Infinity } })
    return source.next(1e7)
  }
  t.same(run(1), run(1))
  t.notSame(run(1).bob.records, run(2).bob.records)
  const { alice, bob } = run(1)
  t.ok(bob.records.length < 200, 'dark counts only')
  const dark = { ...config, fibre: { ...config.fibre, extraLossDb: Infinity }, receiver: { ...config.receiver, darkPerDetector: 0 } }
  t.equal(new BurstSource(Xoshiro.seeded(1), dark).next(1e7).bob.records.length, 0)
  t.equal(alice.records.length, bob.records.length)
})
