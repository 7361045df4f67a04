import t from 'tap'
import { KmeError } from '../../src/kernel/errors.js'
import { packBody } from '../../src/peer/body.js'
import { FRAME_VERSION, frameBytes, parseFrame, writeHeader, type FrameHeader } from '../../src/peer/frame.js'
import { Refusal } from '../../src/peer/refusal.js'
import { helloOf, samples } from './desk.js'
import { idA, idB, makePair, pump, readyPair } from './rig.js'

/** A frame without a tag, with any field wrong. */
const forge = (over: Partial<FrameHeader>, body: Uint8Array = packBody('stored', { number: 1 })): Uint8Array => {
  const header: FrameHeader = {
    version: FRAME_VERSION, type: 4, tagged: false, fromAcceptor: false, source: idA, destination: idB, incarnation: 1, number: 2,
    hashKey: { block: 0, offset: 0 }, pad: { block: 0, offset: 0 }, bodyBytes: body.length, ...over,
  }
  const bytes = new Uint8Array(frameBytes(header))
  bytes.set(body, writeHeader(header, bytes))
  return bytes
}

t.test('both sides say hello once and are ready, and then messages pass in order both ways', async (t) => {
  const { a, b } = readyPair()
  t.same([a.steps, b.steps], [['resynchronising', 'ready'], ['resynchronising', 'ready']])
  t.equal(a.desk.hellos[0]?.kme, idB)
  t.equal(b.desk.hellos[0]?.mine.incarnation, 1)
  for (const [name, body] of Object.entries(samples)) {
    t.equal(a.desk.send(name as keyof typeof samples, body), 'sent')
    t.equal(b.desk.send(name as keyof typeof samples, body), 'sent')
  }
  pump({ a, b })
  t.same(b.desk.got.map((m) => m.name), Object.keys(samples))
  t.same(a.desk.got.map((m) => m.body), Object.values(samples))
  t.equal(a.counters.sent.horizon, 1)
  t.equal(b.counters.received.horizon, 1)
  t.equal(a.counters.sentBytes, b.counters.receivedBytes)
  t.equal(a.counters.padsUsed, 1 + 5, 'one hash key and a pad for each of five tagged messages')
  t.same([a.ends, b.ends], [[], []])
})

t.test('the acceptor makes its hello after the other\'s was admitted and before its handler acts on it', async (t) => {
  const order: string[] = []
  const { a, b } = makePair({ admit: () => { order.push('admit') } })
  b.desk.hello = () => { order.push('our hello'); return helloOf(idB, 2) }
  b.desk.reactToHello = () => { order.push('their hello') }
  a.channel.start()
  b.channel.start()
  t.same(order, [], 'the acceptor keeps silent until then')
  b.channel.receive(a.pipe.next())
  t.same(order, ['admit', 'our hello', 'their hello'])
})

t.test('before there is a reserve only messages without a tag flow; each side by itself', async (t) => {
  const { a, b } = readyPair()
  a.desk.pads.take = () => undefined
  t.equal(a.desk.send('horizon', samples.horizon), 'no-pad')
  t.equal(a.desk.send('propose', samples.propose), 'sent')
  t.equal(b.desk.send('horizon', samples.horizon), 'sent')
  pump({ a, b })
  t.same([a.desk.got.length, b.desk.got.length], [1, 1])
  t.equal(a.counters.unsent['no-pad'], 1)
})

t.test('below the floor only vital messages are sent', async (t) => {
  const { a, b } = readyPair({ floorBytes: 16_384 })
  t.equal(a.desk.send('grantAsk', samples.grantAsk), 'no-pad')
  t.equal(a.desk.send('horizon', samples.horizon), 'sent')
  pump({ a, b })
  t.equal(b.desk.got.length, 1)
})

t.test('a send before ready and after the end is "closed"; an unfit body is a bug of ours', async (t) => {
  const { a, b } = makePair()
  t.equal(a.channel.send('stored', { number: 1 }), 'closed')
  a.channel.start()
  b.channel.receive(a.pipe.next())
  a.channel.receive(b.pipe.next())
  t.throws(() => a.channel.send('stored', { number: -1 }), /invariant violated/)
  t.throws(() => a.channel.send('hello', helloOf(idA, 1)), /invariant violated/)
  a.channel.close('enough')
  t.equal(a.channel.send('stored', { number: 1 }), 'closed')
  t.same(a.pipe.closedWith, { reason: 'closed', text: 'enough' })
  t.same([a.desk.closed, a.ends], [['closed'], ['closed by us']])
  b.channel.transportClosed('closed', '')
  t.same([b.desk.closed, b.ends], [['closed'], ['closed by peer']])
})

t.test('a slow reader: the queue stops at its bound, nothing is spent for what is not sent, and there is word when it has room', async (t) => {
  const { a, b } = readyPair({ sendQueueBytesMax: 2_000 })
  let sent = 0
  while (a.desk.send('chainHead', samples.chainHead) === 'sent') sent++
  t.ok(sent > 3 && a.pipe.bufferedBytes <= 2_000)
  const { padsUsed } = a.counters
  t.equal(a.desk.send('chainHead', samples.chainHead), 'full')
  t.equal(a.counters.padsUsed, padsUsed)
  b.channel.receive(a.pipe.next())
  a.channel.drained()
  t.equal(a.desk.writable, 0, 'not for one frame')
  while (a.pipe.bufferedBytes > 1_000) b.channel.receive(a.pipe.next())
  a.channel.drained()
  a.channel.drained()
  t.equal(a.desk.writable, 1)
  t.equal(a.desk.send('chainHead', samples.chainHead), 'sent')
  pump({ a, b })
  t.equal(b.desk.got.length, sent + 1)
  t.same(b.ends, [])
})

t.test('a bound below the size of a frame blocks nothing for ever', async (t) => {
  const { a, b } = readyPair({ sendQueueBytesMax: 10 })
  for (let i = 0; i < 3; i++) {
    t.equal(a.desk.send('propose', samples.propose), 'sent')
    t.equal(a.desk.send('propose', samples.propose), 'full')
    b.channel.receive(a.pipe.next())
    a.channel.drained()
  }
  t.same([b.desk.got.length, a.desk.writable], [3, 3])
})

t.test('a frame that the transport does not take burns its pad and leaves no gap', async (t) => {
  const { a, b } = readyPair()
  a.pipe.refuses = true
  t.equal(a.desk.send('horizon', samples.horizon), 'full')
  a.pipe.refuses = false
  t.equal(a.desk.send('horizonAck', samples.horizonAck), 'sent')
  pump({ a, b })
  t.same(b.desk.got.map((m) => m.name), ['horizonAck'])
  t.equal(a.counters.padsUsed, 3)
})

t.test('faults of the peer end the connection with their reason, and the handler hears nothing of the frame', async (t) => {
  const cases: [string, Uint8Array][] = [
    ['replayed', forge({ number: 1 })],
    ['gap', forge({ number: 3 })],
    ['address', forge({ source: 'kme-x' })],
    ['not-routable', forge({ destination: 'kme-x' })],
    ['direction', forge({ fromAcceptor: true })],
    ['unknown-message', forge({ type: 999 })],
    ['incarnation', forge({ incarnation: 2 })],
    ['version', forge({ version: 3 })],
    ['order', forge({ type: 1 }, packBody('hello', helloOf(idA, 1)))],
    ['malformed', forge({ type: 6 })],
    ['schema', forge({}, Uint8Array.of(0x80))],
    ['body', forge({}, Uint8Array.of(0xc1))],
    ['malformed', new Uint8Array(10)],
  ]
  for (const [reason, bytes] of cases) {
    const { b } = readyPair()
    b.channel.receive(bytes)
    t.same([b.ends, b.pipe.closedWith?.reason, b.desk.closed, b.desk.got], [[`${reason} by us`], reason, [reason], []], reason)
    t.equal(b.counters.ended[reason as 'gap'], 1)
    b.channel.receive(forge({}))
    t.equal(b.desk.got.length, 0, 'and of no later one')
  }
  const { b } = readyPair()
  b.channel.receive(forge({}))
  t.equal(b.desk.got.length, 1, 'the same frame without a fault is good')
})

t.test('a bad hello never becomes ready', async (t) => {
  const connection = new Uint8Array(16)
  const cases: [string, Uint8Array][] = [
    ['order', forge({ number: 1 })],
    ['address', forge({ number: 1, type: 1 }, packBody('hello', { ...helloOf('kme-x', 1), connection }))],
    ['incarnation', forge({ number: 1, type: 1 }, packBody('hello', { ...helloOf(idA, 7), connection }))],
    ['schema', forge({ number: 1, type: 1 }, packBody('hello', helloOf(idA, 1)))],
    ['gap', forge({ number: 2, type: 1 }, packBody('hello', { ...helloOf(idA, 1), connection }))],
  ]
  for (const [reason, bytes] of cases) {
    const { b } = makePair()
    b.channel.receive(bytes)
    t.same([b.ends, b.desk.hellos, b.desk.closed, b.desk.hellosMade], [[`${reason} by us`], [], [], 0], reason)
  }
})

t.test('what a handler throws: a refusal ends the connection, a bug ends it and goes on', async (t) => {
  for (const [error, reason] of [[new KmeError('PROTOCOL', 'no'), 'refused'], [new KmeError('TAG_INVALID', 'no'), 'tag'], [new Refusal('gap', 'no'), 'gap']] as const) {
    const { a, b } = readyPair()
    b.desk.react = () => { throw error }
    a.desk.send('stored', { number: 1 })
    b.channel.receive(a.pipe.next())
    t.same(b.ends, [`${reason} by us`])
  }
  for (const bug of [new Error('bug'), new KmeError('STORE_UNAVAILABLE', 'the disk is gone')]) {
    const { a, b } = readyPair()
    b.desk.react = () => { throw bug }
    a.desk.send('stored', { number: 1 })
    t.throws(() => { b.channel.receive(a.pipe.next()) }, bug)
    t.same([b.ends, b.pipe.closedWith?.reason], [['internal by us'], 'internal'])
  }
  const { a, b } = makePair()
  b.desk.reactToHello = () => { throw new KmeError('PROTOCOL', 'two incarnations alive') }
  a.channel.start()
  b.channel.receive(a.pipe.next())
  t.same([b.ends, b.desk.closed], [['refused by us'], []], 'never ready, so the handler is not told that it ended')
})

t.test('a handler may answer, or end the connection, while it is told of a message', async (t) => {
  const { a, b } = readyPair()
  b.desk.react = (name) => { if (name === 'propose') b.desk.send('stored', { number: 5 }); else b.desk.channel?.close('done') }
  a.desk.send('propose', samples.propose)
  a.desk.send('horizon', samples.horizon)
  a.desk.send('stored', { number: 6 })
  pump({ a, b })
  t.same([a.desk.got.map((m) => m.name), b.desk.got.map((m) => m.name), b.ends], [['stored'], ['propose', 'horizon'], ['closed by us']])
})

t.test('frames name both KMEs, the incarnation and their number', async (t) => {
  const { a } = readyPair()
  a.desk.send('horizon', samples.horizon)
  const { header } = parseFrame(a.pipe.next(), FRAME_VERSION)
  t.match(header, { source: idA, destination: idB, incarnation: 1, number: 2, type: 6, tagged: true, fromAcceptor: false, hashKey: { block: 100, offset: 0 }, pad: { block: 100, offset: 16 } })
})
