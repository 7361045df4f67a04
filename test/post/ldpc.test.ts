import t from 'tap'
import { SimRandom } from '../../sim/random.js'
import { packedBytes } from '../../src/post/bits.js'
import { LDPC_BITS_MIN, LdpcAlice, LdpcBob, ldpcLeakedBits, ldpcPlan, ldpcWays } from '../../src/post/ldpc.js'
import type { LdpcOptions } from '../../src/post/ldpc.js'

const LENGTH = LDPC_BITS_MIN + 5

const pair = (random: SimRandom, lengthBits: number, errorRate: number): { alice: Uint8Array, bob: Uint8Array } => {
  const alice = random.bytes(packedBytes(lengthBits))
  if (lengthBits % 8 !== 0) alice[alice.length - 1]! &= (1 << lengthBits % 8) - 1
  const bob = alice.slice()
  const errors = Math.round(lengthBits * errorRate), places = new Set<number>()
  while (places.size < errors) places.add(random.integer(lengthBits))
  for (const place of places) bob[place >> 3]! ^= 1 << (place & 7)
  return { alice, bob }
}

/** Carries messages until both are done; what was disclosed is counted here, from the messages. */
const reconcile = (o: LdpcOptions, errorRate: number, seed: number, way?: string): { alice: LdpcAlice, bob: LdpcBob, equal: boolean, counted: number } => {
  const random = new SimRandom(seed), bits = pair(random, o.lengthBits, errorRate)
  const alice = new LdpcAlice(o, bits.alice, random), bob = new LdpcBob(o.lengthBits, bits.bob, way)
  let counted = 0
  for (let message = alice.next(); message !== undefined; message = alice.next()) {
    counted += ldpcLeakedBits(message)
    bob.receive(message)
    alice.receive(bob.next()!)
  }
  const corrected = bits.bob.slice()
  bob.correct(corrected)
  return { alice, bob, equal: Buffer.compare(corrected, bits.alice) === 0, counted }
}

t.test('one message each way, and the leakage is what the messages say', async t => {
  const o = { lengthBits: LENGTH, errorPpm: 30_000 }
  for (const way of ldpcWays()) {
    const { alice, bob, equal, counted } = reconcile(o, 0.028, 1, way)
    t.ok(equal, way)
    t.ok(alice.done && bob.done)
    t.same(alice.result(), { leakedBits: counted, rounds: 1 })
    t.same(bob.result(), { leakedBits: counted, rounds: 1 })
    t.equal(counted, ldpcPlan(o).leakedBits)
    t.match(bob.decoding, { frames: 1, failed: 0 })
    alice.close()
    bob.close()
    t.throws(() => bob.next(), /closed/)
  }
})

t.test('blind, and with an estimate that is too low, it takes rounds and still counts each bit', async t => {
  for (const [o, errorRate] of [[{ lengthBits: LENGTH, errorPpm: 30_000, blind: true }, 0.035], [{ lengthBits: LENGTH, errorPpm: 20_000 }, 0.027]] as const) {
    const { alice, bob, equal, counted } = reconcile(o, errorRate, 2)
    t.ok(equal)
    t.ok(bob.result().rounds > 1)
    t.equal(alice.result().leakedBits, counted)
    t.equal(bob.result().leakedBits, counted)
    t.ok(counted > ldpcPlan(o).leakedBits)
  }
})

t.test('errors beyond all reach end as failed frames, after a bounded number of rounds', async t => {
  const { alice, bob, equal } = reconcile({ lengthBits: LENGTH, errorPpm: 5_000 }, 0.2, 3)
  t.notOk(equal)
  t.ok(alice.done && bob.done)
  t.equal(bob.decoding.failed, 1)
  t.ok(bob.result().rounds <= 31)
})

t.test('two runs with the same seed are equal byte by byte', async t => {
  const messages = (): string => {
    const random = new SimRandom(4), bits = pair(random, LENGTH, 0.02)
    return Buffer.from(new LdpcAlice({ lengthBits: LENGTH, errorPpm: 20_000 }, bits.alice, random).next()!).toString('base64')
  }
  t.equal(messages(), messages())
})

t.test('what is not a message is refused with PROTOCOL, wrong numbers with BAD_REQUEST', async t => {
  const random = new SimRandom(5), bits = pair(random, LENGTH, 0.02)
  const alice = new LdpcAlice({ lengthBits: LENGTH, errorPpm: 20_000 }, bits.alice, random), bob = new LdpcBob(LENGTH, bits.bob)
  const first = alice.next()!
  t.equal(alice.next(), undefined)
  t.equal(bob.next(), undefined)
  for (const bad of [new Uint8Array(), first.subarray(1), first.subarray(0, -1), Uint8Array.of(9, 1, 1)]) {
    t.throws(() => { bob.receive(bad) }, { code: 'PROTOCOL' })
    t.throws(() => { alice.receive(bad) }, { code: 'PROTOCOL' })
  }
  t.throws(() => ldpcLeakedBits(Uint8Array.of(2)), { code: 'PROTOCOL' })
  bob.receive(first)
  t.throws(() => { bob.receive(first) }, { code: 'PROTOCOL' })
  for (const [lengthBits, errorPpm] of [[LDPC_BITS_MIN - 1, 1], [2 ** 27 + 1, 1], [LENGTH, 0], [LENGTH, 500_000], [LENGTH, 1.5]] as const) {
    t.throws(() => ldpcPlan({ lengthBits, errorPpm }), { code: 'BAD_REQUEST' })
  }
  t.throws(() => new LdpcBob(LENGTH, bits.bob.subarray(1)), { code: 'BAD_REQUEST' })
  t.throws(() => new LdpcAlice({ lengthBits: LENGTH, errorPpm: 1 }, bits.alice.subarray(1), random), { code: 'BAD_REQUEST' })
})

t.test('codes follow the error rate: leakage grows with it, and punctures stay within the pool', async t => {
  let last = 0
  for (let errorPpm = 4_000; errorPpm <= 125_000; errorPpm += 1_500) {
    const { leakedBits, punctured, rows, maskBytes } = ldpcPlan({ lengthBits: 1_000_000, errorPpm })
    t.ok(leakedBits >= last, `${errorPpm}`)
    t.ok(punctured <= Math.ceil(rows / 10) * 4096 && maskBytes >= punctured / 8)
    last = leakedBits
  }
})
