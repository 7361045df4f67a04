import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { createSimEndToEnd } from '../../sim/control-layer.js'
import type { EndToEnd } from '../../src/peer/control/ports.js'
import type { Parcel } from '../../src/peer/control/outlet.js'
import type { Body } from '../../src/peer/messages.js'
import { Mesh, type MeshOptions } from './control-nodes.js'

type Evil = NonNullable<MeshOptions['evil']>

/** a - b - c - d, and what b does with the n-th piece of a's after the channel is ready. */
const attacked = async (attack: (frame: Body<'tunnel'>, held: Body<'tunnel'>[]) => readonly Body<'tunnel'>[]): Promise<{ mesh: Mesh, clock: SimClock, got: number[], sent: number }> => {
  const clock = new SimClock(), held: Body<'tunnel'>[] = []
  let isOn = false
  const evil: Evil = (id, from, parcel) => isOn && id === 'b' && from === 'a' && parcel.name === 'tunnel' && parcel.body.kind === 'data'
    ? attack(parcel.body, held).map((body) => ({ name: 'tunnel', body }))
    : [parcel]
  const mesh = await new Mesh({ clock, edges: ['ab', 'bc', 'cd'], evil }).startAll()
  clock.advance(5_000)
  mesh.open('a', 'd')
  clock.advance(1_000)
  isOn = true
  const a = mesh.at('a').desks.get('d')!, d = mesh.at('d').desks.get('a')!
  let sent = 0
  for (let i = 1; i <= 3; i++) if (a.send('stored', { number: i }) === 'sent') sent++
  clock.advance(50)
  isOn = false
  return { mesh, clock, got: d.got.map((m) => (m.body as { number: number }).number), sent }
}

const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => i === at ? byte ^ 1 : byte)

t.test('what a node in between may do to the pieces: at most it ends the session, and nothing false arrives', async (t) => {
  const attacks: Record<string, Parameters<typeof attacked>[0]> = {
    'changes the last byte': (f) => [{ ...f, bytes: flip(f.bytes, f.bytes.length - 1) }],
    'changes a byte of a header': (f) => [{ ...f, bytes: flip(f.bytes, 12) }],
    'cuts a piece': (f) => [{ ...f, bytes: f.bytes.subarray(0, f.bytes.length - 1) }],
    'lengthens a piece': (f) => [{ ...f, bytes: Uint8Array.of(...f.bytes, 1, 0, 0, 0, 0) }],
    'swaps two pieces': (f, held) => { held.push(f); return held.length === 2 ? [held[1]!, held[0]!] : held.length === 1 ? [] : [f] },
    'swaps their contents': (f, held) => { held.push(f); return held.length === 2 ? [{ ...held[0]!, bytes: held[1]!.bytes }, { ...held[1]!, bytes: held[0]!.bytes }] : held.length === 1 ? [] : [f] },
    'repeats a piece': (f) => [f, f],
    'repeats it under the next number': (f) => [f, { ...f, seq: f.seq + 1 }],
    'drops one': (f, held) => { held.push(f); return held.length === 1 ? [] : [f] },
    'skips numbers': (f) => [{ ...f, seq: f.seq + 5 }],
    'empties a piece': (f) => [{ ...f, bytes: new Uint8Array() }],
    'acknowledges what was never sent': (f) => [{ ...f, ack: f.ack + 1_000 }],
  }
  for (const [what, attack] of Object.entries(attacks)) {
    const { mesh, clock, got } = await attacked(attack)
    t.ok(got.every((n, i) => n === i + 1), `${what}: what arrives is what was sent, in order: ${got.join()}`)
    t.ok(mesh.at('d').events.some((e) => e.startsWith('a disconnected')), `${what}: the session ends`)
    clock.advance(20_000)
    t.equal(mesh.at('a').control.manager.status('d').state, 'ready', `${what}: and a new one begins`)
    t.equal(mesh.at('a').neighbours.status('b').state, 'ready', 'the neighbours have nothing to do with it')
  }
})

t.test('the frame itself is refused by tag or number where the tunnel lets it through', async (t) => {
  const { mesh } = await attacked((f) => [{ ...f, bytes: flip(f.bytes, f.bytes.length - 1) }])
  t.ok(mesh.at('d').security.some((e) => e.startsWith('peer.tag a')), 'forged')
})

t.test('a session of an unknown number, another path, a wrong place on it: dropped', async (t) => {
  const clock = new SimClock()
  const mesh = await new Mesh({ clock, edges: ['ab', 'bc', 'cd', 'bd'] }).startAll()
  clock.advance(5_000)
  mesh.open('a', 'd')
  clock.advance(1_000)
  t.same(mesh.at('a').control.manager.status('d').state, 'ready')
  const channel = mesh.at('a').desks.get('b')!.channel!
  const frame = (over: Partial<Body<'tunnel'>>): Body<'tunnel'> =>
    ({ path: ['a', 'b', 'd'], hop: 1, session: new Uint8Array(16), kind: 'data', seq: 7, ack: 0, bytes: Uint8Array.of(1), ...over })
  const bad: Partial<Body<'tunnel'>>[] = [
    { path: ['x', 'b', 'd'] }, { path: ['x', 'y', 'b', 'd'], hop: 2 }, { path: ['a', 'x', 'd'] }, { path: ['a', 'b', 'c', 'b', 'd'] }, { hop: 2 }, { hop: 31 },
    { path: ['a', 'b', 'a'], hop: 1 },
  ]
  for (const over of bad) channel.send('tunnel', frame(over))
  clock.advance(100)
  t.equal(mesh.at('b').hub.counters.badPath, bad.length)
  t.equal(mesh.at('b').security.filter((e) => e.startsWith('tunnel.badPath a')).length, bad.length)
  channel.send('tunnel', frame({ path: ['a', 'b', 'z'] }))
  channel.send('tunnel', frame({}))
  clock.advance(100)
  t.equal(mesh.at('b').hub.counters.unroutable, 1)
  t.equal(mesh.at('d').hub.counters.faultsSent, 1, 'unknown')
  t.equal(mesh.at('d').hub.sessions, 1)
  t.same([mesh.at('a').control.manager.status('d').state, mesh.at('a').neighbours.status('b').state], ['ready', 'ready'])
})

t.test('a node that carried a session once cannot pull it back onto a path over itself', async (t) => {
  const clock = new SimClock(), seen: Body<'tunnel'>[] = []
  const evil: Evil = (id, from, parcel) => { if (id === 'd' && from === 'b' && parcel.name === 'tunnel') seen.push(structuredClone(parcel.body)); return [parcel] }
  const mesh = await new Mesh({ clock, edges: ['ab', 'bd', 'ac', 'cd'], evil }).startAll()
  clock.advance(5_000)
  mesh.open('a', 'd')
  clock.advance(1_000)
  mesh.edges.delete('ab')
  for (const id of ['a', 'd']) mesh.at(id).control.topologyChanged()
  clock.advance(100)
  const moved = (): number => mesh.at('d').hub.counters.moved
  t.equal(moved(), 1, 'now over c')
  const channel = mesh.at('b').desks.get('d')!.channel!, last = seen.at(-1)!
  for (const bytes of [new Uint8Array(32), last.bytes]) channel.send('tunnel', { ...last, hop: 2, kind: 'move', seq: 9, ack: 0, bytes })
  for (const body of seen) channel.send('tunnel', { ...body, hop: 2 })
  clock.advance(100)
  t.equal(moved(), 1)
  mesh.at('a').desks.get('d')!.send('stored', { number: 1 })
  clock.advance(100)
  t.equal(mesh.at('d').desks.get('a')!.got.length, 1, 'and the session goes on')
  t.equal(mesh.at('d').events.some((e) => e.startsWith('a disconnected')), false)
})

t.test('faults end only the session that they name, and only when a node of its path sends them over it', async (t) => {
  const clock = new SimClock()
  let session: Uint8Array | undefined
  const evil: Evil = (_id, _from, parcel) => { if (parcel.name === 'tunnel') session = parcel.body.session; return [parcel] }
  const mesh = await new Mesh({ clock, edges: ['ab', 'bc', 'ae'], evil }).startAll()
  clock.advance(5_000)
  mesh.open('a', 'c')
  clock.advance(1_000)
  const fault = (from: string, over: Partial<Body<'tunnelFault'>>): void => {
    mesh.at(from).desks.get('a')!.channel!.send('tunnelFault', { path: [from, 'a'], hop: 1, session: session!, at: from, reason: 'unroutable', ...over })
    clock.advance(10)
  }
  fault('e', {})
  fault('e', { at: 'b' })
  fault('b', { session: new Uint8Array(16) })
  fault('b', { at: 'e' })
  t.equal(mesh.at('a').control.manager.status('c').counters.ended.network, undefined, 'not by a stranger, not another one')
  fault('b', { reason: 'congested' })
  t.equal(mesh.at('a').control.manager.status('c').counters.ended.network, 1)
})

t.test('a session that was recorded and is played again opens nothing', async (t) => {
  const clock = new SimClock(), taped: Parcel[] = []
  const evil: Evil = (id, from, parcel) => { if (id === 'b' && from === 'a') taped.push(structuredClone(parcel)); return [parcel] }
  const mesh = await new Mesh({ clock, edges: ['ab', 'bc'], evil }).startAll()
  clock.advance(5_000)
  mesh.open('a', 'c')
  clock.advance(1_000)
  mesh.at('a').desks.get('c')!.send('horizon', { lane: 0, from: 5, blocks: [1] })
  clock.advance(100)
  const c = mesh.at('c')
  t.equal(c.desks.get('a')!.got.length, 1)
  mesh.at('a').kill()
  clock.advance(5_000)
  const channel = mesh.at('b').desks.get('c')!.channel!
  for (const { body } of taped.splice(0)) channel.send('tunnel', { ...body as Body<'tunnel'>, hop: 2 })
  clock.advance(10_000)
  t.equal(c.desks.get('a')!.got.length, 1, 'nothing of it is taken: the hello of this end is new')
  t.equal(c.desks.get('a')!.channel, undefined)
})

t.test('the far end does not know the secret of the name it goes by: no channel', async (t) => {
  const clock = new SimClock()
  const mesh = await new Mesh({ clock, edges: ['ab', 'bc'], endToEnd: (id) => createSimEndToEnd(id, id === 'c' ? 'another' : 'right', clock) }).startAll()
  clock.advance(5_000)
  mesh.open('a', 'c')
  clock.advance(200)
  mesh.at('a').desks.get('c')?.send('horizon', { lane: 0, from: 5, blocks: [1] })
  clock.advance(20)
  t.same(mesh.at('c').desks.get('a')?.got ?? [], [])
  t.ok(mesh.at('c').security.some((e) => e.startsWith('peer.tag a')))
})

t.test('handshakes that are never finished: few per name, and who opens them is told nothing more', async (t) => {
  const clock = new SimClock()
  const never: EndToEnd = {
    reload: () => {},
    secure: (attach) => {
      const tunnel = attach({ data: () => {}, writable: () => {}, ended: () => {} })
      return () => { tunnel.end('given up') }
    },
  }
  const mesh = await new Mesh({ clock, edges: ['ab', 'bc'], endToEnd: (id) => id === 'c' ? never : createSimEndToEnd(id, 'secret', clock) }).startAll()
  clock.advance(5_000)
  mesh.at('c').control.open('a')
  clock.advance(1)
  const channel = mesh.at('a').desks.get('b')!.channel!
  for (let i = 1; i <= 100; i++) channel.send('tunnel', { path: ['a', 'b', 'c'], hop: 1, session: new Uint8Array(16).fill(i), kind: 'data', seq: 1, ack: 0, bytes: Uint8Array.of(1) })
  clock.advance(20)
  t.equal(mesh.at('c').hub.sessions, 2)
  mesh.at('c').control.stop()
  clock.advance(20)
  t.equal(mesh.at('c').hub.sessions, 0)
})
