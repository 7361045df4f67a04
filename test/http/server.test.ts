/** Life of the REST server: ports, certificates, age of connections, stopping, limits, numbers. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { issueCertificate } from '../../src/crypto/pki.js'
import { startRest } from '../../src/http/server.js'
import { claimPort, createTlsApp } from '../../src/http/tls-app.js'
import { quietLog } from '../../src/kernel/log.js'
import type { HistogramSample, MetricSink, Sample } from '../../src/kernel/metrics.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import type { Clock } from '../../src/kernel/time.js'
import type { KeyReply } from '../../src/pool/service.js'
import { FakeService, KEY_ID, request, startLab, TestPki, type Client, type Lab } from './lab.js'

const pki = await TestPki.create()
t.teardown(() => { pki.remove() })
const saeA = await pki.issue('sae-a'), saeB = await pki.issue('sae-b')
const ENC = '/api/v1/keys/sae-x/enc_keys', DEC = `/api/v1/keys/sae-x/dec_keys?key_ID=${KEY_ID}`
const until = async (done: () => boolean): Promise<void> => { while (!done()) await new Promise<void>((resolve) => { setTimeout(resolve, 2) }) }

/** Real time, but timers fire when the test says so. */
class HandClock implements Clock {
  readonly timers = new Map<number, { readonly delayMs: number, readonly fn: () => void }>()
  aheadMs = 0
  #next = 0
  wallMs (): number { return systemClock.wallMs() }
  monoMs (): number { return systemClock.monoMs() + this.aheadMs }
  after (delayMs: number, fn: () => void): () => void {
    const id = this.#next++
    this.timers.set(id, { delayMs, fn })
    return () => { this.timers.delete(id) }
  }

  fire (delayMs: number): void {
    for (const [id, timer] of [...this.timers]) {
      if (timer.delayMs !== delayMs) continue
      this.timers.delete(id)
      timer.fn()
    }
  }
}
const ask = async (client: Client, path = ENC): Promise<{ status: number | undefined, close: boolean }> => {
  client.send(request('GET', path))
  const answer = await client.answer()
  return { status: answer?.status, close: answer?.headers.get('connection') === 'close' }
}
const serialOf = (client: Client): string => client.socket.getPeerCertificate().serialNumber
const startAgain = (lab: Lab, more: object): ReturnType<typeof startRest> => startRest({ ...lab.options, ...more }, {
  service: new FakeService(), identity: lab.trust, clock: systemClock, log: quietLog, sessions: { state: () => 'active' }, onFault: () => {},
})

t.test('a port that is taken is a clear error, by a server of our own too', async (t) => {
  const lab = await startLab(t, pki)
  await t.rejects(startAgain(lab, { port: lab.server.port }), { code: 'PORT_TAKEN', message: new RegExp(`port ${lab.server.port} on 127.0.0.1 is taken`) })
  const other = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  const { port } = other.address() as { port: number }
  await t.rejects(claimPort('127.0.0.1', port), { code: 'PORT_TAKEN' })
  other.close()
  await t.rejects(startAgain(lab, { host: '192.0.2.1', port: 8443 }), { code: 'CONFIG_INVALID' })
})

t.test('TLS files that are missing, broken or do not fit are named', async (t) => {
  const lab = await startLab(t, pki)
  const { tls } = lab.options
  const bad = lab.file('bad.pem')
  writeFileSync(bad, 'nothing')
  const cases = { certificateFile: [bad, '/nowhere', saeA.certificate], keyFile: [bad, '/nowhere', saeA.key], caFile: [bad, '/nowhere'] }
  for (const [name, files] of Object.entries(cases)) {
    for (const file of files) t.throws(() => createTlsApp({ ...tls, [name]: file }), { code: 'CERTIFICATE_INVALID', message: new RegExp(file) })
  }
})

t.test('renew: a new certificate is served at once, open connections end with their next answer', async (t) => {
  const clock = new HandClock()
  const lab = await startLab(t, pki, { clock })
  const [busy, idle] = [await lab.connect(saeA), await lab.connect(saeA)]
  t.equal((await ask(busy)).close, false)
  const old = serialOf(busy)
  const next = await issueCertificate(pki.context, { profile: 'kme-server', id: 'kme-next' })
  lab.server.renew({ ...lab.options.tls, certificateFile: next.certificate, keyFile: next.key })
  const fresh = await lab.connect(saeA)
  t.not(serialOf(fresh), old)
  t.equal((await ask(fresh)).close, false)
  t.same(await ask(busy), { status: 200, close: true })
  await busy.whenClosed()
  t.equal(idle.closed, false)
  clock.fire(lab.options.connectionAgeMs * 0.1)
  await idle.whenClosed()
  t.equal((await ask(fresh)).status, 200)
  t.equal(lab.server.counters.connections, 1)
})

t.test('renew with broken files changes nothing', async (t) => {
  const lab = await startLab(t, pki)
  const client = await lab.connect(saeA)
  t.throws(() => { lab.server.renew({ ...lab.options.tls, keyFile: saeA.key }) }, { code: 'CERTIFICATE_INVALID' })
  t.same(await ask(client), { status: 200, close: false })
  t.same(await ask(await lab.connect(saeA)), { status: 200, close: false })
})

t.test('many renewals in a row leave at most a few listeners to end', async (t) => {
  const lab = await startLab(t, pki)
  const first = await lab.connect(saeA)
  for (let i = 0; i < 6; i++) lab.server.renew()
  await first.whenClosed()
  t.equal((await ask(await lab.connect(saeA))).status, 200)
})

t.test('no connection outlives the age limit: a listener takes over at nine tenths, the last tenth ends the rest', async (t) => {
  const clock = new HandClock()
  const lab = await startLab(t, pki, { clock, connectionAgeMs: 10_000 })
  const client = await lab.connect(saeA)
  clock.fire(9_000)
  const fresh = await lab.connect(saeA)
  clock.fire(1_000)
  await client.whenClosed()
  t.same(await ask(fresh), { status: 200, close: false })
  clock.fire(9_000)
  t.same(await ask(fresh), { status: 200, close: true }, 'and so on')
})

t.test('when the files are broken at the take-over, each connection ends after one answer until they are whole', async (t) => {
  const clock = new HandClock()
  const lab = await startLab(t, pki, { clock, connectionAgeMs: 10_000 })
  const { keyFile } = lab.options.tls
  copyFileSync(keyFile, `${keyFile}.kept`)
  writeFileSync(keyFile, 'broken')
  clock.fire(9_000)
  t.same(await ask(await lab.connect(saeA)), { status: 200, close: true })
  writeFileSync(keyFile, readFileSync(`${keyFile}.kept`))
  clock.fire(9_000)
  t.same(await ask(await lab.connect(saeA)), { status: 200, close: false })
})

t.test('an answer under way during a take-over arrives', async (t) => {
  const lab = await startLab(t, pki)
  const owed: KeyReply[] = []
  lab.service.onDec = (_request, reply) => { owed.push(reply) }
  const client = await lab.connect(saeA)
  client.send(request('GET', DEC))
  await until(() => owed.length === 1)
  lab.server.renew()
  lab.service.deliver(owed[0] as KeyReply)
  t.equal((await client.answer())?.status, 200)
  t.same(lab.service.abortedDeliveries, [])
})

t.test('stop: what is under way is answered, new requests are 503, then everything is closed', async (t) => {
  const lab = await startLab(t, pki)
  const owed: KeyReply[] = []
  lab.service.onDec = (_request, reply) => { owed.push(reply) }
  const [busy, idle] = [await lab.connect(saeA), await lab.connect(saeA)]
  busy.send(request('GET', DEC))
  await until(() => owed.length === 1)
  const stopped = lab.server.stop(60_000)
  t.equal(lab.server.stop(0), stopped)
  const refused = await idle.send(request('GET', ENC)), answer = await idle.answer()
  t.equal(refused, undefined)
  t.same([answer?.status, answer?.headers.get('connection')], [503, 'close'])
  await t.rejects(lab.connect(saeA))
  lab.service.deliver(owed[0] as KeyReply)
  t.equal((await busy.answer())?.status, 200)
  await stopped
  await Promise.all([busy.whenClosed(), idle.whenClosed()])
  t.same(lab.service.abortedDeliveries, [])
})

t.test('stop: what is not answered within the grace is cut off and burned', async (t) => {
  const lab = await startLab(t, pki)
  let owed: KeyReply | undefined
  lab.service.onDec = (_request, reply) => { owed = reply }
  const client = await lab.connect(saeA)
  client.send(request('GET', DEC))
  await until(() => owed !== undefined)
  await lab.server.stop(20)
  await client.whenClosed()
  t.equal(lab.service.deliver(owed as KeyReply), 0)
  t.same(lab.service.abortedDeliveries, [0])
})

t.test('connections above the limit are closed at once; room is made by those that end', async (t) => {
  const lab = await startLab(t, pki, { limits: { connections: 2 } })
  const open = [await lab.connect(saeA), await lab.connect(saeB)]
  await t.rejects(lab.connect(saeA))
  t.equal(lab.server.counters.refusals('too-many'), 1)
  for (const client of open) t.equal((await ask(client)).status, 200)
  open[0]?.destroy()
  await until(() => lab.server.counters.connections === 1)
  t.equal((await ask(await lab.connect(saeA))).status, 200)
})

t.test('new connections per address are limited', async (t) => {
  const clock = new HandClock()
  const lab = await startLab(t, pki, { clock, limits: { connectionRate: { perS: 0.001, burst: 2 } } })
  await lab.connect(saeA)
  const client = await lab.connect(saeA)
  await t.rejects(lab.connect(saeA))
  t.equal(lab.server.counters.refusals('too-fast'), 1)
  t.equal((await ask(client)).status, 200, 'open ones go on')
  clock.aheadMs = 1_100_000
  await lab.connect(saeA)
})

t.test('requests per SAE are limited: beyond, 503 with Retry-After, and other SAEs are served', async (t) => {
  const clock = new HandClock()
  const lab = await startLab(t, pki, { clock, limits: { requestRate: { perS: 0.1, burst: 2 } } })
  t.same([(await lab.call(saeA, 'GET', ENC)).status, (await lab.call(saeA, 'GET', ENC)).status], [200, 200])
  const answer = await lab.call(saeA, 'GET', ENC)
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '10')
  t.equal((await lab.call(saeB, 'GET', ENC)).status, 200)
  t.match(lab.events, [{ event: 'request.throttled', subject: 'sae-a' }])
  clock.aheadMs = 10_000
  t.equal((await lab.call(saeA, 'GET', ENC)).status, 200)
  t.equal(lab.service.encRequests.length, 4)
})

t.test('key bits per SAE are limited; what the service refuses is given back', async (t) => {
  const clock = new HandClock()
  const lab = await startLab(t, pki, { clock, limits: { keyBitRate: { perS: 1, burst: 1_024 } } })
  lab.service.onEnc = (_request, reply) => { reply.refuse({ code: 'NO_KEYS', message: 'none' }) }
  for (let i = 0; i < 5; i++) t.equal((await lab.call(saeA, 'GET', `${ENC}?number=4`)).status, 503)
  t.equal(lab.service.encRequests.length, 5)
  lab.service.onEnc = (_request, reply) => { lab.service.deliver(reply) }
  t.equal((await lab.call(saeA, 'GET', `${ENC}?number=3`)).status, 200)
  t.equal((await lab.call(saeA, 'GET', `${ENC}?number=2`)).status, 503)
  t.equal((await lab.call(saeA, 'GET', ENC)).status, 200, 'what is left still goes')
  t.equal(lab.service.encRequests.length, 7)
})

class FakeSink implements MetricSink {
  readonly counters = new Map<string, () => Iterable<Sample>>()
  readonly histograms = new Map<string, () => Iterable<HistogramSample>>()
  register (name: string, _help: string, _type: 'counter' | 'gauge', collect: () => Iterable<Sample>): void { this.counters.set(name, collect) }
  histogram (name: string, _help: string, collect: () => Iterable<HistogramSample>): void { this.histograms.set(name, collect) }
  value (name: string, labels: Record<string, string> = {}): number | undefined {
    return [...this.counters.get(name)?.() ?? []].find((sample) => Object.entries(labels).every(([key, value]) => sample.labels?.[key] === value))?.value
  }
}

t.test('requests are counted by method and status, with their latency, and shown at a scrape', async (t: Test) => {
  const lab = await startLab(t, pki)
  const sink = new FakeSink()
  lab.server.counters.announce(sink)
  for (const path of [ENC, ENC, DEC, '/api/v1/keys/sae-x/status', `${ENC}?x=1`, '/nothing']) await lab.call(saeA, 'GET', path)
  await lab.call(undefined, 'GET', ENC)
  await lab.call(saeA, 'HEAD', ENC)
  const count = (method: string, status: string): number | undefined => sink.value('qkme_http_requests_total', { method, status })
  t.same([count('enc_keys', '200'), count('enc_keys', '400'), count('enc_keys', '401'), count('enc_keys', '405'), count('dec_keys', '200'), count('status', '200'), count('other', '404')], [2, 1, 1, 1, 1, 1, 1])
  t.same([count('enc_keys', '503'), count('enc_keys', 'aborted')], [0, 0])
  const latency = [...sink.histograms.get('qkme_http_request_duration_seconds')?.() ?? []].find(({ labels }) => labels?.['method'] === 'enc_keys')
  t.equal(latency?.counts.length === undefined ? 0 : Array.from(latency.counts).reduce((a, b) => a + b), 5)
  await until(() => sink.value('qkme_http_connections') === 0) // Those of the calls, whose ends may be on their way.
  await lab.connect(saeA)
  t.equal(sink.value('qkme_http_connections'), 1)
  t.ok((sink.value('qkme_http_connections_total') ?? 0) >= 3)
})
