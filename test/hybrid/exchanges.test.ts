import { createDecipheriv, randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { SimClock } from '../../sim/clock.js'
import { SimRandom } from '../../sim/random.js'
import type { BlockHandle, KeyHandle, NativeVault, SealerHandle } from '../../src/device/native.js'
import { defaultHybridLimits, type HybridLimits } from '../../src/hybrid/exchange.js'
import { HybridExchanges } from '../../src/hybrid/exchanges.js'
import { packBody, unpackBody } from '../../src/peer/body.js'
import type { Body, MessageName } from '../../src/peer/messages.js'
import type { PeerPart } from '../../src/peer/parts.js'
import type { PeerChannel } from '../../src/peer/ports.js'
import { framesOf, knownBlock, knownKey, recordHeader, testVault } from '../native/vault-support.js'

type Message = { name: MessageName, body: object }
type Change = (message: Message) => readonly Message[]

interface End {
  readonly self: string, readonly remote: string, readonly vault: NativeVault, readonly key: KeyHandle, readonly sealer: SealerHandle
  readonly hybrid: HybridExchanges, readonly security: string[], readonly sent: string[], readonly part: PeerPart, accepts: boolean, readonly channel: PeerChannel
}

/** KME a (offers) and KME b, their channel in the hands of the test. */
const makePair = (t: Test, limits: Partial<HybridLimits> = {}, seed = 1) => {
  const clock = new SimClock(), random = new SimRandom(seed)
  const keyBytes = randomBytes(32), folder = t.testdir()
  let change: Change = (message) => [message]
  const queue: { to: number, message: Message }[] = []
  const ends = ['kme-a', 'kme-b'].map((self, index) => {
    const vault = testVault(256), security: string[] = []
    const key = knownKey(vault, folder, keyBytes), sealer = vault.createSealer(key, 1)
    const hybrid = new HybridExchanges({ self, vault, clock, random, limits: { ...defaultHybridLimits, ...limits }, security: (event, subject) => { security.push(`${event} ${subject}`) } })
    const remote = index === 0 ? 'kme-b' : 'kme-a', sent: string[] = []
    const channel: PeerChannel = {
      remote, close: () => {},
      send: (name, body) => {
        if (!end.accepts) return 'full'
        sent.push(name)
        for (const message of change({ name, body: unpackBody(name, packBody(name, body)) as object })) queue.push({ to: 1 - index, message })
        return 'sent'
      },
    }
    const end: End = { self, remote, vault, key, sealer, hybrid, security, sent, part: hybrid.part(remote), accepts: true, channel }
    return end
  }) as [End, End]
  const pump = (): void => { for (let next = queue.shift(); next !== undefined; next = queue.shift()) ends[next.to]!.part.onMessage(next.message.name, next.message.body) }
  return {
    clock, ends, a: ends[0], b: ends[1], queue, keyBytes, pump,
    set change (to: Change) { change = to },
    connect: () => { for (const end of ends) end.part.onReady(end.channel); for (const end of ends) end.hybrid.want(end.remote); pump() },
    disconnect: () => { queue.length = 0; for (const end of ends) end.part.onClosed('closed') },
    keysHeld: () => ends.map((end) => end.vault.stats().keysUsed - 1),
  }
}
type Rig = ReturnType<typeof makePair>

const currents = ({ a, b }: Rig): (string | undefined)[] => [a.hybrid.current('kme-b'), b.hybrid.current('kme-a')].map((id) => id && Buffer.from(id).toString('hex'))

/** Seals one frame of a job whose bits are `bytes` at one end. @returns the payload. */
const sealAt = (rig: Rig, index: 0 | 1, exchange: Uint8Array, job: Uint8Array, frame: number, bytes: Buffer): Buffer => {
  const end = rig.ends[index]
  const block: BlockHandle = knownBlock(end.vault, end.key, rig.keyBytes, 1, 0, Buffer.concat([bytes, Buffer.alloc(48)]), framesOf(bytes.length + 48)).block
  const header = recordHeader(bytes.length), out = new Uint8Array(4_096)
  header.set(job, 8)
  header.writeUInt32LE(frame * 124, 24)
  const length = end.hybrid.seal(end.remote, exchange, job, frame, { sealer: end.sealer, header, blocks: Uint32Array.of(block), offsets: Uint32Array.of(0), length: bytes.length, out })
  end.vault.dropBlock(block)
  const record = Buffer.from(out.subarray(0, length))
  const decipher = createDecipheriv('aes-256-gcm', rig.keyBytes, record.subarray(64, 76)).setAAD(record.subarray(0, 64)).setAuthTag(record.subarray(-16))
  return Buffer.concat([decipher.update(record.subarray(76, -16)), decipher.final()])
}

t.test('after three messages both ends have one exchange, and seal the same bits to the same key, which is not the bits', async (t) => {
  const rig = makePair(t)
  t.same(currents(rig), [undefined, undefined])
  rig.connect()
  const [ofA, ofB] = currents(rig)
  t.ok(ofA !== undefined && ofA === ofB)
  t.same([rig.a.sent, rig.b.sent], [['hybridOffer', 'hybridConfirm'], ['hybridAnswer']])
  t.same(rig.keysHeld(), [1, 1], 'nothing but the exchange is kept')
  const exchange = rig.a.hybrid.current('kme-b')!, job = randomBytes(16)
  const keys: string[] = []
  for (let frame = 0; frame < 3; frame++) {
    const bits = Buffer.alloc(1_000, 5)
    const [atA, atB] = [sealAt(rig, 0, exchange, job, frame, bits), sealAt(rig, 1, exchange, job, frame, bits)]
    t.same(atA, atB)
    t.not(Buffer.compare(atA, bits), 0)
    keys.push(atA.toString('hex'))
  }
  t.equal(new Set(keys).size, 3, 'each frame has its own stream')
  t.equal(rig.a.hybrid.counters.sealedBytes, 3_000)
})

t.test('a wrong ciphertext, key, check or confirmation is found at the confirmation; both forget it and a new one follows', async (t) => {
  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => i === 40 % bytes.length ? byte ^ 1 : byte)
  const attacks: [MessageName, string, (body: never) => object][] = [
    ['hybridAnswer', 'ciphertext', (b: Body<'hybridAnswer'>) => ({ ...b, ciphertext: flip(b.ciphertext) })],
    ['hybridAnswer', 'check', (b: Body<'hybridAnswer'>) => ({ ...b, check: flip(b.check) })],
    ['hybridOffer', 'publicKey', (b: Body<'hybridOffer'>) => ({ ...b, publicKey: b.publicKey.map((byte, i) => i === 1_170 ? byte ^ 1 : byte) })],
    ['hybridConfirm', 'check', (b: Body<'hybridConfirm'>) => ({ ...b, check: flip(b.check!) })],
  ] as never
  for (const [name, field, attack] of attacks) {
    const rig = makePair(t)
    let once = true
    rig.change = (message) => {
      if (message.name !== name || !once) return [message]
      once = false
      return [{ name, body: attack(message.body as never) }]
    }
    rig.connect()
    const what = `${name} ${field}`
    t.equal(currents(rig)[1], undefined, `${what}: b uses nothing`)
    t.ok([...rig.a.security, ...rig.b.security].length > 0, `${what}: it is said`)
    t.ok(rig.a.hybrid.counters.mismatches + rig.b.hybrid.counters.mismatches > 0)
    t.same(rig.keysHeld(), [0, 0], `${what}: nothing is kept`)
    t.equal(currents(rig)[0], undefined)
    rig.clock.advance(2_000)
    rig.pump()
    t.ok(currents(rig)[0] !== undefined && currents(rig)[0] === currents(rig)[1], `${what}: a new one`)
  }
})

t.test('a public key that is none ends the connection', async (t) => {
  const rig = makePair(t)
  t.throws(() => { rig.b.part.onReady(rig.b.channel); rig.b.part.onMessage('hybridOffer', { id: new Uint8Array(16), publicKey: new Uint8Array(1_184).fill(0xff) }) }, { code: 'PROTOCOL' })
})

t.test('messages that come late, twice or from the wrong side do nothing', async (t) => {
  const rig = makePair(t), seen: { to: number, message: Message }[] = []
  rig.change = (message) => { seen.push({ to: message.name === 'hybridAnswer' ? 0 : 1, message }); return [message] }
  rig.connect()
  const before = currents(rig)
  rig.clock.advance(10_000)
  for (const { to, message } of seen.splice(0)) rig.ends[to]!.part.onMessage(message.name, message.body)
  rig.a.part.onMessage('hybridOffer', { id: randomBytes(16), publicKey: new Uint8Array(1_184) })
  rig.b.part.onMessage('hybridAnswer', { id: randomBytes(16), ciphertext: new Uint8Array(1_088), check: new Uint8Array(32) })
  rig.b.part.onMessage('hybridConfirm', { id: randomBytes(16), check: new Uint8Array(32) })
  rig.pump()
  t.same(currents(rig), before)
  t.same(rig.keysHeld(), [1, 1])
  t.same([rig.a.security, rig.b.security], [[], []])
})

t.test('a new exchange by age and by volume; the one before serves what is under way', async (t) => {
  const rig = makePair(t, { rekeyMs: 60_000, rekeyBytes: 10_000 })
  rig.connect()
  const first = rig.a.hybrid.current('kme-b')!
  rig.clock.advance(60_001)
  rig.pump()
  const second = rig.a.hybrid.current('kme-b')!
  t.not(Buffer.compare(first, second), 0, 'by age')
  t.same([rig.a.hybrid.has('kme-b', first), rig.b.hybrid.has('kme-a', first)], [true, true])
  rig.clock.advance(1_000)
  const job = randomBytes(16)
  for (let frame = 0; frame < 3; frame++) for (const end of [0, 1] as const) sealAt(rig, end, second, job, frame, Buffer.alloc(3_968))
  rig.pump()
  const third = rig.a.hybrid.current('kme-b')!
  t.not(Buffer.compare(third, second), 0, 'by volume')
  t.same(rig.b.hybrid.current('kme-a'), third)
  t.same([rig.a.hybrid.has('kme-b', first), rig.b.hybrid.has('kme-a', first)], [false, false])
  t.same(rig.keysHeld(), [2, 2])
  t.throws(() => sealAt(rig, 0, first, randomBytes(16), 0, Buffer.alloc(100)), { code: 'PROTOCOL' })
})

t.test('a frame of a job is sealed once under an exchange; and no more than twice its volume when no new one can be had', async (t) => {
  const rig = makePair(t, { rekeyBytes: 20_000 })
  rig.connect()
  const exchange = rig.a.hybrid.current('kme-b')!, job = randomBytes(16)
  sealAt(rig, 0, exchange, job, 0, Buffer.alloc(100))
  sealAt(rig, 0, exchange, job, 1, Buffer.alloc(100))
  for (const frame of [0, 1]) t.throws(() => sealAt(rig, 0, exchange, job, frame, Buffer.alloc(100)), { code: 'PROTOCOL' })
  rig.change = () => []
  t.throws(() => { for (let i = 0; i < 100; i++) sealAt(rig, 0, exchange, randomBytes(16), 0, Buffer.alloc(100)) }, { code: 'NO_KEYS' })
  t.equal(rig.a.hybrid.current('kme-b'), undefined)
  t.equal(rig.a.sent.filter((name) => name === 'hybridOffer').length, 2, 'one offer is under way, not one per frame')
})

t.test('no answer, or no room to send: it is tried again with longer waits, and nothing is left behind', async (t) => {
  const rig = makePair(t)
  rig.change = () => []
  rig.connect()
  rig.clock.advance(300_000)
  t.ok(rig.a.sent.length > 4 && rig.a.sent.length < 12, `${rig.a.sent.length} offers in five minutes`)
  t.ok(rig.a.hybrid.counters.unanswered >= 4)
  rig.change = (message) => [message]
  rig.a.accepts = false
  rig.clock.advance(120_000)
  rig.a.accepts = true
  for (let i = 0; i < 70; i++) {
    rig.clock.advance(1_000)
    rig.pump()
  }
  t.ok(currents(rig)[0] !== undefined && currents(rig)[0] === currents(rig)[1])
})

t.test('the end of the connection ends every exchange; the next one begins with a new one', async (t) => {
  const rig = makePair(t)
  rig.connect()
  const first = currents(rig)[0]
  rig.disconnect()
  t.same(currents(rig), [undefined, undefined])
  t.same(rig.keysHeld(), [0, 0])
  rig.clock.advance(100_000)
  t.equal(rig.queue.length, 0, 'nothing is sent without a connection')
  rig.connect()
  t.ok(currents(rig)[0] !== undefined && currents(rig)[0] !== first && currents(rig)[0] === currents(rig)[1])
})

t.test('the same seed gives the same exchange: simulations repeat', async (t) => {
  const ids = [1, 1, 2].map((seed) => { const rig = makePair(t, {}, seed); rig.connect(); return currents(rig)[0] })
  t.equal(ids[0], ids[1])
  t.not(ids[0], ids[2])
})
