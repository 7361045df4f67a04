import t, { type Test } from 'tap'
import { SimClock } from '../../sim/clock.js'
import { defaultTunnelLimits } from '../../src/peer/control/limits.js'
import type { Body } from '../../src/peer/messages.js'
import { samples } from './desk.js'
import { Mesh, type MeshOptions } from './control-nodes.js'

const line = ['ab', 'bc', 'cd']

/** Started, and its neighbours are connected. */
const meshOf = async (options: Partial<MeshOptions> & { edges: readonly string[] }): Promise<{ mesh: Mesh, clock: SimClock }> => {
  const clock = new SimClock()
  const mesh = await new Mesh({ clock, ...options }).startAll()
  clock.advance(5_000)
  return { mesh, clock }
}

const stateOf = (mesh: Mesh, a: string, b: string): string => mesh.at(a).control.manager.status(b).state

t.test('two KMEs three hops apart are ready like neighbours, and all messages pass in order both ways', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.open('a', 'd')
  clock.advance(1_000)
  t.same([stateOf(mesh, 'a', 'd'), stateOf(mesh, 'd', 'a')], ['ready', 'ready'])
  t.same([mesh.at('a').control.manager.status('d').role, mesh.at('d').control.manager.status('a').role], ['dialler', 'acceptor'])
  const a = mesh.at('a').desks.get('d')!, d = mesh.at('d').desks.get('a')!
  t.equal(a.hellos[0]?.kme, 'd')
  for (const [name, body] of Object.entries(samples)) {
    t.equal(a.send(name as keyof typeof samples, body), 'sent')
    t.equal(d.send(name as keyof typeof samples, body), 'sent')
  }
  clock.advance(1_000)
  t.same(d.got.map((m) => m.name), Object.keys(samples))
  t.same(a.got.map((m) => m.body), Object.values(samples))
  t.equal(mesh.at('a').control.manager.status('d').counters.padsUsed, 0, 'no reserve is needed')
  for (const id of ['b', 'c']) {
    t.ok(mesh.at(id).hub.counters.forwarded > 4)
    t.equal(mesh.at(id).hub.sessions, 0, 'and the nodes between keep nothing')
    t.same([...mesh.at(id).desks.values()].map((desk) => desk.got), [[], []], 'nor do their pools hear of it')
  }
})

t.test('a channel that is quiet stays, by its own signs of life', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.open('a', 'd')
  clock.advance(300_000)
  t.same(mesh.at('a').events, ['d connecting', 'd authenticating', 'd resynchronising', 'd ready'])
  t.ok(mesh.at('b').hub.counters.forwarded < 8 * 300 / 5, 'and does not cost more than its pings')
})

t.test('messages of any size, and many: none is lost, and a window bounds what is under way', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.open('a', 'd')
  clock.advance(1_000)
  const a = mesh.at('a').desks.get('d')!, d = mesh.at('d').desks.get('a')!
  const big = { highest: 1, blocks: Array.from({ length: 40_000 }, (_, i) => 2 ** 31 + i), flying: [] }
  let mostBytes = 0, sent = 0
  for (let i = 0; i < 3; i++) if (a.send('inventory', big) === 'sent') sent++
  for (let i = 0; i < 400; i++) {
    if (a.send('stored', { number: i }) === 'sent') sent++
    clock.advance(1)
    mostBytes = Math.max(mostBytes, mesh.at('b').hub.counters.forwardedBytes - mesh.at('c').hub.counters.forwardedBytes)
  }
  clock.advance(10_000)
  t.ok(sent > 3)
  t.equal(d.got.length, sent)
  t.same(d.got[0]?.body, big)
  t.ok(mostBytes <= defaultTunnelLimits.windowPieces * 16_384, `${mostBytes} bytes between b and c`)
  t.equal(stateOf(mesh, 'a', 'd'), 'ready')
})

/** a - b - d and a - c - d; the channel of a and d is over b, and messages go both ways while `happens`. @returns what the ends got. */
const broken = async (t: Test, happens: (mesh: Mesh) => void, ms: number): Promise<Mesh> => {
  const { mesh, clock } = await meshOf({ edges: ['ab', 'bd', 'ac', 'cd'] })
  mesh.open('a', 'd')
  clock.advance(1_000)
  t.ok(mesh.at('b').hub.counters.forwarded > 0)
  const ends = [mesh.at('a').desks.get('d')!, mesh.at('d').desks.get('a')!] as const
  let sent = 0
  const talk = (forMs: number): void => {
    for (let i = 0; i < forMs; i++) {
      sent++
      for (const end of ends) t.equal(end.send('stored', { number: sent }), 'sent')
      clock.advance(1)
    }
  }
  talk(20)
  happens(mesh)
  talk(ms)
  for (const end of ends) t.same(end.got.map((m) => (m.body as { number: number }).number), Array.from({ length: end.got.length }, (_, i) => i + 1), 'each once, in order')
  clock.advance(200)
  for (const end of ends) t.equal(end.got.length, sent, 'and none is lost')
  for (const [id, other] of [['a', 'd'], ['d', 'a']] as const) {
    t.same(mesh.at(id).events.filter((event) => event.includes('disconnected')), [], 'the channel has not noticed')
    t.equal(mesh.at(id).hub.counters.moved, 1)
    t.equal(mesh.at(id).hub.counters.badPath, 0)
    t.equal(stateOf(mesh, id, other), 'ready')
  }
  t.ok(mesh.at('c').hub.counters.forwarded > 0)
  return mesh
}

t.test('a node in the middle is lost: the channel goes over another path at once', async (t) => {
  await broken(t, (mesh) => { mesh.at('b').kill() }, 40)
})

t.test('a link beyond the neighbour is cut: word of the router is enough, nobody waits for a time limit', async (t) => {
  await broken(t, (mesh) => {
    mesh.network.partition('b', 'd')
    mesh.edges.delete('bd')
    for (const id of ['a', 'd']) mesh.at(id).control.topologyChanged()
  }, 40)
})

t.test('a link beyond the neighbour ends its connection before the router knows: word of the node there is enough', async (t) => {
  await broken(t, (mesh) => {
    mesh.network.partition('b', 'd')
    mesh.at('b').neighbours.hangUp('d', 'cut')
  }, 60)
})

t.test('a channel whose path is gone for good ends; it comes back when there is one', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.open('a', 'd')
  clock.advance(1_000)
  mesh.network.partition('b', 'c')
  mesh.edges.delete('bc')
  for (const id of ['a', 'd']) mesh.at(id).control.topologyChanged()
  clock.advance(defaultTunnelLimits.probeMs + defaultTunnelLimits.patienceMs)
  t.not(stateOf(mesh, 'a', 'd'), 'ready')
  mesh.network.join('b', 'c')
  mesh.edges.add('bc')
  mesh.at('a').control.topologyChanged()
  clock.advance(1_000)
  t.equal(stateOf(mesh, 'a', 'd'), 'ready')
})

t.test('without word of the router the signs of life find out', async (t) => {
  const { mesh, clock } = await meshOf({ edges: ['ab', 'bd', 'ac', 'cd'] })
  mesh.open('a', 'd')
  clock.advance(1_000)
  mesh.network.partition('b', 'd')
  clock.advance(30_000)
  t.equal(stateOf(mesh, 'a', 'd'), 'ready')
  t.ok(mesh.at('c').hub.counters.forwarded > 0)
})

t.test('no way at all: it fails with a reason, and comes back when the way does', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.edges.delete('bc')
  mesh.open('a', 'd')
  clock.advance(10_000)
  t.equal(mesh.at('a').control.manager.status('d').lastEnd, 'connect-failed')
  mesh.edges.add('bc')
  mesh.at('a').control.topologyChanged()
  clock.advance(500)
  t.equal(stateOf(mesh, 'a', 'd'), 'ready')
})

t.test('an end that starts again: the new incarnation replaces the old channel', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.open('a', 'd')
  clock.advance(1_000)
  mesh.at('d').kill()
  mesh.incarnation = 2
  await mesh.start('d')
  mesh.at('d').control.open('a')
  clock.advance(10_000)
  t.equal(stateOf(mesh, 'a', 'd'), 'ready')
  t.equal(mesh.at('a').control.manager.status('d').incarnation, 2)
})

t.test('only who is wanted: a KME that has not opened us refuses; `close` ends it on both sides', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.at('a').control.open('d')
  clock.advance(2_000)
  t.equal(mesh.at('a').control.manager.status('d').lastEnd, 'not-a-peer')
  t.equal(mesh.at('d').hub.sessions, 0)
  mesh.at('d').control.open('a')
  clock.advance(2_000)
  t.equal(stateOf(mesh, 'a', 'd'), 'ready')
  mesh.at('d').control.close('a', 'no pool any more')
  clock.advance(1_000)
  t.not(stateOf(mesh, 'a', 'd'), 'ready')
  t.same(mesh.at('d').control.remotes, [])
  t.throws(() => mesh.at('d').control.manager.status('a'), { code: 'NOT_FOUND' })
  t.throws(() => { mesh.at('d').control.open('d') }, { code: 'CONFIG_INVALID' })
})

t.test('moments without pads delay frames and lose none; a drought ends the session with a reason', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line })
  mesh.open('a', 'd')
  clock.advance(1_000)
  const a = mesh.at('a').desks.get('d')!, d = mesh.at('d').desks.get('a')!
  const pads = mesh.at('b').pads.get('c')!
  pads.dry = true
  for (let i = 0; i < 3; i++) a.send('stored', { number: i })
  clock.advance(500)
  t.equal(d.got.length, 0)
  t.ok(mesh.at('b').hub.waitingBytes('c') > 0)
  pads.dry = false
  clock.advance(100)
  t.equal(d.got.length, 3)
  t.equal(mesh.at('b').hub.waitingBytes('c'), 0)
  pads.dry = true
  a.send('stored', { number: 9 })
  clock.advance(defaultTunnelLimits.queueAgeMaxMs + 1_000)
  t.ok(mesh.at('a').events.includes('d disconnected:network'))
  t.ok(mesh.at('b').hub.counters.congested > 0)
})

t.test('a busy source keeps to its share by itself: nothing is dropped, small messages travel together', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line, tunnels: { sourceFramesPerS: 60 } })
  mesh.open('a', 'd')
  clock.advance(2_000)
  const a = mesh.at('a').desks.get('d')!, d = mesh.at('d').desks.get('a')!
  const before = mesh.at('b').hub.counters.forwarded
  let sent = 0
  for (let i = 0; i < 3_000; i++) {
    if (a.send('stored', { number: i }) === 'sent') sent++
    clock.advance(1)
  }
  clock.advance(2_000)
  t.same([sent, d.got.length], [3_000, 3_000])
  t.equal(mesh.at('b').hub.counters.congested, 0)
  t.ok(mesh.at('b').hub.counters.forwarded - before < 60 * 5 * 2, 'both directions')
  t.equal(mesh.at('a').control.manager.status('d').counters.connections, 1)
})

t.test('nobody can fill a node between: a flood is cut off at the source\'s share and told so once', async (t) => {
  const { mesh, clock } = await meshOf({ edges: line, tunnels: { sourceFramesPerS: 50, queueBytesMax: 40_000, sourceBytesMax: 20_000 } })
  const channel = mesh.at('a').desks.get('b')!.channel!
  const frame: Body<'tunnel'> = { path: ['a', 'b', 'c', 'd'], hop: 1, session: new Uint8Array(16), kind: 'probe', seq: 0, ack: 0, bytes: new Uint8Array(10_000) }
  mesh.at('b').pads.get('c')!.dry = true
  for (let i = 0; i < 100; i++) channel.send('tunnel', frame)
  clock.advance(500)
  t.ok(mesh.at('b').hub.waitingBytes('c') <= 20_000)
  t.equal(mesh.at('b').hub.counters.congested, 49 + 50, 'all but one: no room, and then no share')
  t.equal(mesh.at('b').hub.counters.faultsSent, 49 + 1)
})
