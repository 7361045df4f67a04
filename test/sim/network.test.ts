import t from 'tap'
import { samples } from '../peer/desk.js'
import { makeWorld, type Node, type World } from '../peer/nodes.js'

const A = 'kme-a', B = 'kme-b'

const connected = async (seed = 1, net = {}, limits = {}): Promise<{ world: World, a: Node, b: Node }> => {
  const world = makeWorld(seed, limits, net)
  const a = await world.start(A, B), b = await world.start(B, A)
  world.clock.advance(1_000)
  return { world, a, b }
}

t.test('a quiet connection lives on pings, one that is cut ends by both sides\' clocks', async (t) => {
  const { world, a, b } = await connected()
  world.clock.advance(3_600_000)
  t.same([a.desk.closed, b.desk.closed], [[], []], 'an hour without a message')
  world.network.partition(A, B)
  world.clock.advance(30_000)
  t.same([a.desk.closed, b.desk.closed], [['idle'], ['idle']])
  t.ok(a.events.includes('connecting'))
  world.network.join(A, B)
  world.clock.advance(60_000)
  t.same([a.manager.status(B).state, b.manager.status(A).state], ['ready', 'ready'])
  t.equal(world.network.wires, 1)
})

t.test('a one-way cut ends the connection on both sides', async (t) => {
  for (const [from, to] of [[A, B], [B, A]] as const) {
    const { world, a, b } = await connected()
    world.network.cut(from, to)
    world.clock.advance(60_000)
    t.same([a.desk.closed, b.desk.closed].map((x) => x.length), [1, 1])
    world.network.heal(from, to)
    world.clock.advance(60_000)
    t.same([a.manager.status(B).state, b.manager.status(A).state], ['ready', 'ready'])
  }
})

t.test('what was sent during a short cut arrives in order', async (t) => {
  const { world, a, b } = await connected()
  world.network.cut(A, B)
  for (let i = 0; i < 20; i++) a.desk.send('stored', { number: i })
  world.clock.advance(5_000)
  t.equal(b.desk.got.length, 0)
  world.network.heal(A, B)
  a.desk.send('stored', { number: 20 })
  world.clock.advance(100)
  t.same(b.desk.got.map((m) => (m.body as { number: number }).number), Array.from({ length: 21 }, (_, i) => i))
  t.same(b.desk.closed, [])
})

t.test('lost, doubled and overtaking frames end the connection with the right reason, and it comes back', async (t) => {
  for (const [fault, reason] of [['loss', 'gap'], ['duplicate', 'replayed'], ['reorder', 'gap']] as const) {
    const { world, a, b } = await connected(3, { faults: { delayMs: 5 } })
    world.network.setFaults(A, B, { [fault]: 0.5 })
    for (let i = 0; i < 20; i++) a.desk.send('stored', { number: i })
    world.clock.advance(100)
    t.same(b.desk.closed, [reason], fault)
    t.ok(b.desk.got.every((m, i) => (m.body as { number: number }).number === i), 'what came before is in order')
    world.network.setFaults(A, B, { [fault]: 0 })
    world.clock.advance(60_000)
    t.equal(b.manager.status(A).state, 'ready')
    t.equal(b.security.filter((line) => line === 'peer.replayed kme-a refused').length, reason === 'replayed' ? 1 : 0)
  }
})

t.test('an attacker on the line: changed and injected frames are refused, counted and reported', async (t) => {
  const { world, a, b } = await connected()
  a.desk.send('horizon', samples.horizon)
  world.clock.advance(10)
  world.network.tap = (from, _to, bytes) => {
    if (from === B) return [bytes]
    const changed = bytes.slice()
    changed[changed.length - 20] = (changed[changed.length - 20] as number) ^ 1
    return [changed]
  }
  a.desk.send('horizon', samples.horizon)
  world.clock.advance(10)
  t.same([b.desk.got.length, b.desk.closed], [1, ['tag']])
  t.equal(b.manager.status(A).counters.ended.tag, 1)
  t.same(b.security, ['peer.tag kme-a refused'])
  t.same(a.security, ['peer.tag kme-b detected'], 'and the honest side hears that it happened')
})

t.test('a peer that does not read: our queue stays bounded and the connection ends', async (t) => {
  const { world, a } = await connected(1, { windowBytes: 10_000 }, { sendQueueBytesMax: 20_000 })
  world.network.cut(A, B)
  let sent = 0
  while (a.desk.send('chainHead', samples.chainHead) === 'sent') sent++
  t.ok(a.manager.status(B).bufferedBytes <= 20_000 && sent * 100 < 40_000)
  world.clock.advance(30_000)
  t.same(a.desk.closed, ['idle'])
})

t.test('a full queue that drains is told', async (t) => {
  const { world, a, b } = await connected(1, { windowBytes: 0 }, { sendQueueBytesMax: 5_000 })
  while (a.desk.send('chainHead', samples.chainHead) === 'sent');
  world.clock.advance(100)
  t.equal(a.desk.writable, 1)
  t.ok(b.desk.got.length > 20)
})

t.test('a certificate that is revoked while connected ends the connection, and dialling stays refused', async (t) => {
  const { world, a, b } = await connected()
  world.network.revoke(A)
  world.clock.advance(61_000)
  t.same([b.desk.closed, a.desk.closed], [['certificate'], ['certificate']])
  t.equal(a.manager.status(B).state === 'ready', false)
  world.network.revoke(A, false)
  world.clock.advance(60_000)
  t.equal(b.manager.status(A).state, 'ready')
  world.network.revoke(A)
  b.manager.recheck()
  t.equal(b.desk.closed.length, 2, 'at once when asked')
})

t.test('a dialler that says no hello is let go; one that cannot be reached times out', async (t) => {
  const world = makeWorld()
  const b = await world.start(B, A, { dials: false })
  const ends: string[] = []
  world.network.node(A).dialler.dial({ id: B, url: '' }, {
    opened: () => ({ frame: () => {}, heard: () => {}, drained: () => {}, closed: (reason) => { ends.push(reason) } }),
    failed: (reason) => { ends.push(reason) },
  })
  world.clock.advance(10_000)
  t.same([ends, b.manager.status(A).lastEnd, b.events], [['hello-timeout'], 'hello-timeout', ['authenticating', 'disconnected:hello-timeout']])
  world.network.partition(A, B)
  const a = await world.start(A, B)
  world.clock.advance(11_000)
  t.equal(a.manager.status(B).lastEnd, 'connect-timeout')
})

t.test('of two connections that have not said hello yet, the newer one of the same side stays', async (t) => {
  const world = makeWorld()
  const b = await world.start(B, A, { dials: false })
  const ends: string[] = []
  for (const name of ['first', 'second']) {
    world.network.node(A).dialler.dial({ id: B, url: '' }, {
      opened: () => ({ frame: () => {}, heard: () => {}, drained: () => {}, closed: (reason) => { ends.push(`${name} ${reason}`) } }),
      failed: (reason) => { ends.push(reason) },
    })
    world.clock.advance(100)
  }
  t.same(ends, ['first replaced'])
  t.equal(b.manager.status(A).state, 'authenticating')
})

t.test('a killed process: its peer sees a broken connection; nothing of it stays', async (t) => {
  const { world, a, b } = await connected()
  world.network.kill(A)
  a.stopDialling()
  world.clock.advance(10)
  t.same([a.desk.closed, b.desk.closed], [[], ['network']])
  t.equal(world.network.wires, 0)
})

t.test('a run repeats exactly under its seed', async (t) => {
  const run = async (seed: number): Promise<string> => {
    const { world, a, b } = await connected(seed, { faults: { delayMs: 2, jitterMs: 30, loss: 0.05, duplicate: 0.02, reorder: 0.05 } })
    for (let i = 0; i < 300; i++) {
      a.desk.send('stored', { number: i })
      b.desk.send('horizon', samples.horizon)
      world.clock.advance(100)
      if (i === 100) world.network.cut(A, B)
      if (i === 250) world.network.heal(A, B)
    }
    return JSON.stringify([a.events, b.events, a.desk.got.length, b.desk.got.length, a.waitsMs, a.manager.status(B).counters])
  }
  const first = await run(7)
  t.equal(await run(7), first)
  t.not(await run(8), first)
  t.ok(first.includes('gap'), 'with faults in it')
})
