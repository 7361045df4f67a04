/** The certificate of a connection is read once, and never taken for another's (invariant I7). */
import t from 'tap'
import { KnownConnections } from '../../src/http/known-connections.js'
import { claimPort, createTlsApp, listenTls } from '../../src/http/tls-app.js'
import type { UwsResponse } from '../../src/http/uws-types.js'
import { loadConnectionOf } from '../../src/http/uws.js'
import { request, startLab, TestPki, type Client } from './lab.js'

const pki = await TestPki.create()
t.teardown(() => { pki.remove() })
const callers = await Promise.all(['sae-a', 'sae-b', 'sae-c'].map(async (id) => ({ id, issued: await pki.issue(id) })))
const ENC = request('GET', '/api/v1/keys/sae-x/enc_keys')

t.test('connections that come, go and come again, each of another SAE: every request is of its own caller', async (t) => {
  const lab = await startLab(t, pki)
  lab.sessions.set('sae-c', 'active')
  const open: { id: string, client: Client }[] = []
  const ask = async ({ id, client }: typeof open[number]): Promise<void> => {
    client.send(ENC)
    t.equal((await client.answer())?.status, 200)
    t.equal(lab.service.encRequests.at(-1)?.caller, id)
  }
  for (let step = 0; step < 30; step++) {
    const { id, issued } = callers[step % 3]!
    open.push({ id, client: await lab.connect(issued) })
    for (const one of open.slice(-3)) for (let i = 0; i < 3; i++) await ask(one)
    // The library takes the memory of a closed connection for the next one, in which another SAE comes.
    if (step % 4 !== 3) open.splice(step * 7 % open.length, 1)[0]!.client.destroy()
  }
  for (const one of open) await ask(one)
  t.same(lab.faults, [])
})

t.test('over real TLS: one name while it is open, none that is left over, the text read once in 256 requests', async (t) => {
  const lab = await startLab(t, pki), app = createTlsApp(lab.options.tls), nameOf = loadConnectionOf()
  const known = new KnownConnections(nameOf, (error) => { throw error }), open = new Set<number>(), places = new Set<number>()
  let reads = 0, closed = 0
  app.filter((res, change) => {
    const name = nameOf(res)
    t.ok(change > 0 ? name !== 0 && !open.has(name) : open.has(name), 'opened once, closed once')
    if (change > 0) { open.add(name); places.add(name); known.opened(res) }
    else { open.delete(name); closed++; known.closed(res) }
  })
  app.get('/*', (res) => {
    const read = res.getX509Certificate.bind(res)
    Object.assign(res, { getX509Certificate: () => { reads++; return read() } })
    if (known.certificate(res) !== read()) reads = NaN
    res.end('x')
    if (nameOf(res) !== 0) reads = NaN // It may be another connection's by now.
  })
  const listening = listenTls(app, '127.0.0.1', await claimPort('127.0.0.1', 0))
  t.teardown(() => { app.close() })
  const clients: Client[] = []
  for (let i = 0; i < 9; i++) {
    const client = await lab.connect(callers[i % 3]!.issued, { port: listening.port })
    client.send(ENC)
    t.equal((await client.answer())?.status, 200)
    if (i < 6) client.destroy()
    else clients.push(client)
    while (closed < Math.min(i + 1, 6)) await new Promise<void>((resolve) => { setImmediate(resolve) })
  }
  t.equal(reads, 9)
  t.ok(places.size < 9, 'the memory of closed connections was taken again')
  for (let i = 0; i < 600; i++) { clients[0]!.send(ENC); await clients[0]!.answer() }
  t.equal(reads, 9 + 2)
  t.same([known.size, open.size], [3, 3])
  for (const client of clients) client.destroy()
  while (closed < 9) await new Promise<void>((resolve) => { setImmediate(resolve) })
  t.same([known.size, open.size], [0, 0])
})

t.test('what nobody opened, has no certificate or was opened anew is asked for; a change is told and counts', (t) => {
  const told: string[] = [], asked: string[] = []
  const res = (name: number, pem: string): UwsResponse => ({ name, getX509Certificate: () => { asked.push(pem); return pem } } as unknown as UwsResponse)
  const known = new KnownConnections((res) => (res as unknown as { name: number }).name, (error) => { told.push(error.message) })
  const texts = (...of: UwsResponse[]): string[] => of.map((one) => known.certificate(one))
  t.same(texts(res(1, 'a'), res(1, 'b')), ['a', 'b'], 'not opened')
  known.opened(res(1, ''))
  t.same(texts(res(1, ''), res(1, 'a'), res(1, 'unread')), ['', 'a', 'a'])
  known.opened(res(1, ''))
  t.same(texts(res(1, 'b'), res(1, 'unread')), ['b', 'b'], 'opened again without a close')
  known.closed(res(1, ''))
  t.same(texts(res(1, 'c')), ['c'])
  known.opened(res(0, ''))
  t.equal(known.size, 0, 'a dead response has no name')
  t.notOk(asked.includes('unread'))
  known.opened(res(2, ''))
  const many = Array.from({ length: 300 }, (_, i) => known.certificate(res(2, i < 100 ? 'a' : 'b')))
  t.same([many[0], many[255], many[256], many[299]], ['a', 'a', 'b', 'b'])
  t.match(told, [/keeps its certificate/])
  t.end()
})
