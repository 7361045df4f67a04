import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { revokeCertificate } from '../../src/crypto/pki-crl.js'
import { caPaths } from '../../src/crypto/pki-files.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { files, makeSite, own, pairOf, startTlsNode, until, type TlsNode } from './tls-nodes.js'
import { idA as A, idB as B } from './rig.js'

const root = t.testdir({ one: {}, two: {} })
const site = await makeSite(root, [A, B, 'kme-c', 'kme-x'])

/** Opens a WebSocket as a stranger would and tells how it ended. */
const knock = (url: string, tls: object, protocols: string[] = ['qkme-peer.2']): Promise<string> => new Promise((resolve) => {
  const socket = new WebSocket(url, protocols, { rejectUnauthorized: false, ...tls } as never)
  socket.on('open', () => { socket.terminate(); resolve('open') })
  socket.on('unexpected-response', (request, response) => { request.destroy(); resolve(`HTTP ${response.statusCode ?? 0}`) })
  socket.on('error', (error) => { resolve((error as NodeJS.ErrnoException).code ?? error.message) })
})

t.test('who may not come in', async (t) => {
  const { b } = await pairOf(t, site)
  const ca = { ca: readFileSync(caPaths(site.folder, 'kme').certificate) }
  const sae = await site.issue({ profile: 'sae', id: 'sae-1' })
  const serverOnly = await site.issue({ profile: 'kme-server', id: A })
  const expired = await site.issue({ profile: 'kme-peer', id: 'kme-old', notBeforeMs: systemClock.wallMs() - 10 * 86_400_000, days: 5 })
  const future = await site.issue({ profile: 'kme-peer', id: 'kme-new', notBeforeMs: systemClock.wallMs() + 86_400_000, days: 5 })
  const good = own(site, A), stranger = own(site, 'kme-x')
  t.equal(await knock(b.url, { ...ca, ...files(good) }), 'open', 'a neighbour')
  t.equal(await knock(b.url, ca), 'HTTP 401', 'nobody')
  t.not(await knock(b.url, { ...ca, ...files(sae) }), 'open', 'an SAE')
  t.not(await knock(b.url, { ...ca, ...files(serverOnly) }), 'open', 'a certificate that may not be a client\'s')
  t.not(await knock(b.url, { ...ca, ...files(expired) }), 'open', 'an expired one')
  t.not(await knock(b.url, { ...ca, ...files(future) }), 'open', 'one that is not valid yet')
  t.equal(await knock(b.url, { ...ca, ...files(stranger) }), 'HTTP 403', 'a KME that is no neighbour')
  t.equal(await knock(b.url, { ...ca, ...files(good) }, ['qkme-peer.99']), 'HTTP 426', 'an unknown version')
  t.equal(await knock(b.url, { ...ca, ...files(good) }, []), 'HTTP 426', 'no version')
  t.equal(await knock(b.url.replace('/qkme/peer', '/api/v1/keys/x/status'), { ...ca, ...files(good) }), 'HTTP 404')
  t.not(await knock(b.url, { ...ca, ...files(good), maxVersion: 'TLSv1.2' }), 'open', 'TLS 1.2')
  t.ok(b.security.includes('peer.certificate unknown refused') && b.security.includes('peer.not-a-peer unknown refused'))
})

t.test('whom we do not believe', async (t) => {
  const reasonWhen = async (server: TlsNode, url = server.url): Promise<string> => {
    const a = await startTlsNode(t, { self: A, remote: B, url, credentials: site.credentials(A) })
    a.manager.dialOnce(B)
    await until(() => a.manager.status(B).lastEnd !== '')
    return `disconnected:${a.manager.status(B).lastEnd}`
  }
  const c = await startTlsNode(t, { self: 'kme-c', remote: A, credentials: site.credentials('kme-c') })
  t.equal(await reasonWhen(c), 'disconnected:certificate', 'another KME than configured')
  const b = await startTlsNode(t, { self: B, remote: A, credentials: site.credentials(B) })
  t.equal(await reasonWhen(b, b.url.replace('127.0.0.1', '127.0.0.2')), 'disconnected:connect-failed', 'nobody there')
  for (const url of ['ws://127.0.0.1:1/qkme/peer', 'nonsense', `${b.url}#x`, '']) t.equal(await reasonWhen(b, url), 'disconnected:connect-failed', url)
  const other = await makeSite(`${root}/one`, [B])
  const foreign = await startTlsNode(t, { self: B, remote: A, credentials: other.credentials(B) })
  t.equal(await reasonWhen(foreign), 'disconnected:certificate', 'a certificate of another CA')
  const elsewhere = await makeSite(`${root}/two`, [A])
  await elsewhere.issue({ profile: 'kme-peer', id: B, hosts: ['elsewhere.example'] })
  const hostless = await startTlsNode(t, { self: B, remote: A, credentials: elsewhere.credentials(B) })
  const a = await startTlsNode(t, { self: A, remote: B, url: hostless.url, credentials: elsewhere.credentials(A) })
  a.manager.dialOnce(B)
  await until(() => a.events.length > 1)
  t.equal(a.events.at(-1), 'disconnected:certificate', 'a certificate for another host')
})

t.test('a URL without TLS is never dialled', async (t) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  let callers = 0
  server.on('connection', () => { callers++ })
  await new Promise((resolve) => { server.on('listening', resolve) })
  t.teardown(() => { server.close() })
  const a = await startTlsNode(t, { self: A, remote: B, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/qkme/peer`, credentials: site.credentials(A) })
  a.manager.dialOnce(B)
  await until(() => callers > 0 || a.manager.status(B).lastEnd !== '')
  t.same([callers, a.manager.status(B).lastEnd, a.events], [0, 'connect-failed', ['connecting', 'disconnected:connect-failed']], 'and the failure is told')
})

t.test('a revoked certificate: refused at the door, and an open connection ends', async (t) => {
  const { a, b } = await pairOf(t, site, { limits: { recheckMs: 20 } })
  a.manager.dialOnce(B)
  await until(() => b.manager.status(A).state === 'ready')
  const serial = site.trust.check(readFileSync(site.credentials(A).certificateFile, 'latin1'))
  if (!serial.ok) throw new Error(serial.message)
  await revokeCertificate({ folder: site.folder, clock: systemClock, random: systemRandom } as never, 'kme', serial.serialHex, 'keyCompromise', 30)
  await site.trust.reload()
  await until(() => b.manager.status(A).state === 'disconnected')
  t.equal(b.manager.status(A).lastEnd, 'certificate')
  await until(() => a.manager.status(B).state === 'disconnected')
  a.manager.dialOnce(B)
  await until(() => a.manager.status(B).state === 'disconnected')
  t.equal(a.manager.status(B).lastEnd, 'certificate')
})
