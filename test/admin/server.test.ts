import { mkdtempSync, rmSync, statSync, writeFileSync, existsSync } from 'node:fs'
import { request, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AdminHandler } from '../../src/admin/handler.js'
import { MetricRegistry } from '../../src/admin/metrics.js'
import { adminRoutes } from '../../src/admin/routes.js'
import { AdminServer } from '../../src/admin/server.js'
import { quietLog } from '../../src/kernel/log.js'
import { fakePort } from './fake-port.js'

interface Reply { status: number, headers: IncomingHttpHeaders, text: string, json: () => Record<string, unknown> }

const world = async (t: Test, options: { fail?: unknown } = {}) => {
  const dir = mkdtempSync(join(tmpdir(), 'qkme-admin-'))
  const socketPath = join(dir, 'admin.sock')
  const fake = fakePort(options)
  const registry = new MetricRegistry()
  const handler = new AdminHandler({ routes: adminRoutes({ port: fake.port, kmeId: 'kme-a', metrics: () => registry.text() }), audit: fake.audit, log: quietLog })
  handler.registerMetrics(registry)
  const server = await AdminServer.start({ handler, log: quietLog, socketPath })
  t.teardown(() => { server.close(); rmSync(dir, { recursive: true, force: true }) })
  const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> => new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
    const message = request({ socketPath, method, path, agent: false, headers: { host: 'localhost', ...text === undefined ? {} : { 'content-type': 'application/json' }, ...headers } }, (response) => {
      let answer = ''
      response.on('data', (part: Buffer) => { answer += part.toString() })
      response.on('end', () => { resolve({ status: response.statusCode ?? 0, headers: response.headers, text: answer, json: () => JSON.parse(answer) as Record<string, unknown> }) })
    })
    message.on('error', reject)
    message.end(text)
  })
  return { ...fake, call, server, socketPath, dir }
}

t.test('the socket is private; every view answers JSON that nobody may cache', async t => {
  const w = await world(t)
  t.equal(statSync(w.socketPath).mode & 0o777, 0o600)
  for (const path of ['/v1/status', '/v1/health', '/v1/pools', '/v1/links', '/v1/peers', '/v1/devices', '/v1/saes', '/v1/account', '/v1/alerts', '/v1/log-levels']) {
    const reply = await w.call('GET', path)
    t.equal(reply.status, 200, path)
    t.ok(reply.json())
    t.equal(reply.headers['cache-control'], 'no-store')
    t.equal(reply.headers['x-content-type-options'], 'nosniff')
  }
  t.same(w.records, [], 'looking is no act')
})

t.test('health and readiness for probes, metrics as text', async t => {
  const w = await world(t)
  t.equal((await w.call('GET', '/readyz')).status, 200)
  Object.assign(w.health, { ready: false, reasons: ['pool B waits for hello'] })
  const reply = await w.call('GET', '/readyz')
  t.equal(reply.status, 503)
  t.same(reply.json()['reasons'], ['pool B waits for hello'])
  t.equal((await w.call('GET', '/healthz')).status, 200)
  t.match((await w.call('GET', '/metrics')).text, 'qkme_admin_requests_total{result="ok"} 3')
  const head = await w.call('HEAD', '/v1/status')
  t.equal(head.status, 200)
  t.equal(head.text, '')
})

t.test('every act reaches the port and is recorded before and after', async t => {
  const w = await world(t)
  const acts: [string, string, unknown, string][] = [
    ['POST', '/v1/saes', { id: 'sae-1', name: 'x' }, 'add sae-1 x'],
    ['POST', '/v1/saes/sae%2F1/suspend', {}, 'suspend sae/1'], ['POST', '/v1/saes/sae-1/approve', {}, 'approve sae-1'],
    ['POST', '/v1/saes/sae-1/resume', {}, 'resume sae-1'],
    ['DELETE', '/v1/saes/sae-1', undefined, 'remove sae-1'],
    ['POST', '/v1/pools/B/replenish', {}, 'replenish B'],
    ['POST', '/v1/links/1/release', {}, 'release 1'],
    ['POST', '/v1/parts/link%2F1/restart', {}, 'restart link/1'],
    ['POST', '/v1/peers/B/retire', {}, 'retire B'], ['POST', '/v1/links/1/hold', { reason: 'works' }, 'hold 1: works'],
    ['POST', '/v1/peers/B/hold', { reason: 'audit' }, 'holdPeer B: audit'], ['POST', '/v1/peers/B/release', {}, 'releasePeer B'],
    ['POST', '/v1/voids', { sae: 's', reason: 'lost' }, 'void {"reason":"lost","dryRun":false,"sae":"s"}'],
    ['POST', '/v1/voids', { peer: 'B', from: '2026-03-01T12:00:00Z', to: '2026-03-01T12:00:01Z', reason: 'r', dryRun: true }, 'void {"reason":"r","dryRun":true,"fromMs":1772366400000,"toMs":1772366401000,"peer":"B"}'],
    ['POST', '/v1/voids', { ids: ['AAAAAAAA-0000-4000-8000-000000000000'], reason: 'r' }, 'void {"reason":"r","dryRun":false,"ids":["aaaaaaaa-0000-4000-8000-000000000000"]}'],
    ['POST', '/v1/zeroize', { confirm: 'zeroize kme-a' }, 'zeroize all'],
  ]
  for (const [method, path, body] of acts) t.ok([200, 201].includes((await w.call(method, path, body)).status), path)
  t.same(w.acts, acts.map(([, , , said]) => said))
  t.equal(w.records.length, 2 * acts.length)
  t.same(w.records[2], { operator: 'socket', role: 'destroy', from: 'socket', action: 'POST /v1/saes/:id/suspend', subject: 'sae/1', outcome: 'begun', code: '' })
  t.equal(w.records[3]?.outcome, 'done')
})

t.test('an act that cannot be recorded is not done', async t => {
  const w = await world(t)
  w.auditState.fails = true
  t.equal((await w.call('POST', '/v1/peers/B/retire', {})).status, 503)
  t.same(w.acts, [])
})

t.test('a failed act is recorded with its code; an unexpected error keeps its details to the log', async t => {
  const w = await world(t)
  const reply = await w.call('POST', '/v1/links/nobody/release', {})
  t.equal(reply.status, 404)
  t.same(reply.json(), { code: 'NOT_FOUND', message: 'there is no nobody' })
  t.match(w.records.at(-1), { outcome: 'failed', code: 'NOT_FOUND' })
  const bad = await world(t, { fail: new Error('secret path /x') })
  const failed = await bad.call('POST', '/v1/links/1/release', {})
  t.equal(failed.status, 500)
  t.notMatch(failed.text, 'secret')
})

t.test('zeroize wants its sentence', async t => {
  const w = await world(t)
  for (const body of [{}, { confirm: 'zeroize' }, { confirm: 'zeroize kme-b' }, { confirm: 'zeroize kme-a', force: true }]) {
    t.equal((await w.call('POST', '/v1/zeroize', body)).status, 400)
  }
  t.same(w.acts, [])
})

t.test('log levels are set and shown', async t => {
  const w = await world(t)
  t.same((await w.call('PUT', '/v1/log-levels', { pool: 'debug' })).json(), { '*': 'info', pool: 'debug' })
  t.equal((await w.call('PUT', '/v1/log-levels', { pool: 'loud' })).status, 400)
  t.equal((await w.call('PUT', '/v1/log-levels', { 'Po/ol': 'info' })).status, 400)
})

t.test('pages of SAEs', async t => {
  const w = await world(t)
  const id = async (query: string): Promise<unknown> => (await w.call('GET', `/v1/saes${query}`)).json()['saes']
  t.match(await id(''), [{ id: 'first+1000' }])
  t.match(await id('?after=sae-5&limit=7'), [{ id: 'sae-5+7' }])
  for (const query of ['?limit=0', '?limit=x', '?limit=10001', '?after=%20']) t.equal((await w.call('GET', `/v1/saes${query}`)).status, 400, query)
})

t.test('wrong requests get a clear answer', async t => {
  const w = await world(t)
  const status = async (...args: Parameters<typeof w.call>): Promise<number> => (await w.call(...args)).status
  t.equal(await status('GET', '/v1/nothing'), 404)
  t.equal(await status('GET', '/v1/saes/'), 404)
  const reply = await w.call('PATCH', '/v1/saes', {})
  t.equal(reply.status, 405)
  t.match(reply.json()['message'], 'GET or POST')
  t.equal(await status('POST', '/v1/saes', '{"id":'), 400)
  t.equal(await status('POST', '/v1/saes', '[]'), 400)
  t.equal(await status('POST', '/v1/saes', { id: 'a b' }), 400)
  t.equal(await status('POST', '/v1/saes', { id: 'a', admin: true }), 400)
  t.equal(await status('POST', '/v1/saes', { id: 'a' }, { 'content-type': 'text/plain' }), 415)
  t.equal(await status('POST', '/v1/saes', 'x'.repeat(70_000)), 413)
  t.equal(await status('POST', '/v1/saes/%E0%A4%A/suspend', {}), 400)
  t.equal(await status('POST', '/v1/peers/B/retire', { why: 1 }), 400)
  const time = { from: '2026-03-01T12:00:00Z', to: '2026-03-01T12:30:00Z' }
  for (const body of [
    { reason: 'nothing' }, { sae: 's' }, { sae: 's', reason: '' }, { sae: 's', peer: 'B', reason: 'r' }, { ids: [], reason: 'r' }, { ids: ['x'], reason: 'r' }, { ids: Array(1001).fill('aaaaaaaa-0000-4000-8000-000000000000'), reason: 'r' },
    { from: time.from, reason: 'r' }, { from: time.to, to: time.from, reason: 'r' }, { from: 'yesterday', to: time.to, reason: 'r' }, { from: '1', to: time.to, reason: 'r' }, { ...time, dryRun: 'no', reason: 'r' }, { sae: 'a b', reason: 'r' }, { ...time, reason: 'r', force: true },
  ]) t.equal(await status('POST', '/v1/voids', body), 400, JSON.stringify(body).slice(0, 80))
  t.equal(await status('POST', '/v1/links/1/hold', {}), 400)
  t.equal(await status('POST', '/v1/peers/B/hold', { reason: 'x'.repeat(201) }), 400)
  t.same(w.acts, [])
})

t.test('a body without a length is cut off at the bound', async t => {
  const w = await world(t)
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(w.socketPath)
    let text = ''
    socket.on('data', (d: Buffer) => { text += d.toString() })
    socket.on('close', () => { resolve(text) })
    socket.on('error', reject)
    socket.write('POST /v1/saes HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n')
    socket.write(`20000\r\n${'x'.repeat(0x20000)}\r\n`)
  })
  t.match(answer, /^HTTP\/1\.1 413/)
})

t.test('pages of other sites and other hosts are refused', async t => {
  const w = await world(t)
  t.equal((await w.call('GET', '/v1/status', undefined, { host: 'evil.example' })).status, 403)
  t.equal((await w.call('POST', '/v1/peers/B/retire', {}, { origin: 'https://evil.example' })).status, 403)
  t.equal((await w.call('GET', '/v1/status', undefined, { 'sec-fetch-site': 'cross-site' })).status, 403)
  t.equal((await w.call('OPTIONS', '/v1/status', undefined, { origin: 'https://evil.example' })).status, 403)
  t.same(w.acts, [])
})

t.test('a socket that a killed process left is replaced; one in use and a plain file are not', async t => {
  const w = await world(t)
  const again = (socketPath: string): Promise<AdminServer> =>
    AdminServer.start({ handler: new AdminHandler({ routes: [], audit: w.audit, log: quietLog }), log: quietLog, socketPath })
  await t.rejects(again(w.socketPath), { code: 'PORT_TAKEN' })
  t.equal((await w.call('GET', '/v1/status')).status, 200, 'the running one is not disturbed')
  const plain = join(w.dir, 'plain')
  writeFileSync(plain, 'precious')
  await t.rejects(again(plain), { code: 'CONFIG_INVALID' })
  t.ok(existsSync(plain))
  await t.rejects(again(join(w.dir, 'x'.repeat(120))), { code: 'CONFIG_INVALID', message: /107/ })
  // Node removes its own socket at close, so a stale one is made by a process that is killed.
  const stale = join(w.dir, 'stale.sock')
  const { spawnSync } = await import('node:child_process')
  spawnSync(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`])
  t.ok(statSync(stale).isSocket())
  const fresh = await again(stale)
  t.equal(statSync(stale).mode & 0o777, 0o600)
  fresh.close()
})

t.test('draining answers what is under way and takes nothing new', async t => {
  const w = await world(t)
  let release: (() => void) | undefined
  w.port.account = () => new Promise((resolve) => { release = () => { resolve({ pools: [], differenceBits: 0 }) } })
  const slow = w.call('GET', '/v1/account')
  while (release === undefined) await new Promise((resolve) => { setImmediate(resolve) })
  let isDrained = false
  const drained = w.server.drain().then(() => { isDrained = true })
  await t.rejects(w.call('GET', '/v1/status'))
  t.equal(isDrained, false)
  release()
  t.equal((await slow).status, 200)
  await drained
  t.equal(isDrained, true)
})
