import t from 'tap'
import { decideCollision, dialRole } from '../../src/peer/collision.js'
import { backoffDelayMs } from '../../src/peer/redial.js'
import { SimRandom } from '../../sim/random.js'
import { samples } from './desk.js'
import { makeWorld } from './nodes.js'

const A = 'kme-a', B = 'kme-b'

t.test('the lower ID dials at once, the higher one waits and then need not', async (t) => {
  const world = makeWorld()
  const a = await world.start(A, B), b = await world.start(B, A)
  world.clock.advance(1_000)
  t.same([a.events, b.events], [['connecting', 'authenticating', 'resynchronising', 'ready'], ['authenticating', 'resynchronising', 'ready']])
  t.same([a.manager.status(B).role, b.manager.status(A).role], ['dialler', 'acceptor'])
  t.ok((b.waitsMs[0] as number) >= 3_000)
  world.clock.advance(60_000)
  t.equal(b.manager.status(A).counters.connections, 1, 'the waiting one did not dial once it was connected')
  t.equal(a.desk.send('horizon', samples.horizon), 'sent')
  world.clock.advance(10)
  t.equal(b.desk.got.length, 1)
})

t.test('the higher ID dials when the lower knows no URL', async (t) => {
  const world = makeWorld()
  const a = await world.start(A, B, { url: false }), b = await world.start(B, A)
  world.clock.advance(10_000)
  t.same([a.manager.status(B).role, b.manager.status(A).role], ['acceptor', 'dialler'])
  t.throws(() => { a.manager.dialOnce(B) }, { code: 'CONFIG_INVALID' })
  t.throws(() => { a.manager.dialOnce('kme-x') }, { code: 'NOT_FOUND' })
})

t.test('both dial at the same moment: both keep the same one, whichever it is', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const world = makeWorld(seed, {}, { faults: { delayMs: 1, jitterMs: 20 } })
    const a = await world.start(A, B, { dials: false }), b = await world.start(B, A, { dials: false })
    a.manager.dialOnce(B)
    world.clock.advance(world.random.integer(50))
    b.manager.dialOnce(A)
    world.clock.advance(1_000)
    t.same([a.manager.status(B).state, b.manager.status(A).state], ['ready', 'ready'], `seed ${seed}`)
    t.equal(world.network.wires, 1, 'and no other is left')
    t.not(a.manager.status(B).role, b.manager.status(A).role)
    a.desk.send('stored', { number: 1 })
    b.desk.send('stored', { number: 2 })
    world.clock.advance(1_000)
    t.same([a.desk.got.length, b.desk.got.length], [1, 1])
  }
})

t.test('the collision rule', async (t) => {
  const rival = (role: 'dialler' | 'acceptor', peersIncarnation: number) => ({ role, peersIncarnation })
  const decide = (self: string, older: ReturnType<typeof rival>, newer: ReturnType<typeof rival>): string => {
    try {
      decideCollision(self, self === A ? B : A, older, newer)
      return 'replaced'
    } catch (error) { return (error as { reason: string }).reason }
  }
  t.equal(decide(A, rival('dialler', 5), rival('acceptor', 4)), 'stale', 'a lower incarnation never wins')
  t.equal(decide(A, rival('dialler', 5), rival('acceptor', 6)), 'replaced', 'a higher one always does')
  t.equal(decide(A, rival('acceptor', 5), rival('acceptor', 5)), 'replaced', 'the same side dialled again')
  t.equal(decide(A, rival('acceptor', 5), rival('dialler', 5)), 'replaced', 'crossed: the lower dialled the newer')
  t.equal(decide(B, rival('dialler', 5), rival('acceptor', 5)), 'replaced')
  t.equal(decide(A, rival('dialler', 5), rival('acceptor', 5)), 'stale', 'crossed: the lower dialled the older')
  t.equal(decide(B, rival('acceptor', 5), rival('dialler', 5)), 'stale')
  t.same([dialRole(A, B, true), dialRole(B, A, true), dialRole(A, B, false), dialRole(B, A, false)], ['at-once', 'after-grace', 'never', 'never'])
})

t.test('waits double to the cap with jitter in their upper half, and a connection that lived is forgiven', async (t) => {
  const limits = { backoffMinMs: 250, backoffMaxMs: 30_000 }
  const random = new SimRandom(1)
  for (let attempt = 1; attempt < 60; attempt++) {
    const fullMs = Math.min(30_000, 250 * 2 ** attempt), delayMs = backoffDelayMs(limits, attempt, random)
    t.ok(delayMs >= fullMs / 2 && delayMs <= fullMs + 1, `${attempt}: ${delayMs}`)
  }
  t.ok(backoffDelayMs(limits, 0, random) < 250)

  const world = makeWorld()
  const a = await world.start(A, B)
  world.clock.advance(120_000)
  t.ok(a.waitsMs.length > 6 && a.waitsMs.length < 14, `${a.waitsMs.length} attempts in two minutes`)
  t.ok(a.waitsMs.every((ms, i) => i < 2 || ms >= (a.waitsMs[i - 2] as number) || ms >= 15_000), 'they grow')
  t.same(a.events.slice(0, 4), ['connecting', 'disconnected:connect-failed', 'connecting', 'disconnected:connect-failed'])
  const b = await world.start(B, A, { dials: false })
  world.clock.advance(60_000)
  t.equal(a.manager.status(B).state, 'ready')
  const waits = a.waitsMs.length
  b.manager.stop()
  world.clock.advance(1)
  t.equal(a.waitsMs.length, waits + 1)
  t.ok((a.waitsMs.at(-1) as number) < 250, 'forgiven')
  t.equal(a.events.at(-1), 'disconnected:stopped')
})

t.test('a connection that dies young is not forgiven', async (t) => {
  const world = makeWorld()
  const a = await world.start(A, B), b = await world.start(B, A, { dials: false })
  for (let life = 0; life < 8; life++) {
    world.clock.advance(60_000)
    t.equal(a.manager.status(B).state, 'ready')
    b.manager.hangUp(A, 'test')
  }
  t.ok((a.waitsMs.at(-1) as number) < 250, 'each lived a minute')
  b.manager.attach(A, (event) => { if (event.type === 'peer.ready') world.clock.after(1_000, () => { b.manager.hangUp(A, 'test') }) })
  world.clock.advance(180_000)
  t.ok(a.waitsMs.at(-1) as number >= 10_000, `the wait has grown to ${a.waitsMs.at(-1)} ms`)
})

t.test('the peer starts again: its new incarnation replaces the connection that is dead without knowing', async (t) => {
  const world = makeWorld()
  const a = await world.start(A, B), b = await world.start(B, A)
  world.clock.advance(1_000)
  world.network.partition(A, B)
  world.network.kill(A)
  a.stopDialling()
  world.network.join(A, B)
  const again = await world.start(A, B, { incarnation: 2 })
  world.clock.advance(1_000)
  t.same([b.desk.hellos.map((h) => h.mine.incarnation), b.desk.closed], [[1, 2], ['network']])
  t.equal(again.manager.status(B).state, 'ready')
  world.network.partition(A, B)
  const third = await world.start(A, B, { incarnation: 3, dials: false })
  world.network.join(A, B)
  third.manager.dialOnce(B)
  world.clock.advance(100)
  t.same([b.desk.closed.at(-1), b.manager.status(A).incarnation], ['replaced', 3])
  again.manager.hangUp(B, 'test')
  again.manager.dialOnce(B)
  world.clock.advance(100)
  t.equal(b.manager.status(A).incarnation, 3, 'the lower incarnation is refused')
  t.equal(again.manager.status(B).lastEnd, 'stale')
  const alarms = (): number => b.security.filter((event) => event.startsWith('peer.splitBrain')).length
  t.equal(alarms(), 0, 'one call may come late')
  again.manager.dialOnce(B)
  world.clock.advance(100)
  t.equal(alarms(), 1, 'the next one shows that two processes are alive')
  t.same(b.twice, [true])
  again.manager.dialOnce(B)
  world.clock.advance(599_000)
  t.same([alarms(), b.twice.length], [1, 1], 'it is told once')
  again.stopDialling()
  world.clock.advance(601_000)
  t.same(b.twice, [true, false], 'and is over when nobody calls any more')
})

t.test('after a stop nothing starts again and the other side is told', async (t) => {
  const world = makeWorld()
  const a = await world.start(A, B), b = await world.start(B, A)
  world.clock.advance(1_000)
  a.manager.stop()
  world.clock.advance(60_000)
  t.equal(a.manager.status(B).state, 'disconnected')
  t.same([a.desk.closed, b.desk.closed], [['stopped'], ['stopped']])
  t.equal(world.network.wires, 0)
  t.equal(a.vault.keysHeld + b.vault.keysHeld, 0)
})

t.test('a peer that is no more accepted when its connection opens is turned away on both sides', async (t) => {
  const world = makeWorld()
  let refuses = false
  const a = await world.start(A, B, { dials: false, refuses: () => refuses }), b = await world.start(B, A, { dials: false })
  a.manager.dialOnce(B)
  refuses = true
  world.clock.advance(100)
  t.same([a.manager.status(B).state, b.manager.status(A).state, a.manager.status(B).lastEnd], ['disconnected', 'disconnected', 'not-a-peer'])
  t.same(b.manager.status(A).lastEnd, 'not-a-peer')
  t.equal(world.network.wires, 0)
})

t.test('a KME that is no peer, or is not accepted now, is refused', async (t) => {
  const world = makeWorld()
  const stranger = await world.start('kme-0', B)
  let refuses = true
  const a = await world.start(A, B)
  const b = await world.start(B, A, { dials: false, refuses: () => refuses })
  world.clock.advance(5_000)
  t.equal(stranger.manager.status(B).lastEnd, 'not-a-peer')
  t.equal(a.manager.status(B).lastEnd, 'not-a-peer')
  t.ok(a.security.every((line) => line === 'peer.not-a-peer kme-b refused') && a.security.length > 0)
  refuses = false
  world.clock.advance(60_000)
  t.equal(b.manager.status(A).state, 'ready')
})
