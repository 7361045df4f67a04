import { webcrypto } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AdminHandler } from '../../src/admin/handler.js'
import { operatorCheck } from '../../src/admin/operators.js'
import { adminRoutes } from '../../src/admin/routes.js'
import { AdminServer, type AdminServerOptions } from '../../src/admin/server.js'
import { toPem } from '../../src/crypto/pem.js'
import { quietLog, type Log, type SecurityEvent } from '../../src/kernel/log.js'
import { make, makeCa, makeSae, type Made } from '../crypto/make.js'
import { fakePort } from './fake-port.js'

const keyPem = async (made: Made): Promise<string> => toPem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', made.keys.privateKey))
const life = { notBeforeMs: Date.now() - 3_600_000, notAfterMs: Date.now() + 86_400_000 }

const world = async (t: Test, corsOrigins: string[] = []) => {
  const dir = mkdtempSync(join(tmpdir(), 'qkme-admin-'))
  const ca = await makeCa('operators', life), otherCa = await makeCa('others', life)
  const serve = async () => {
    const made = await make({ name: 'server', issuer: ca, dns: ['localhost'], ...life })
    return { cert: made.pem, key: await keyPem(made), ca: ca.pem }
  }
  const current = { tls: await serve() }
  const revoked = new Set<string>()
  const events: SecurityEvent[] = []
  const log: Log = { ...quietLog, security: (e) => { events.push(e) } }
  const fake = fakePort()
  const check = operatorCheck((pem) => {
    const id = /^(\w+)$/.exec(names.get(pem.replace(/\s+/g, '')) ?? '')?.[1]
    if (id === undefined) return { ok: false, message: 'not known' }
    return revoked.has(id) ? { ok: false, message: 'revoked' } : { ok: true, id }
  }, [{ operator: 'viewer', role: 'view' }, { operator: 'worker', role: 'operate' }, { operator: 'boss', role: 'destroy' }])
  const names = new Map<string, string>()
  const client = async (name: string, issuer: Made = ca): Promise<{ cert: string, key: string }> => {
    const made = await makeSae(issuer, name, life)
    names.set(made.pem.replace(/\s+/g, ''), name)
    return { cert: made.pem, key: await keyPem(made) }
  }
  const handler = new AdminHandler({ routes: adminRoutes({ port: fake.port, kmeId: 'kme-a', metrics: async () => ({ contentType: 'text/plain', body: '' }) }), audit: fake.audit, log })
  const options: AdminServerOptions = {
    handler, log, socketPath: join(dir, 's'), https: { host: '127.0.0.1', port: 0, readTls: () => current.tls, operators: check, hosts: [], corsOrigins },
  }
  const server = await AdminServer.start(options)
  t.teardown(() => { server.close(); rmSync(dir, { recursive: true, force: true }) })
  const call = (method: string, path: string, who: { cert?: string, key?: string }, headers: Record<string, string> = {}, body?: object) => new Promise<{ status: number, headers: Record<string, unknown>, serial: string }>((resolve, reject) => {
    const message = request({
      host: '127.0.0.1', port: server.port, servername: 'localhost', method, path, ca: ca.pem, agent: false, ...who,
      headers: { host: `localhost:${server.port}`, ...body === undefined ? {} : { 'content-type': 'application/json' }, ...headers },
    }, (response) => {
      const serial = (response.socket as unknown as { getPeerCertificate: () => { serialNumber: string } }).getPeerCertificate().serialNumber
      response.resume()
      response.on('end', () => { resolve({ status: response.statusCode ?? 0, headers: response.headers, serial }) })
    })
    message.on('error', reject)
    message.end(body === undefined ? undefined : JSON.stringify(body))
  })
  return { ...fake, server, call, client, serve, current, revoked, events, otherCa, options, dir }
}

t.test('roles: view looks, operate acts, destroy ends; a refusal is recorded', async t => {
  const w = await world(t)
  const [viewer, worker, boss, stranger] = [await w.client('viewer'), await w.client('worker'), await w.client('boss'), await w.client('stranger')]
  t.equal((await w.call('GET', '/v1/status', viewer)).status, 200)
  t.equal((await w.call('POST', '/v1/links/1/release', viewer, {}, {})).status, 403)
  t.equal((await w.call('POST', '/v1/links/1/release', worker, {}, {})).status, 200)
  t.equal((await w.call('POST', '/v1/peers/B/retire', worker, {}, {})).status, 403)
  t.equal((await w.call('POST', '/v1/peers/B/retire', boss, {}, {})).status, 200)
  t.equal((await w.call('GET', '/v1/status', stranger)).status, 401, 'a good certificate without a role may not even look')
  t.same(w.acts, ['release 1', 'retire B'])
  t.same(w.records.map((r) => `${r.operator} ${r.outcome}`), ['viewer refused', 'worker begun', 'worker done', 'worker refused', 'boss begun', 'boss done'])
  t.ok(w.events.some((e) => e.event === 'operator.refused' && e.subject === 'viewer'))
})

t.test('no certificate and a foreign CA do not get through the handshake; a revocation counts at the next request', async t => {
  const w = await world(t)
  await t.rejects(w.call('GET', '/v1/status', {}))
  await t.rejects(w.call('GET', '/v1/status', await w.client('viewer', w.otherCa)))
  const viewer = await w.client('viewer')
  t.equal((await w.call('GET', '/v1/status', viewer)).status, 200)
  w.revoked.add('viewer')
  t.equal((await w.call('GET', '/v1/status', viewer)).status, 401)
  t.ok(w.events.some((e) => e.event === 'operator.handshake' && e.category === 'certificate'))
  t.ok(w.events.some((e) => e.event === 'operator.unknown' && e.fields?.['reason'] === 'revoked'))
})

t.test('Host and Origin: own pages and allowed pages only', async t => {
  const w = await world(t, ['https://dash.example'])
  const viewer = await w.client('viewer')
  t.equal((await w.call('GET', '/v1/status', viewer, { host: 'evil.example' })).status, 403)
  t.equal((await w.call('GET', '/v1/status', viewer, { origin: `https://localhost:${w.server.port}` })).status, 200)
  t.equal((await w.call('GET', '/v1/status', viewer, { origin: 'https://evil.example' })).status, 403)
  const allowed = await w.call('OPTIONS', '/v1/status', viewer, { origin: 'https://dash.example' })
  t.equal(allowed.status, 204)
  t.equal(allowed.headers['access-control-allow-origin'], 'https://dash.example')
  t.equal((await w.call('GET', '/v1/status', viewer)).headers['strict-transport-security'], 'max-age=31536000')
})

t.test('certificates are renewed without a restart; a bad one leaves the old in place', async t => {
  const w = await world(t)
  const viewer = await w.client('viewer')
  const before = (await w.call('GET', '/v1/status', viewer)).serial
  w.current.tls = await w.serve()
  w.server.renew()
  const after = (await w.call('GET', '/v1/status', viewer)).serial
  t.not(after, before)
  w.current.tls = { ...w.current.tls, key: (await w.serve()).key }
  t.throws(() => { w.server.renew() }, { code: 'CERTIFICATE_INVALID' })
  t.equal((await w.call('GET', '/v1/status', viewer)).serial, after)
})

t.test('a taken port and a wrong key are told, and the socket is not left open', async t => {
  const w = await world(t)
  const https = w.options.https
  if (https === undefined) throw new Error('the world has https')
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => { taken.once('listening', resolve) })
  t.teardown(() => { taken.close() })
  const port = (taken.address() as { port: number }).port
  const start = (change: object): Promise<AdminServer> => AdminServer.start({ ...w.options, socketPath: join(w.dir, 'other'), https: { ...https, ...change } })
  await t.rejects(start({ port }), { code: 'PORT_TAKEN' })
  const mixed = { ...w.current.tls, key: (await w.serve()).key }
  await t.rejects(start({ readTls: () => mixed }), { code: 'CERTIFICATE_INVALID' })
  const fine = await start({})
  fine.close()
})
