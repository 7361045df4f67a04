import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { DeviceSource } from '../../src/device/adapter.js'
import { openPush004 } from '../../src/device/push004.js'
import { readDeviceTls, type DeviceTls } from '../../src/device/device-https.js'
import { deviceCertificates } from '../device/tls-files.js'
import { bench, folder, until } from '../native/ring-support.js'
import { adapterSuite, Store, unitBytes, type TestDevice } from './adapter-suite.js'

const STREAM = '6f1c2d3e-4a5b-4c6d-8e7f-001122334455'
const BASE = '/api/v1/kms/etsi004'

/** A device that pushes chunks, and again until it hears that they are durable. */
class PushDevice implements TestDevice {
  source: DeviceSource | undefined
  private agent: Agent
  private opened: DeviceSource | undefined
  private readonly pending = new Set<Promise<unknown>>()
  private ended = false

  constructor (tls: DeviceTls) { this.agent = new Agent({ ...readDeviceTls(tls), keepAlive: true, maxSockets: 8 }) }

  name (n: number): { id: string, offset: number } { return { id: STREAM.replaceAll('-', ''), offset: n } }
  bytes (n: number): Uint8Array { return unitBytes(n, 32) }

  async post (method: string, body: string, cutAt?: number): Promise<{ status: number, body: { status?: number, qos?: { key_chunk_size: number } } }> {
    await until(() => (this.source?.counters()['listeningPort'] ?? 0) > 0, 'it listens')
    const port = this.source!.counters()['listeningPort']!
    return await new Promise((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, path: `${BASE}/${method}`, method: 'POST', agent: this.agent, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => { text += part })
        response.on('end', () => { resolve({ status: response.statusCode!, body: JSON.parse(text) as object }) })
      })
      outgoing.on('error', reject)
      if (cutAt === undefined) { outgoing.end(body); return }
      outgoing.write(body.slice(0, cutAt))
      setTimeout(() => { outgoing.destroy() }, 50)
    })
  }

  chunk (n: number, bytes: Uint8Array): string { return JSON.stringify({ status: 0, index: n, key_buffer: Buffer.from(bytes).toString('base64'), metadata: { size: 36, buffer: { key_stream_id: STREAM } } }) }

  private async push (n: number, bytes: Uint8Array): Promise<void> {
    const until200 = async (): Promise<void> => {
      while (!this.ended) {
        if (this.opened !== this.source) {
          this.opened = this.source
          await this.post('open-connect', JSON.stringify({ source: 'a', destination: 'b', key_stream_id: STREAM, qos: { key_chunk_size: 32 } })).catch(() => {})
        }
        const answer = await this.post('key-material', this.chunk(n, bytes)).catch(() => undefined)
        if (answer?.status === 200 || answer?.status === 400) return
        await new Promise((resolve) => { setTimeout(resolve, 20) })
      }
    }
    const sent = until200()
    this.pending.add(sent)
    sent.finally(() => { this.pending.delete(sent) })
    await Promise.race([sent, new Promise((resolve) => { setTimeout(resolve, 30) })])
  }

  give (n: number): Promise<void> { return this.push(n, this.bytes(n)) }
  giveOther (n: number): Promise<void> { return this.push(n, unitBytes(n + 500, 32)) }
  giveAfterGap (n: number): Promise<void> { return this.give(n) }
  async giveHalf (n: number): Promise<void> { await this.post('key-material', this.chunk(n, this.bytes(n)), 60).catch(() => {}) }
  giveRest (n: number): Promise<void> { return this.give(n) }
  die (): void { this.agent.destroy() }
  comeBack (): void { this.opened = undefined }
  close (): void { this.ended = true; this.agent.destroy() }
}

const settings = (tls: DeviceTls) => ({ host: '127.0.0.1', port: 0, basePath: BASE, tls, streams: 2, silentMs: 700, chunkBytes: 32 })

adapterSuite({
  name: 'ETSI 004 push',
  redelivers: false,
  lacks: { damaged: 'TLS protects the way; a body that is malformed is answered with 400', compromised: 'the interface has no word for it' },
  end: async () => {
    const { kme, device: tls } = await deviceCertificates()
    const device = new PushDevice(tls)
    return { open: (deps) => device.source = openPush004(settings(kme), deps), device }
  },
})

const start = async (t: Parameters<typeof folder>[0], change: object = {}) => {
  const { kme, device: tls } = await deviceCertificates()
  const device = new PushDevice(tls), at = folder(t)
  const store = new Store({ open: (deps) => device.source = openPush004({ ...settings(kme), ...change }, deps), device }, at, bench())
  t.teardown(() => { store.close(); device.close() })
  store.open()
  return { device, store }
}

t.test('a chunk is answered as taken when it is durable, not before', async (t) => {
  const { device, store } = await start(t)
  store.hold = true
  await device.post('open-connect', JSON.stringify({ source: 'a', destination: 'b', key_stream_id: STREAM, qos: { key_chunk_size: 32 } }))
  let answered = false
  const answer = device.post('key-material', device.chunk(0, device.bytes(0))).then((a) => { answered = true; return a })
  await until(() => store.held.length === 1, 'it is taken')
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  t.notOk(answered)
  store.held[0]!.acknowledge()
  t.match(await answer, { status: 200, body: { status: 0 } })
})

t.test('what does not fit is answered by the codes of the standard', async (t) => {
  const { device } = await start(t)
  const open = (more: object): Promise<{ status: number, body: object }> => device.post('open-connect', JSON.stringify({ source: 'a', destination: 'b', key_stream_id: STREAM, qos: { key_chunk_size: 32 }, ...more }))
  t.match(await device.post('key-material', device.chunk(0, device.bytes(0))), { status: 400, body: { message: /not open/ } }, 'a stream that nobody opened')
  t.match(await open({ qos: { key_chunk_size: 4_000 } }), { status: 500, body: { status: 7, qos: { key_chunk_size: 3_968 } } }, 'a counter-proposal')
  t.match(await open({ key_stream_id: null }), { status: 400, body: { message: /key_stream_id/ } })
  t.match(await open({}), { status: 200, body: { status: 0, key_stream_id: STREAM } })
  t.match(await open({ key_stream_id: STREAM.replace('6f', '7f') }), { status: 200 })
  t.match(await open({ key_stream_id: STREAM.replace('6f', '8f') }), { status: 500, body: { status: 4 } }, 'too many streams')
  for (const body of ['{}', '[1', '{"index":1}', device.chunk(-1, device.bytes(1)), device.chunk(2 ** 32, device.bytes(1)), device.chunk(1, new Uint8Array(3)), device.chunk(1, device.bytes(1)).replace(/"key_buffer":"./, '"key_buffer":"*')]) {
    t.match(await device.post('key-material', body), { status: 400 }, body.slice(0, 30))
  }
  t.match(await device.post('close', JSON.stringify({ key_stream_id: STREAM })), { status: 200, body: { status: 0 } })
  t.match(await device.post('other', '{}'), { status: 404 })
})

t.test('only the device of the link may push: another CA, or another name, is refused', async (t) => {
  const { stranger } = await deviceCertificates()
  const { device, store } = await start(t, { deviceName: 'another-device' })
  t.match(await device.post('open-connect', '{}'), { status: 401 })
  const other = new PushDevice(stranger)
  other.source = store.source
  await t.rejects(other.post('open-connect', '{}'))
  other.close()
  t.equal(store.frames.size, 0)
})

t.test('the index of a stream may go round', async (t) => {
  const { device, store } = await start(t)
  await device.give(2 ** 32 - 1)
  await device.give(0)
  await until(() => store.frames.size === 2, 'both')
  t.same([store.kinds(), store.source!.view().quarantine], [[], ''])
})

/** A device that waits to be asked: it takes open-connect, get-key and close, and pushes from get-key on, before it has answered that. */
const askedDevice = async (t: Parameters<typeof folder>[0]) => {
  const { kme, device: tls } = await deviceCertificates()
  const pushing = new PushDevice(tls), asked: { path: string, body: { key_stream_id?: string, qos?: { key_chunk_size: number } } }[] = []
  const state = { openStatus: 0, pushes: 2 }, pushed: number[] = []
  const server = createServer({ ...readDeviceTls(tls), requestCert: true, rejectUnauthorized: true }, (incoming, response) => {
    let text = ''
    incoming.setEncoding('utf8').on('data', (part: string) => { text += part })
    incoming.on('end', () => {
      asked.push({ path: incoming.url ?? '', body: JSON.parse(text) as object })
      const answer = (): void => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ status: state.openStatus, key_stream_id: STREAM })) }
      if (incoming.url !== '/qkd/get-key') { answer(); return }
      void (async () => {
        for (let n = state.pushes; n > 0; n--) pushed.push((await pushing.post('key-material', pushing.chunk(pushed.length, pushing.bytes(pushed.length)))).status)
        answer()
      })().catch(() => {}) // The KME may go while it is pushed to.
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const deviceUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}/qkd`
  const store = new Store({ open: (deps) => pushing.source = openPush004({ ...settings(kme), deviceUrl, streamId: STREAM, chunkBytes: 64 }, deps), device: pushing }, folder(t), bench())
  t.teardown(() => { store.close(); pushing.close(); server.closeAllConnections(); server.close() })
  return { asked, pushed, state, store }
}

t.test('deviceUrl: the KME opens the stream, asks for key, and takes what is pushed even before the answer; it closes at its end', async (t) => {
  const { asked, pushed, store } = await askedDevice(t)
  store.open()
  await until(() => store.frames.size === 2, 'both chunks')
  await until(() => pushed.length === 2, 'both answers')
  t.same(pushed, [200, 200], 'no chunk was refused')
  t.match(asked, [{ path: '/qkd/open-connect', body: { key_stream_id: STREAM, qos: { key_chunk_size: 64 } } }, { path: '/qkd/get-key', body: { key_stream_id: STREAM } }])
  store.close()
  await until(() => asked.some(({ path, body }) => path === '/qkd/close' && body.key_stream_id === STREAM), 'it says that it goes')
})

t.test('deviceUrl: a device that refuses, or that falls silent, is asked again', async (t) => {
  const { asked, state, store } = await askedDevice(t)
  const opens = (): number => asked.filter(({ path }) => path === '/qkd/open-connect').length
  state.openStatus = 4
  state.pushes = 0
  store.open()
  await until(() => store.reports.some((r) => r.type === 'device.absent' && /status 4 to open-connect/.test(r.reason)), 'the refusal is told')
  state.openStatus = 0
  await until(() => asked.some(({ path }) => path === '/qkd/get-key'), 'it is asked again')
  const before = opens()
  await until(() => opens() > before, 'it pushed nothing: asked again after silentMs')
  state.pushes = 1
  await until(() => store.frames.size === 1, 'key at last')
})
