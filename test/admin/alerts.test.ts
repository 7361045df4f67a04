import { webcrypto } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { AlertQueue } from '../../src/admin/alert-queue.js'
import { AlertList } from '../../src/admin/alerts.js'
import type { AlertView } from '../../src/admin/port.js'
import { createSyslog, syslogMessage } from '../../src/admin/syslog.js'
import { createWebhook } from '../../src/admin/webhook.js'
import { toPem } from '../../src/crypto/pem.js'
import { quietLog } from '../../src/kernel/log.js'
import { settle, SimClock } from '../../sim/clock.js'
import { make, makeCa } from '../crypto/make.js'

const begins = (alert: string, subject = 's', severity: 'medium' | 'critical' = 'medium') => ({ alert, subject, severity, active: true, message: `${alert} of ${subject}` })
const ends = (alert: string, subject = 's') => ({ alert, subject, severity: 'info' as const, active: false, message: '' })
const view: AlertView = { id: 'pool.low', subject: 'B', severity: 'high', message: 'm', active: true, since: '2026-01-01T00:00:00.000Z', clearedAt: null, count: 1 }

t.test('an alert begins, ends and begins again as one entry; each edge is told once', async t => {
  const clock = new SimClock(0)
  const list = new AlertList(clock), told: string[] = []
  list.onEdge((v) => { told.push(`${v.active ? '+' : '-'}${v.id} ${v.count}`) })
  list.take(begins('low'))
  list.take(begins('low'))
  clock.advance(1_000)
  list.take(ends('low'))
  list.take(ends('low'))
  list.take(ends('never'))
  list.take(begins('low'))
  t.same(told, ['+low 1', '-low 1', '+low 2'])
  t.equal(list.activeCount, 1)
  t.match(list.list(), [{ id: 'low', active: true, since: '1970-01-01T00:00:01.000Z', clearedAt: null, count: 2 }])
})

t.test('one that gets worse is told again; the list shows active ones first, the newest first', async t => {
  const clock = new SimClock()
  const list = new AlertList(clock)
  let told = 0
  list.onEdge(() => { told += 1 })
  for (const name of ['a', 'b', 'c']) { list.take(begins(name)); clock.advance(1) }
  list.take(ends('c'))
  list.take(begins('a', 's', 'critical'))
  t.equal(told, 5)
  t.same(list.list().map((v) => v.id), ['b', 'a', 'c'])
})

t.test('the list is bounded: cleared ones go first, then the longest active', async t => {
  const list = new AlertList(new SimClock())
  list.take(begins('first'))
  list.take(begins('cleared'))
  list.take(ends('cleared'))
  for (let i = 0; i < 998; i++) list.take(begins('x', String(i)))
  t.equal(list.list().length, 1_000)
  list.take(begins('x', '998'))
  t.equal(list.list().length, 1_000)
  t.notOk(list.list().some((v) => v.id === 'cleared'))
  t.equal(list.dropped, 0)
  list.take(begins('x', '999'))
  t.notOk(list.list().some((v) => v.id === 'first'))
  t.equal(list.dropped, 1)
})

t.test('delivery is in order, tried again with doubling distance, and bounded', async t => {
  const clock = new SimClock(), attemptsMs: number[] = [], arrived: string[] = []
  let failing = true
  const queue = new AlertQueue('test', async (alert) => {
    attemptsMs.push(clock.now())
    if (failing) throw new Error('down')
    arrived.push(alert.subject)
  }, clock, quietLog)
  queue.push({ ...view, subject: '0' })
  await clock.advanceAsync(7_500)
  t.same(attemptsMs, [0, 1_000, 3_000, 7_000])
  for (let i = 1; i <= 300; i++) queue.push({ ...view, subject: String(i) })
  t.equal(queue.waiting, 256)
  t.equal(queue.counts.get('dropped'), 45)
  t.equal(attemptsMs.length, 4, 'more alerts do not shorten the distance')
  failing = false
  await clock.advanceAsync(10_000)
  for (let i = 0; i < 300; i++) await settle()
  t.equal(arrived.length, 256)
  t.same(arrived.slice(-2), ['299', '300'])
  t.same(arrived, [...arrived].sort((a, b) => Number(a) - Number(b)), 'in order')
})

t.test('a closed queue gives up', async t => {
  const clock = new SimClock()
  let attempts = 0
  const queue = new AlertQueue('test', async () => { attempts += 1; throw new Error('down') }, clock, quietLog)
  queue.push(view)
  await settle()
  queue.close()
  queue.push(view)
  await clock.advanceAsync(1_000_000)
  t.equal(attempts, 1)
})

t.test('webhook: https only, JSON, checked certificate, any other status is a failure', async t => {
  for (const url of ['http://x/', 'ftp://x', 'nonsense', 'https://user:pw@x/']) t.throws(() => createWebhook({ url, kme: 'A' }), { code: 'CONFIG_INVALID' })
  const life = { notBeforeMs: Date.now() - 3_600_000, notAfterMs: Date.now() + 86_400_000 }
  const ca = await makeCa('ca', life)
  const made = await make({ name: 'hook', issuer: ca, dns: ['localhost'], ...life })
  const key = toPem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', made.keys.privateKey))
  const bodies: string[] = []
  let status = 204
  const server = createHttpsServer({ cert: made.pem, key }, (request, response) => {
    let text = ''
    request.on('data', (d: Buffer) => { text += d.toString() })
    request.on('end', () => { bodies.push(text); response.writeHead(status, { location: '/else' }).end() })
  }).listen(0, 'localhost')
  await new Promise((resolve) => { server.once('listening', resolve) })
  t.teardown(() => { server.close() })
  const url = `https://localhost:${(server.address() as { port: number }).port}/hook`
  const deliver = createWebhook({ url, kme: 'A', ca: () => ca.pem, token: () => 'tok' })
  await deliver(view)
  t.same(JSON.parse(bodies[0] ?? ''), { kme: 'A', ...view })
  for (status of [302, 400, 500]) await t.rejects(deliver(view), /answered/)
  await t.rejects(createWebhook({ url, kme: 'A' })(view), 'an unknown CA')
  const silent = createServer().listen(0, 'localhost')
  await new Promise((resolve) => { silent.once('listening', resolve) })
  t.teardown(() => { silent.close() })
  await t.rejects(createWebhook({ url: `https://localhost:${(silent.address() as { port: number }).port}/`, kme: 'A', timeoutMs: 50 })(view))
})

t.test('syslog: the form of RFC 5424, with escapes', async t => {
  const text = syslogMessage({ ...view, id: 'pool low', subject: 'a"]\\b\nc' }, { host: 'h o', kme: 'A', processId: 7 })
  t.equal(text, '<83>1 2026-01-01T00:00:00.000Z h_o qkme 7 pool_low [alert@32473 kme="A" subject="a\\"\\]\\\\b c" severity="high" active="true" count="1"] \ufeffm')
  t.match(syslogMessage({ ...view, active: false, clearedAt: '2026-01-02T00:00:00.000Z' }, { host: 'h', kme: 'A', processId: 7 }), '<85>1 2026-01-02')
})

t.test('syslog over UDP and over a Unix stream arrives', async t => {
  const udp = createSocket('udp4')
  await new Promise<void>((resolve) => { udp.bind(0, '127.0.0.1', resolve) })
  const got = new Promise<string>((resolve) => { udp.once('message', (m) => { resolve(m.toString()) }) })
  await createSyslog({ target: { type: 'udp', host: '127.0.0.1', port: udp.address().port }, host: 'h', kme: 'A', processId: 1 })(view)
  t.match(await got, '<83>1 ')
  udp.close()

  const dir = mkdtempSync(join(tmpdir(), 'qkme-syslog-'))
  t.teardown(() => { rmSync(dir, { recursive: true, force: true }) })
  const path = join(dir, 'log')
  let text = ''
  const server = createServer((socket) => { socket.on('data', (d: Buffer) => { text += d.toString() }) }).listen(path)
  await new Promise((resolve) => { server.once('listening', resolve) })
  const deliver = createSyslog({ target: { type: 'unix', path }, host: 'h', kme: 'A', processId: 1 })
  await deliver(view)
  const [length = '', rest = ''] = [text.slice(0, text.indexOf(' ')), text.slice(text.indexOf(' ') + 1)]
  t.equal(Number(length), Buffer.byteLength(rest), 'octet counting')
  server.close()
  await t.rejects(deliver(view), 'a socket that is gone is a failure')
})
