import { createConnection, type Socket } from 'node:net'
import { connect } from 'node:tls'
import t from 'tap'
import { WebSocket } from 'ws'
import { packBody } from '../../src/peer/body.js'
import { FRAME_VERSION, frameBytes, writeHeader } from '../../src/peer/frame.js'
import { helloOf, samples } from './desk.js'
import { RealVault } from './real-vault.js'
import { idA as A, idB as B } from './rig.js'
import { files, makeSite, own, pairOf, until } from './tls-nodes.js'

const site = await makeSite(t.testdir(), [A, B])

t.test('two KMEs over real TLS and the real vault: messages both ways, a clean stop', async (t) => {
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

t.test('renewed certificates are taken into use without a restart; the open connection stays', async (t) => {
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
  const { b } = await pairOf(t, site, { limits: { sendQueueBytesMax: 200_000, pingAfterMs: 100, idleTimeoutMs: 400 } })
  const socket = new WebSocket(b.url, ['qkme-peer.2'], { rejectUnauthorized: false, ...files(own(site, A)) } as never)
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
  const { b } = await pairOf(t, site)
  const tls = { rejectUnauthorized: false, ...files(own(site, A)) }
  const endOf = (data: string | Uint8Array): Promise<number> => new Promise((resolve) => {
    const socket = new WebSocket(b.url, ['qkme-peer.2'], tls as never)
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
