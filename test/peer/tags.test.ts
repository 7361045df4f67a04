import fc from 'fast-check'
import t from 'tap'
import { FRAME_VERSION, parseFrame } from '../../src/peer/frame.js'
import { sessionId, type SessionTranscript } from '../../src/peer/session.js'
import { samples } from './desk.js'
import { polyHash } from './reference-tag.js'
import { idA, idB, makePair, pump, readyPair } from './rig.js'

const flip = (bytes: Uint8Array, bit: number): Uint8Array => {
  const out = bytes.slice()
  out[bit >> 3] = (out[bit >> 3] as number) ^ 1 << (bit & 7)
  return out
}

/** One tagged frame, not yet delivered. The pair is the same at each call, so its frames are too. */
const oneFrame = (): ReturnType<typeof readyPair> & { frame: Uint8Array } => {
  const pair = readyPair()
  pair.a.desk.send('horizon', samples.horizon)
  return { ...pair, frame: pair.a.pipe.next() }
}

t.test('every single changed bit of a tagged frame is refused', async (t) => {
  const { frame, b } = oneFrame()
  const { bodyAt } = parseFrame(frame, FRAME_VERSION)
  b.channel.receive(frame)
  t.equal(b.desk.got.length, 1, 'unchanged it is good')
  const reasons = new Map<string, number>()
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const { b, vaults } = oneFrame()
    b.channel.receive(flip(frame, bit))
    const reason = b.pipe.closedWith?.reason ?? 'accepted'
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    if (b.desk.got.length > 0 || reason === 'accepted') t.fail(`bit ${bit} was accepted`)
    if (bit >= bodyAt * 8 && reason !== 'tag') t.fail(`bit ${bit} of body or tag: ${reason}`)
    if (vaults[1].keysHeld > 0) t.fail('a hash key was kept')
  }
  t.same([...reasons.keys()].sort(), ['address', 'direction', 'gap', 'incarnation', 'malformed', 'not-routable', 'pad', 'replayed', 'tag', 'unknown-message', 'version'])
})

t.test('any number of changed bits is refused', async () => {
  const { frame } = oneFrame()
  fc.assert(fc.property(fc.uniqueArray(fc.nat({ max: frame.length * 8 - 1 }), { minLength: 1, maxLength: 40 }), (bits) => {
    const { b } = oneFrame()
    b.channel.receive(bits.reduce(flip, frame))
    return b.desk.got.length === 0 && b.pipe.closedWith !== undefined
  }), { numRuns: 300 })
})

t.test('replayed, reordered, dropped, truncated and lengthened frames', async (t) => {
  const cases: Record<string, [string, (frames: Uint8Array[]) => (Uint8Array | undefined)[], number]> = {
    replay: ['replayed', ([x, y]) => [x, x, y], 1],
    'replay later': ['replayed', ([x, y]) => [x, y, x], 2],
    reorder: ['gap', ([x, y]) => [y, x], 0],
    drop: ['gap', ([, y]) => [y], 0],
    truncate: ['malformed', ([x]) => [x?.subarray(0, x.length - 1)], 0],
    lengthen: ['malformed', ([x]) => [Uint8Array.of(...x ?? [], 0)], 0],
  }
  for (const [what, [reason, change, good]] of Object.entries(cases)) {
    const { a, b } = readyPair()
    a.desk.send('horizon', samples.horizon)
    a.desk.send('horizonAck', samples.horizonAck)
    for (const frame of change(a.pipe.frames.splice(0))) if (frame !== undefined) b.channel.receive(frame)
    t.same([b.pipe.closedWith?.reason, b.desk.got.length], [reason, good], what)
    t.equal(b.counters.ended[reason as 'gap'], 1)
  }
})

t.test('a frame of one connection is worth nothing on another', async (t) => {
  const first = oneFrame()
  const second = readyPair({ seed: 2 })
  second.b.desk.pads = first.b.desk.pads
  second.b.channel.receive(first.frame)
  t.equal(second.b.pipe.closedWith?.reason, 'tag')
})

t.test('a frame thrown back at its sender is refused, also with direction, addresses and incarnation turned round', async (t) => {
  const plain = oneFrame()
  plain.a.channel.receive(plain.frame)
  t.equal(plain.a.pipe.closedWith?.reason, 'address')
  const { a, frame } = oneFrame()
  const turned = frame.slice()
  turned[1] = 3
  turned[8] = 2
  turned.set(new TextEncoder().encode(idB + idA), 42)
  a.channel.receive(turned)
  t.equal(a.pipe.closedWith?.reason, 'pad', 'each side opens pads of the other\'s lane only')
})

t.test('the hello is covered by the first tag: one changed bit on its way is found then', async (t) => {
  for (const side of ['a', 'b'] as const) {
    const { a, b } = makePair()
    a.channel.start()
    const ofA = a.pipe.next()
    // The last byte of the connection's nonce: everything else still fits.
    b.channel.receive(side === 'a' ? flip(ofA, ofA.length * 8 - 1) : ofA)
    const ofB = b.pipe.next()
    a.channel.receive(side === 'b' ? flip(ofB, ofB.length * 8 - 1) : ofB)
    t.ok(a.channel.isReady && b.channel.isReady)
    a.desk.send('horizon', samples.horizon)
    pump({ a, b })
    t.equal(b.pipe.closedWith?.reason, 'tag')
  }
})

t.test('a changed offer of versions is found by the first tag', async (t) => {
  const { a, b } = readyPair({ offered: ['qkme-peer.1,qkme-peer.2', 'qkme-peer.1'] })
  b.desk.send('horizon', samples.horizon)
  pump({ a, b })
  t.equal(a.pipe.closedWith?.reason, 'tag')
})

t.test('pads: one that was used, one of another block, a hash key that changes', async (t) => {
  const reused = readyPair()
  const take = reused.a.desk.pads.take.bind(reused.a.desk.pads)
  const pads = [take(true), take(true)]
  let turn = 0
  reused.a.desk.pads.take = () => pads[Math.min(turn++, 1)]
  reused.a.desk.send('horizon', samples.horizon)
  reused.a.desk.send('horizon', samples.horizon)
  pump(reused)
  t.same([reused.b.pipe.closedWith?.reason, reused.b.desk.got.length], ['pad', 1])

  const foreign = readyPair()
  foreign.b.desk.pads.open = () => undefined
  foreign.a.desk.send('horizon', samples.horizon)
  pump(foreign)
  t.equal(foreign.b.pipe.closedWith?.reason, 'pad')

  const { a, b } = readyPair()
  a.desk.send('horizon', samples.horizon)
  a.desk.send('horizon', samples.horizon)
  b.channel.receive(a.pipe.next())
  const second = a.pipe.next()
  second[28] = 32 // the place of the hash key
  b.channel.receive(second)
  t.same([b.pipe.closedWith?.reason, b.pipe.closedWith?.text], ['pad', 'the hash key changed within a connection'])
})

t.test('hash keys are dropped when the connection ends', async (t) => {
  const { a, b, vaults } = readyPair()
  a.desk.send('horizon', samples.horizon)
  b.desk.send('horizon', samples.horizon)
  pump({ a, b })
  t.same(vaults.map((vault) => vault.keysHeld), [2, 2])
  a.channel.close('')
  b.channel.transportClosed('closed', '')
  t.same(vaults.map((vault) => vault.keysHeld), [0, 0])
})

t.test('the session ID depends on every part of the transcript, and on its borders', async (t) => {
  const base: SessionTranscript = { offered: 'qkme-peer.1', version: 1, diallerHello: Uint8Array.of(1, 2), acceptorHello: Uint8Array.of(3) }
  const hex = (x: SessionTranscript, direction: boolean): string => Buffer.from(sessionId(x, direction)).toString('hex')
  const all = [
    hex(base, false), hex(base, true), hex({ ...base, offered: 'qkme-peer.2' }, false), hex({ ...base, version: 2 }, false),
    hex({ ...base, diallerHello: Uint8Array.of(1), acceptorHello: Uint8Array.of(2, 3) }, false),
    hex({ ...base, diallerHello: Uint8Array.of(3), acceptorHello: Uint8Array.of(1, 2) }, false),
  ]
  t.equal(new Set(all).size, all.length)
})

t.test('P: a message and the same with zeros behind it differ', async (t) => {
  const key = new Uint8Array(16).fill(5)
  t.notSame(polyHash(key, Uint8Array.of(1)), polyHash(key, Uint8Array.of(1, 0)))
  t.same(polyHash(new Uint8Array(16), Uint8Array.of(1, 2, 3)), new Uint8Array(16), 'the zero key hides nothing')
})
