import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { revokeCertificate } from '../../src/crypto/pki-crl.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { createTlsEndToEnd } from '../../src/peer/control/tls-layer.js'
import type { PeerCredentials } from '../../src/peer/credentials.js'
import { samples } from './desk.js'
import { Mesh, type MeshOptions } from './control-nodes.js'
import { makeSite, until } from './tls-nodes.js'

const root = t.testdir({ one: {}, two: {} })
const site = await makeSite(`${root}/one`, ['a', 'b', 'c', 'd', 'x'])
const line = ['ab', 'bc', 'cd']

const meshOf = async (t: Test, options: Partial<MeshOptions> & { credentials?: (id: string) => PeerCredentials } = {}): Promise<Mesh> => {
  const { credentials = site.credentials, ...rest } = options
  const mesh = new Mesh({
    clock: systemClock, edges: line, ...rest,
    endToEnd: (id) => createTlsEndToEnd({ credentials: credentials(id), clock: systemClock, handshakeTimeoutMs: 3_000, closeTimeoutMs: 500 }),
  })
  t.teardown(() => { mesh.stop() })
  await mesh.startAll()
  await until(() => mesh.o.edges.every(([a, b]) => mesh.at(a!).neighbours.status(b!).state === 'ready'))
  return mesh
}
const stateOf = (mesh: Mesh, a: string, b: string): string => mesh.at(a).control.manager.status(b).state
const ready = (mesh: Mesh, a: string, b: string): Promise<void> => until(() => stateOf(mesh, a, b) === 'ready' && stateOf(mesh, b, a) === 'ready')

t.test('TLS end to end over three hops: all messages, both ways, and large ones', async (t) => {
  const mesh = await meshOf(t)
  mesh.open('a', 'd')
  await ready(mesh, 'a', 'd')
  const a = mesh.at('a').desks.get('d')!, d = mesh.at('d').desks.get('a')!
  for (const [name, body] of Object.entries(samples)) {
    t.equal(a.send(name as keyof typeof samples, body), 'sent')
    t.equal(d.send(name as keyof typeof samples, body), 'sent')
  }
  const big = { highest: 1, blocks: Array.from({ length: 40_000 }, (_, i) => 2 ** 31 + i), flying: [] }
  t.equal(a.send('inventory', big), 'sent')
  t.equal(d.send('inventory', big), 'sent')
  await until(() => d.got.length === 8 && a.got.length === 8)
  t.same(d.got.map((m) => m.body), [...Object.values(samples), big])
  t.same(a.got.map((m) => m.body), [...Object.values(samples), big])
  const { counters } = mesh.at('b').hub
  t.ok(counters.forwardedBytes < 2 * 260_000, 'two inventories, and little more')
  const frames = counters.forwarded
  for (let i = 0; i < 50; i++) a.send('stored', { number: i })
  await until(() => d.got.length === 58)
  t.ok(counters.forwarded - frames < 25, `messages of one turn leave together (${counters.forwarded - frames} frames for 50)`)
})

t.test('a reason reaches the other end, and an end that stops is known at once', async (t) => {
  const mesh = await meshOf(t)
  mesh.open('a', 'd')
  await ready(mesh, 'a', 'd')
  mesh.at('d').desks.get('a')!.react = () => { mesh.at('d').desks.get('a')!.channel?.close('enough') }
  mesh.at('a').desks.get('d')!.send('stored', { number: 1 })
  await until(() => mesh.at('a').events.some((e) => e.startsWith('d disconnected')))
  t.ok(mesh.at('a').events.includes('d disconnected:closed'))
  await ready(mesh, 'a', 'd')
  const ends = mesh.at('a').events.length
  mesh.at('d').control.stop()
  await until(() => mesh.at('a').events.slice(ends).includes('d disconnected:stopped'))
})

t.test('who is at the other end must be who the tunnel leads to', async (t) => {
  const cases: Record<string, [(id: string) => PeerCredentials, string]> = {
    'another KME of the same CA, as the one that is dialled': [(id) => site.credentials(id === 'd' ? 'x' : id), 'a'],
    'another KME of the same CA, as the one that dials': [(id) => site.credentials(id === 'a' ? 'x' : id), 'd'],
  }
  const other = await makeSite(`${root}/two`, ['a', 'd'])
  cases['a KME of another CA, dialled'] = [(id) => id === 'd' ? other.credentials(id) : site.credentials(id), 'a']
  cases['a KME of another CA, dialling'] = [(id) => id === 'a' ? other.credentials(id) : site.credentials(id), 'd']
  for (const [what, [credentials, finder]] of Object.entries(cases)) {
    const mesh = await meshOf(t, { credentials })
    mesh.open('a', 'd')
    await until(() => mesh.at(finder).security.some((e) => e.startsWith('peer.certificate')))
    t.not(stateOf(mesh, 'a', 'd'), 'ready', what)
    t.same([mesh.at('a').desks.get('d')?.hellos ?? [], mesh.at('d').desks.get('a')?.hellos ?? []], [[], []], 'no hello was taken')
    mesh.stop()
  }
})

t.test('a byte that is changed on the way ends the session, and the next one works', async (t) => {
  let isOn = false
  const mesh = await meshOf(t, {
    evil: (id, from, parcel) => isOn && id === 'b' && from === 'a' && parcel.name === 'tunnel' && parcel.body.kind === 'data'
      ? [{ name: 'tunnel', body: { ...parcel.body, bytes: parcel.body.bytes.map((byte, i) => i === 20 ? byte ^ 1 : byte) } }] : [parcel],
  })
  mesh.open('a', 'd')
  await ready(mesh, 'a', 'd')
  isOn = true
  mesh.at('a').desks.get('d')!.send('stored', { number: 1 })
  await until(() => mesh.at('d').events.some((e) => e.startsWith('a disconnected')))
  isOn = false
  t.equal(mesh.at('d').desks.get('a')!.got.length, 0)
  await ready(mesh, 'a', 'd')
})

t.test('nothing of what is said can be read on the way', async (t) => {
  const seen: Buffer[] = []
  const mesh = await meshOf(t, { evil: (_id, _from, parcel) => { if (parcel.name === 'tunnel') seen.push(Buffer.from(parcel.body.bytes)); return [parcel] } })
  mesh.open('a', 'd')
  await ready(mesh, 'a', 'd')
  const head = new Uint8Array(32).fill(0xa5)
  mesh.at('a').desks.get('d')!.send('chainHead', { records: 1, head })
  await until(() => mesh.at('d').desks.get('a')!.got.length === 1)
  t.ok(seen.length > 4)
  t.notOk(Buffer.concat(seen).includes(Buffer.from(head)))
})

t.test('the middle node dies within a large message: the session goes over another path, and TLS has lost nothing', async (t) => {
  const mesh = await meshOf(t, { edges: ['ab', 'bd', 'ac', 'cd'] })
  mesh.open('a', 'd')
  await ready(mesh, 'a', 'd')
  const a = mesh.at('a').desks.get('d')!, d = mesh.at('d').desks.get('a')!
  const big = { highest: 1, blocks: Array.from({ length: 40_000 }, (_, i) => 2 ** 31 + i), flying: [] }
  for (const end of [a, d]) t.equal(end.send('inventory', big), 'sent')
  await until(() => mesh.at('b').hub.counters.forwardedBytes > 100_000)
  mesh.at('b').kill()
  await until(() => mesh.at('a').hub.counters.moved === 1 && d.got.length === 1 && a.got.length === 1)
  t.equal(a.send('stored', { number: 1 }), 'sent')
  await until(() => d.got.length === 2)
  t.same([a.got, d.got.slice(0, 1)].map((got) => got.map((m) => m.body)), [[big], [big]])
  for (const [id, other] of [['a', 'd'], ['d', 'a']] as const) {
    t.equal(mesh.at(id).control.manager.status(other).counters.connections, 1, 'without another handshake')
    t.equal(mesh.at(id).hub.sessions, 1)
  }
})

t.test('a certificate that is revoked ends the open channel at the next look', async (t) => {
  const own = await makeSite(t.testdir(), ['a', 'b', 'c', 'd'])
  const mesh = await meshOf(t, { credentials: own.credentials })
  mesh.open('a', 'd')
  await ready(mesh, 'a', 'd')
  const shown = own.trust.check(readFileSync(own.credentials('d').certificateFile, 'utf8'))
  if (!shown.ok) throw new Error(shown.message)
  await revokeCertificate({ folder: own.folder, clock: systemClock, random: systemRandom } as never, 'kme', shown.serialHex, 'keyCompromise', 30)
  await own.trust.reload()
  mesh.at('a').control.manager.recheck()
  t.not(stateOf(mesh, 'a', 'd'), 'ready')
  t.equal(mesh.at('a').control.manager.status('d').lastEnd, 'certificate')
})
