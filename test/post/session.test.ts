import t from 'tap'
import { setUpAttack } from '../../sim/link/physics/eve.js'
import { unaccountedBits } from '../../src/post/account.js'
import type { Correction } from '../../src/post/options.js'
import { ldpcLeakedBits } from '../../src/post/ldpc.js'
import { decode, encode } from '../../src/post/wire.js'
import { metro, newLink, runBlocks } from './rig.js'

/** Comparing long keys member by member takes a test library minutes. */
const equal = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean => a !== undefined && b !== undefined && Buffer.compare(a, b) === 0

t.test('detections become equal keys at both parties, and every bit is in the account', async t => {
  const link = newLink(1), blocks = runBlocks(link, 2)
  for (const { alice, bob } of blocks) {
    t.ok(alice.key !== undefined && alice.key.length > 1_000, `key: ${alice.reason ?? alice.key?.length} bytes`)
    t.ok(equal(alice.key, bob.key))
    t.same(alice.account, bob.account)
    t.equal(unaccountedBits(alice.account), 0)
    t.equal(alice.account.net, alice.key!.length * 8)
    t.equal(alice.account.verified, 128)
    t.equal(alice.account.authenticated, 384)
    t.ok(alice.account.compressed > 0 && alice.account.leaked > 0)
    t.ok(Math.abs(alice.keyQber! - 0.029) < 0.003, `QBER ${alice.keyQber}`)
    t.equal(alice.keyQber, bob.keyQber)
  }
  t.notOk(equal(blocks[0]!.alice.key, blocks[1]!.alice.key))
  t.equal(link.authenticationBits, 2 * 384)
  t.ok(link.forgeryBound < 1e-30)
})

t.test('leakage counted equals leakage sent, by Cascade and by LDPC', async t => {
  const methods: Correction[] = [{ method: 'cascade', variant: 'yanetal', frameBits: 100_000 }, { method: 'cascade', variant: 'option8', frameBits: 50_000 }, { method: 'ldpc' }]
  for (const correction of methods) {
    let sent = 0
    const link = newLink(2, (from, bytes) => {
      const message = decode(bytes)
      if (from === 'alice' && message.type === 'correct') {
        sent += correction.method === 'ldpc' ? ldpcLeakedBits(message.data) : new DataView(message.data.buffer, message.data.byteOffset).getUint32(4, true)
      }
      return bytes
    }, correction)
    const [block] = runBlocks(link, 1), name = JSON.stringify(correction)
    t.equal(block!.alice.reason, undefined, name)
    t.equal(block!.alice.account.leaked, sent, name)
    t.ok(equal(block!.bob.key, block!.alice.key), name)
  }
})

t.test('two runs with the same seed are equal bit by bit, however the channel is pumped', async t => {
  const said = (seed: number, atOnce: number) => {
    const messages: Uint8Array[] = [], link = newLink(seed, (_, bytes) => { messages.push(bytes.slice()); return bytes }), keys: (Uint8Array | undefined)[] = []
    while (keys.length < 1) {
      link.burst(4e7)
      while (link.pump(atOnce));
      keys.push(...link.takeBlocks().map(({ alice }) => alice.key))
    }
    return { messages, keys }
  }
  const first = said(3, 1)
  t.ok(first.keys[0] !== undefined)
  const again = said(3, 1_000), other = said(4, 1)
  t.equal(again.messages.length, first.messages.length)
  t.ok(again.messages.every((m, i) => equal(m, first.messages[i])), 'every message')
  t.ok(equal(again.keys[0], first.keys[0]))
  t.notOk(equal(other.keys[0], first.keys[0]))
})

t.test('Eve who measures raises QBER and gets a block without key; when she leaves there is key again', async t => {
  const link = newLink(6)
  t.equal(runBlocks(link, 1)[0]!.alice.reason, undefined)
  link.setConditions(metro.config, { kind: 'intercept-resend', share: 0.5 })
  const [attacked] = runBlocks(link, 1)
  t.equal(attacked!.alice.reason, 'qber')
  t.equal(attacked!.bob.reason, 'qber')
  t.ok(attacked!.alice.testQber > 0.12)
  t.equal(attacked!.alice.account.discarded, attacked!.alice.account.sifted)
  t.equal(unaccountedBits(attacked!.alice.account), 0)
  link.setConditions(metro.config)
  t.equal(runBlocks(link, 1)[0]!.alice.reason, undefined)
})

t.test('photon-number splitting leaves QBER alone and gets no key; blinding raises an alarm', async t => {
  const link = newLink(7)
  t.ok(setUpAttack(metro.config, { kind: 'photon-number-splitting', blocked: 1 }).gainKept !== undefined)
  link.setConditions(metro.config, { kind: 'photon-number-splitting', blocked: 1 })
  const [split] = runBlocks(link, 1)
  t.equal(split!.alice.reason, 'too short')
  t.ok(split!.alice.testQber < 0.08)
  link.setConditions(metro.config, { kind: 'blinding' })
  const [blinded] = runBlocks(link, 1)
  t.equal(blinded!.alice.reason, 'alarm')
  t.ok(blinded!.alice.testQber < 0.03)
})

t.test('messages of the other party are read with care', async t => {
  const messages: Uint8Array[] = []
  runBlocks(newLink(8, (_, bytes) => { messages.push(bytes.slice()); return bytes }), 1)
  const kinds = new Map(messages.map((bytes) => [decode(bytes).type, bytes]))
  t.equal(kinds.size, 12 - 1, 'all types but discard')
  for (const [type, bytes] of kinds) {
    t.ok(equal(encode(decode(bytes)), bytes), `${type}: reads back`)
    t.throws(() => decode(bytes.slice(0, -1)), { code: 'PROTOCOL' }, `${type}: too short`)
    t.throws(() => decode(Uint8Array.from([...bytes, 0])), { code: 'PROTOCOL' }, `${type}: too long`)
    for (let i = 1; i < Math.min(bytes.length, 64); i++) {
      const wild = bytes.slice()
      wild[i] = 0xff
      try { decode(wild) } catch (error) { if ((error as { code?: string }).code !== 'PROTOCOL') t.fail(`${type}: ${String(error)}`) }
    }
  }
  for (const bad of [new Uint8Array(0), new Uint8Array(1), Uint8Array.of(255, 1)]) t.throws(() => decode(bad), { code: 'PROTOCOL' })
})
