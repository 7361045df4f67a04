import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { defaultTunnelLimits } from '../../src/peer/control/limits.js'
import { MoveProof } from '../../src/peer/control/move-proof.js'
import type { Path } from '../../src/peer/control/ports.js'
import { TunnelSession } from '../../src/peer/control/session.js'
import { Budget } from '../../src/peer/control/budget.js'
import type { Body } from '../../src/peer/messages.js'

const frame = (over: Partial<Body<'tunnel'>>): Body<'tunnel'> =>
  ({ path: ['b', 'x', 'a'], hop: 2, session: new Uint8Array(16), kind: 'data', seq: 1, ack: 0, bytes: Uint8Array.of(1), ...over })

const moveKey = (): Uint8Array => new Uint8Array(32).fill(7)

/** One end, whose frames the test sees. @param otherWay Makes it the opener that may move. */
const makeEnd = (otherWay?: (broken: Path) => Path | undefined) => {
  const clock = new SimClock(), posted: Body<'tunnel'>[] = [], told: string[] = []
  let answer: '' | 'unroutable' | 'congested' = '', wake: (() => void) | undefined, isPaced = false
  const session = new TunnelSession({
    path: ['a', 'x', 'b'], id: new Uint8Array(16).fill(1), clock, limits: defaultTunnelLimits, gone: () => { told.push('gone') }, otherWay, moved: (path) => { told.push(`on ${path.join('')}`) },
    mayPost: (_first, again) => { wake = again; return !isPaced },
    post: (body) => { posted.push(body); return answer },
  })
  session.events = { data: ({ length }) => { told.push(`data ${length}`) }, writable: () => { told.push('writable') }, ended: (reason) => { told.push(`ended ${reason}`) } }
  return { clock, posted, told, session, set answer (to: typeof answer) { answer = to }, set isPaced (to: boolean) { isPaced = to }, wake: () => { wake?.() } }
}

t.test('a window of pieces and no more, until they are acknowledged; each is told of once', async (t) => {
  const { session, posted, told } = makeEnd()
  for (let i = 0; i < defaultTunnelLimits.windowPieces; i++) t.equal(session.send(Uint8Array.of(i)), true)
  t.equal(session.send(Uint8Array.of(9)), false)
  session.receive(frame({ kind: 'ack', seq: 0, ack: 2 }))
  session.receive(frame({ kind: 'ack', seq: 0, ack: 1 }))
  t.same(told, ['writable'])
  t.equal(session.send(Uint8Array.of(9)), true)
  t.same(posted.map((body) => body.seq), [1, 2, 3, 4, 5])
  t.same([posted[0]?.path, posted[0]?.hop], [['a', 'x', 'b'], 1])
})

t.test('a piece that must wait for its turn is refused, and there is word when it may be tried again', async (t) => {
  const end = makeEnd()
  end.isPaced = true
  t.equal(end.session.send(Uint8Array.of(1)), false)
  t.equal(end.posted.length, 0)
  end.isPaced = false
  end.wake()
  end.wake()
  t.same(end.told, ['writable'])
  t.equal(end.session.send(Uint8Array.of(1)), true)
})

t.test('who sends more than the window allows is cut off', async (t) => {
  const { session, told } = makeEnd()
  for (let seq = 1; seq <= defaultTunnelLimits.windowPieces + 1; seq++) session.receive(frame({ seq }))
  t.same(told.slice(-2), ['gone', 'ended refused'])
  t.equal(told.filter((what) => what === 'data 1').length, defaultTunnelLimits.windowPieces)
})

t.test('acknowledgements travel with data, or by themselves: at half a window at once, else after a moment', async (t) => {
  const { session, posted, clock } = makeEnd()
  session.receive(frame({ seq: 1 }))
  session.consumed()
  t.equal(posted.length, 0)
  session.send(Uint8Array.of(1))
  t.equal(posted[0]?.ack, 1)
  clock.advance(1_000)
  t.equal(posted.length, 1, 'it was told')
  session.receive(frame({ seq: 2 }))
  session.consumed()
  clock.advance(defaultTunnelLimits.ackDelayMs)
  t.match(posted[1], { kind: 'ack', seq: 0, ack: 2 })
  for (const seq of [3, 4]) { session.receive(frame({ seq })); session.consumed() }
  t.match(posted[2], { kind: 'ack', ack: 4 })
  t.throws(() => { session.consumed() }, /invariant violated/)
  t.throws(() => session.send(new Uint8Array()), /invariant violated/)
})

t.test('what ends a session, and what its owner and the other end hear of it', async (t) => {
  const ways: Record<string, [(end: ReturnType<typeof makeEnd>) => void, string, boolean]> = {
    'no acknowledgement': [({ session, clock }) => { session.send(Uint8Array.of(1)); clock.advance(defaultTunnelLimits.stallMs) }, 'idle', true],
    'no answer to a probe': [({ session, clock }) => { session.probe(); session.probe(); clock.advance(defaultTunnelLimits.probeMs) }, 'network', true],
    'the other end': [({ session }) => { session.receive(frame({ kind: 'end', seq: 0 })) }, 'closed', false],
    'a gap': [({ session }) => { session.receive(frame({ seq: 2 })) }, 'gap', true],
    'a repeat': [({ session }) => { session.receive(frame({})); session.receive(frame({})) }, 'replayed', true],
    'no way to the first node': [(end) => { end.answer = 'unroutable'; end.session.send(Uint8Array.of(1)) }, 'network', false],
  }
  for (const [what, [happens, reason, isTold]] of Object.entries(ways)) {
    const end = makeEnd()
    happens(end)
    t.same(end.told.filter((said) => !said.startsWith('data')), ['gone', `ended ${reason}`], what)
    t.equal(end.posted.some((body) => body.kind === 'end'), isTold)
    t.equal(end.session.send(Uint8Array.of(1)), false)
    t.equal(end.clock.pending, 0, 'no timer is left')
  }
  const end = makeEnd()
  end.session.probe()
  end.session.receive(frame({ kind: 'probe', seq: 0 }))
  end.clock.advance(60_000)
  t.same([end.told, end.posted.map((body) => body.kind)], [[], ['probe', 'ack']], 'an answered probe ends nothing')
  end.session.end('done')
  t.same(end.told, ['gone'], 'who ends it himself is not told')
})

// --- another path -----------------------------------------------------------------------------------------------------------

t.test('a broken path: the opener takes another, proves it, and sends again what is not acknowledged', async (t) => {
  const end = makeEnd(() => ['a', 'y', 'b'])
  const { session, posted, told, clock } = end
  session.allowMoves(moveKey())
  for (let i = 1; i <= 3; i++) session.send(Uint8Array.of(i))
  session.receive(frame({ kind: 'ack', seq: 0, ack: 1 }))
  session.receive(frame({ seq: 1 }))
  session.consumed()
  posted.length = 0
  session.broken('no such node')
  t.same(told.slice(-1), ['on ayb'])
  t.same(posted.map(({ path, kind, seq, ack }) => [path.join(''), kind, seq, ack]), [['ayb', 'move', 1, 1], ['ayb', 'data', 2, 1], ['ayb', 'data', 3, 1]])
  t.same(posted.slice(1).map(({ bytes }) => [...bytes]), [[2], [3]])
  t.ok(new MoveProof(moveKey()).fits(new Uint8Array(16).fill(1), 1, ['a', 'y', 'b'], posted[0]!.bytes))
  session.broken('said of the former path')
  t.equal(posted.length, 3, 'which is not believed before the new one has answered')
  session.receive(frame({ kind: 'ack', seq: 0, ack: 3 }))
  session.receive(frame({ seq: 1 }))
  t.same(told.filter((what) => what.startsWith('data')), ['data 1'], 'a piece that comes again is dropped')
  session.receive(frame({ seq: 2 }))
  t.same(told.filter((what) => what.startsWith('data')).length, 2, 'and the next one is not')
  session.receive(frame({ seq: 2 }))
  t.same(told.slice(-2), ['gone', 'ended replayed'], 'but once, and only what came before the move')
  clock.advance(60_000)
})

t.test('the other end follows a proof and nothing else; it sends again what is not acknowledged', async (t) => {
  const { session, posted, told } = makeEnd()
  session.allowMoves(moveKey())
  const proof = new MoveProof(moveKey()), id = new Uint8Array(16).fill(1), path = ['b', 'y', 'a']
  const move = (seq: number, over: Partial<Body<'tunnel'>> = {}): Body<'tunnel'> => frame({ kind: 'move', path, seq, ack: 1, bytes: proof.make(id, seq, path), ...over })
  for (let i = 1; i <= 2; i++) session.send(Uint8Array.of(i))
  posted.length = 0
  t.equal(session.follow(move(1, { bytes: new Uint8Array(32) })), false)
  t.equal(session.follow(move(1, { path: ['b', 'z', 'a'] })), false, 'a proof is for one path')
  t.equal(session.follow(move(2, { bytes: proof.make(id, 1, path) })), false, 'and one number')
  t.same([session.path, posted], [['a', 'x', 'b'], []])
  t.equal(session.follow(move(1)), true)
  t.same([session.path, session.formerPath], [['a', 'y', 'b'], ['a', 'x', 'b']])
  t.same(posted.map(({ path, kind, seq }) => [path.join(''), kind, seq]), [['ayb', 'ack', 0], ['ayb', 'data', 2]])
  t.equal(session.follow(move(1)), false, 'no move is good twice')
  t.same(told, ['on ayb'])
  const opener = makeEnd(() => undefined)
  opener.session.allowMoves(moveKey())
  t.equal(opener.session.follow(move(1)), false, 'who chooses follows nobody')
})

t.test('what is sent while there is no path waits, within the window; a move takes it along in order', async (t) => {
  let other: Path | undefined
  const { session, posted, told, clock } = makeEnd(() => other)
  session.allowMoves(moveKey())
  session.send(Uint8Array.of(1))
  session.broken('cut')
  for (let i = 2; i <= defaultTunnelLimits.windowPieces; i++) t.equal(session.send(Uint8Array.of(i)), true)
  t.equal(session.send(Uint8Array.of(9)), false)
  t.same([posted.length, session.isStuck], [1, true])
  clock.advance(defaultTunnelLimits.patienceMs - 1)
  other = ['a', 'y', 'b']
  t.equal(session.move(), true)
  t.same(posted.slice(1).map(({ kind, seq }) => `${kind} ${seq}`), ['move 1', 'data 1', 'data 2', 'data 3', 'data 4'])
  session.receive(frame({ kind: 'ack', seq: 0, ack: 4 }))
  clock.advance(5_000)
  t.same(told, ['on ayb', 'writable'], 'it lives')
})

t.test('a path that is never found, or never answers, ends the session', async (t) => {
  for (const otherWay of [() => undefined, () => ['a', 'y', 'b']]) {
    const { session, told, clock, posted } = makeEnd(otherWay)
    session.allowMoves(moveKey())
    session.broken('cut')
    clock.advance(defaultTunnelLimits.patienceMs)
    t.same(told.slice(-2), ['gone', 'ended network'])
    t.equal(posted.at(-1)?.kind, 'end')
    t.equal(clock.pending, 0)
  }
})

t.test('a source has its share of a second; accounts are bounded', async (t) => {
  const clock = new SimClock(), budget = new Budget(clock, 3, 2)
  t.same([1, 2, 3, 4, 5].map(() => budget.take('a')), ['taken', 'taken', 'taken', 'first', 'refused'])
  t.equal(budget.take('b'), 'taken')
  t.same(['c', 'd', 'e', 'f'].map((name) => budget.take(name)), ['taken', 'taken', 'taken', 'first'], 'those beyond share one account')
  clock.advance(1_000)
  t.equal(budget.take('a'), 'taken')
})
