import { readFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { revokeCertificate } from '../../src/crypto/pki-crl.js'
import { caPaths } from '../../src/crypto/pki-files.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { packBody } from '../../src/peer/body.js'
import { FRAME_VERSION, frameBytes, writeHeader } from '../../src/peer/frame.js'
import { helloOf, samples } from './desk.js'
import { RealVault } from './real-vault.js'
import { makeSite, startTlsNode, until, type Site, type TlsNode, type TlsNodeOptions } from './tls-nodes.js'

const A = 'kme-a', B = 'kme-b'

const pairOf = async (t: Test, site: Site, options: Partial<TlsNodeOptions> = {}): Promise<{ a: TlsNode, b: TlsNode }> => {
  const b = await startTlsNode(t, { self: B, remote: A, credentials: site.credentials(B), ...options })
  const a = await startTlsNode(t, { self: A, remote: B, url: b.url, credentials: site.credentials(A), ...options })
  return { a, b }
}

/** Opens a WebSocket as a stranger would and tells how it ended. */
const knock = (url: string, tls: object, protocols: string[] = ['qkme-peer.1']): Promise<string> => new Promise((resolve) => {
  const socket = new WebSocket(url, protocols, { rejectUnauthorized: false, ...tls } as never)
  socket.on('open', () => { socket.terminate(); resolve('open') })
  socket.on('unexpected-response', (request, response) => { request.destroy(); resolve(`HTTP ${response.statusCode ?? 0}`) })
  socket.on('error', (error) => { resolve((error as NodeJS.ErrnoException).code ?? error.message) })
})

const files = (leaf: { certificate: string, key: string }): object => ({ cert: readFileSync(leaf.certificate), key: readFileSync(leaf.key) })

t.test('two KMEs over real TLS and the real vault: messages both ways, a clean stop', async (t) => {
  const site = await makeSite(t.testdir(), [A, B])
  const { a, b } = await pairOf(t, site, { vault: new RealVault() })
  a.manager.dialOnce(B)
  await until(() => a.manager.status(B).state === 'ready' && b.manager.status(A).state === 'ready')
  t.same(a.events, ['connecting', 'authenticating', 'resynchronising', 'ready'])
  for (let round = 0; round < 50; round++) {
    for (const [name, body] of Object.entries(samples)) {
      if (a.desk.send(name as keyof typeof samples, body) !== 'sent' || b.desk.send(name as keyof typeof samples, body) !== 'sent') t.fail('not sent')
    }
  }
  await until(() => a.desk.got.length === 350 && b.desk.got.length === 350)
  t.same(b.desk.got.at(-1)?.body, samples.chainHead)
  a.manager.stop()
  await until(() => b.manager.status(A).state === 'disconnected')
  t.same([a.desk.closed, b.desk.closed, b.security], [['stopped'], ['stopped'], []])
})

t.test('who may not come in', async (t) => {
  const site = await makeSite(t.testdir(), [A, B, 'kme-x'])
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
  const site = await makeSite(t.testdir({ one: {}, two: {} }), [A, B, 'kme-c'])
  const reasonWhen = async (server: TlsNode, url = server.url): Promise<string> => {
    const a = await startTlsNode(t, { self: A, remote: B, url, credentials: site.credentials(A) })
    a.manager.dialOnce(B)
    await until(() => a.events.some((event) => event.startsWith('disconnected')))
    return a.events.at(-1) as string
  }
  const c = await startTlsNode(t, { self: 'kme-c', remote: A, credentials: site.credentials('kme-c') })
  t.equal(await reasonWhen(c), 'disconnected:certificate', 'another KME than configured')
  const b = await startTlsNode(t, { self: B, remote: A, credentials: site.credentials(B) })
  t.equal(await reasonWhen(b, b.url.replace('127.0.0.1', '127.0.0.2')), 'disconnected:connect-failed', 'nobody there')
  const other = await makeSite(`${site.folder}/one`, [B])
  const foreign = await startTlsNode(t, { self: B, remote: A, credentials: other.credentials(B) })
  t.equal(await reasonWhen(foreign), 'disconnected:certificate', 'a certificate of another CA')
  const elsewhere = await makeSite(`${site.folder}/two`, [A])
  await elsewhere.issue({ profile: 'kme-peer', id: B, hosts: ['elsewhere.example'] })
  const hostless = await startTlsNode(t, { self: B, remote: A, credentials: elsewhere.credentials(B) })
  const a = await startTlsNode(t, { self: A, remote: B, url: hostless.url, credentials: elsewhere.credentials(A) })
  a.manager.dialOnce(B)
  await until(() => a.events.length > 1)
  t.equal(a.events.at(-1), 'disconnected:certificate', 'a certificate for another host')
})

t.test('a revoked certificate: refused at the door, and an open connection ends', async (t) => {
  const site = await makeSite(t.testdir(), [A, B])
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

t.test('renewed certificates are taken into use without a restart; the open connection stays', async (t) => {
  const site = await makeSite(t.testdir(), [A, B])
  const { a, b } = await pairOf(t, site)
  a.manager.dialOnce(B)
  await until(() => b.manager.status(A).state === 'ready')
  const fingerprint = (): Promise<string> => new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: b.manager.port ?? 0, rejectUnauthorized: false, minVersion: 'TLSv1.3' }, () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? '')
      socket.destroy()
    })
    socket.on('error', reject)
  })
  const before = await fingerprint()
  await site.issue({ profile: 'kme-peer', id: B, renew: true })
  for (let i = 0; i < 3; i++) b.manager.reload()
  a.manager.reload()
  for (let i = 0; i < 5; i++) t.not(await fingerprint(), before)
  t.equal(a.desk.send('horizon', samples.horizon), 'sent')
  await until(() => b.desk.got.length === 1)
  t.same([a.desk.closed, b.desk.closed], [[], []])
  a.manager.hangUp(B, 'test')
  await until(() => b.manager.status(A).state === 'disconnected')
  a.manager.dialOnce(B)
  await until(() => b.manager.status(A).state === 'ready')
  t.equal(b.manager.status(A).counters.connections, 2)
})

t.test('a peer that stops reading: our queue is bounded, nothing is lost without a word, the connection ends', async (t) => {
  const site = await makeSite(t.testdir(), [A, B])
  const { b } = await pairOf(t, site, { limits: { sendQueueBytesMax: 200_000, pingAfterMs: 100, idleTimeoutMs: 400 } })
  const socket = new WebSocket(b.url, ['qkme-peer.1'], { rejectUnauthorized: false, ...files(own(site, A)) } as never)
  socket.on('open', () => { socket.send(helloFrame(A, B)) })
  await until(() => b.manager.status(A).state === 'ready')
  socket.pause()
  let sent = 0
  let mostBytes = 0
  while (b.manager.status(A).state === 'ready') {
    while (b.desk.send('propose', samples.propose) === 'sent') sent++
    mostBytes = Math.max(mostBytes, b.manager.status(A).bufferedBytes)
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
  t.ok(mostBytes > 100_000 && mostBytes <= 200_000, `${mostBytes} bytes waited`)
  t.same(b.desk.closed, ['idle'])
  t.ok(sent > 100)
  socket.terminate()
})

const own = (site: Site, id: string): { certificate: string, key: string } => ({ certificate: site.credentials(id).certificateFile, key: site.credentials(id).keyFile })

/** The first frame of somebody who speaks the protocol by hand. */
const helloFrame = (source: string, destination: string): Uint8Array => {
  const body = packBody('hello', { ...helloOf(source, 1), connection: new Uint8Array(16) })
  const none = { block: 0, offset: 0 }
  const header = { version: FRAME_VERSION, type: 1, tagged: false, fromAcceptor: false, source, destination, incarnation: 1, number: 1, hashKey: none, pad: none, bodyBytes: body.length }
  const frame = new Uint8Array(frameBytes(header))
  frame.set(body, writeHeader(header, frame))
  return frame
}

t.test('sockets beyond the bound are closed at once, and room is made when others go', async (t) => {
  const site = await makeSite(t.testdir(), [A, B])
  const { a, b } = await pairOf(t, site, { socketsMax: 4 })
  const idle: Socket[] = []
  let closed = 0
  for (let i = 0; i < 12; i++) idle.push(createConnection({ host: '127.0.0.1', port: b.manager.port ?? 0 }).on('close', () => { closed++ }).on('error', () => {}))
  await until(() => closed === 8)
  a.manager.dialOnce(B)
  await until(() => a.manager.status(B).state === 'disconnected')
  t.match(a.manager.status(B).lastEnd, /connect-failed|certificate|network/)
  for (const socket of idle) socket.destroy()
  await until(() => {
    a.manager.dialOnce(B)
    return a.manager.status(B).state === 'ready'
  })
  t.equal(closed, 12)
})

t.test('text messages, too long messages and a bad first frame end the connection', async (t) => {
  const site = await makeSite(t.testdir(), [A, B])
  const { b } = await pairOf(t, site)
  const tls = { rejectUnauthorized: false, ...files(own(site, A)) }
  const endOf = (data: string | Uint8Array): Promise<number> => new Promise((resolve) => {
    const socket = new WebSocket(b.url, ['qkme-peer.1'], tls as never)
    socket.on('open', () => { socket.send(data) })
    socket.on('close', (code) => { resolve(code) })
    socket.on('error', () => {})
  })
  t.equal(await endOf('hello'), 4011)
  t.equal(await endOf(new Uint8Array(10)), 4011)
  t.equal(await endOf(new Uint8Array(42)), 4010)
  t.equal(await endOf(new Uint8Array(400_000)), 1006)
  t.equal(b.manager.status(A).state, 'disconnected')
})
