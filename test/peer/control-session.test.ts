import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { defaultTunnelLimits } from '../../src/peer/control/limits.js'
import { TunnelSession } from '../../src/peer/control/session.js'
import { Budget } from '../../src/peer/control/budget.js'
import type { Body } from '../../src/peer/messages.js'

const frame = (over: Partial<Body<'tunnel'>>): Body<'tunnel'> =>
  ({ path: ['b', 'x', 'a'], hop: 2, session: new Uint8Array(16), kind: 'data', seq: 1, ack: 0, bytes: Uint8Array.of(1), ...over })

/** One end, whose frames the test sees. */
const makeEnd = () => {
  const clock = new SimClock(), posted: Body<'tunnel'>[] = [], told: string[] = []
  let answer: '' | 'unroutable' | 'congested' = '', wake: (() => void) | undefined, isPaced = false
  const session = new TunnelSession({
    path: ['a', 'x', 'b'], id: new Uint8Array(16).fill(1), clock, limits: defaultTunnelLimits, gone: () => { told.push('gone') },
    mayPost: (again) => { wake = again; return !isPaced },
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

t.test('a source has its share of a second; accounts are bounded', async (t) => {
  const clock = new SimClock(), budget = new Budget(clock, 3, 2)
  t.same([1, 2, 3, 4, 5].map(() => budget.take('a')), ['taken', 'taken', 'taken', 'first', 'refused'])
  t.equal(budget.take('b'), 'taken')
  t.same(['c', 'd', 'e', 'f'].map((name) => budget.take(name)), ['taken', 'taken', 'taken', 'first'], 'those beyond share one account')
  clock.advance(1_000)
  t.equal(budget.take('a'), 'taken')
})
