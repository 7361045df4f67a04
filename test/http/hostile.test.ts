/** Clients that break the rules, or do not read, or go away: none of them may hurt another. */
import t, { type Test } from 'tap'
import type { KeyReply } from '../../src/pool/service.js'
import { container, KEY_ID, request, startLab, TestPki, type Client, type Lab } from './lab.js'

const pki = await TestPki.create()
t.teardown(() => { pki.remove() })
const saeA = await pki.issue('sae-a'), saeB = await pki.issue('sae-b')
const shared = await startLab(t, pki)
const ENC = '/api/v1/keys/sae-x/enc_keys', DEC = `/api/v1/keys/sae-x/dec_keys?key_ID=${KEY_ID}`
const until = async (done: () => boolean): Promise<void> => { while (!done()) await new Promise<void>((resolve) => { setTimeout(resolve, 2) }) }
/** No stretch of it is like another: what is sent from the wrong place shows. */
const big = (bytes: number): Uint8Array => container(Array.from({ length: bytes / 8 }, (_, i) => String(i).padStart(8, '0')).join(''))

/** Another SAE is served as if nothing had happened, and no bug was met. */
const othersAreFine = async (t: Test, lab: Lab): Promise<void> => {
  lab.service.onEnc = (_request, reply) => { lab.service.deliver(reply) }
  t.equal((await lab.call(saeB, 'GET', ENC)).status, 200)
  t.same(lab.faults, [])
}

t.test('malformed framing is refused, ends the connection, and nothing behind it is read', async (t) => {
  const lab = shared.reset()
  const behind = `GET ${ENC} HTTP/1.1\r\nHost: a\r\n\r\n`
  const json = 'Content-Type: application/json'
  const cases: Record<string, string> = {
    'Content-Length twice': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}`,
    'Content-Length twice, different': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: 2\r\nContent-Length: ${2 + behind.length}\r\n\r\n{}`,
    'Content-Length twice on GET': `GET ${ENC} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n`,
    'Content-Length and chunked': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'another transfer coding': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    'a coding that looks like chunked': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
    'Transfer-Encoding twice': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
    'negative length': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: -1\r\n\r\n{}`,
    'length with a sign': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: +2\r\n\r\n{}`,
    'length list': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: 2, 2\r\n\r\n{}`,
    'huge length': `POST ${ENC} HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: 99999999999999999999999\r\n\r\n{}`,
  }
  for (const [name, text] of Object.entries(cases)) {
    const client = await lab.connect(saeA)
    client.send(text)
    const answer = await client.answer()
    t.equal(answer?.status, 400, name)
    await client.whenClosed()
    t.equal(client.closed, true)
  }
  t.same(lab.service.encRequests, [])
  await othersAreFine(t, lab)
})

t.test('what is not HTTP/1.1 is refused by the parser and ends the connection', async (t) => {
  const lab = shared.reset()
  const lines: Record<string, string> = {
    'garbage': '\u0000\u0001\u0002garbage\r\n\r\n', 'HTTP/1.0': `GET ${ENC} HTTP/1.0\r\n\r\n`, 'HTTP/2.0': `GET ${ENC} HTTP/2.0\r\nHost: a\r\n\r\n`,
    'no Host': `GET ${ENC} HTTP/1.1\r\n\r\n`, 'absolute form': `GET https://a${ENC} HTTP/1.1\r\nHost: a\r\n\r\n`, 'bare line feeds': `GET ${ENC} HTTP/1.1\nHost: a\n\n`,
    'space before the colon': `GET ${ENC} HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc`, 'folded header': `GET ${ENC} HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n`,
    'a header of 5 KiB': `GET ${ENC} HTTP/1.1\r\nHost: a\r\nA: ${'b'.repeat(5_000)}\r\n\r\n`, 'a header of 200 KiB': `GET ${ENC} HTTP/1.1\r\nHost: a\r\nA: ${'b'.repeat(200_000)}\r\n\r\n`,
    'many headers': `GET ${ENC} HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(150)}\r\n`, 'a long path': `GET /${'a'.repeat(5_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 'NUL in the path': 'GET /a\u0000b HTTP/1.1\r\nHost: a\r\n\r\n',
  }
  for (const [name, text] of Object.entries(lines)) {
    const client = await lab.connect(saeA)
    client.send(text)
    const answer = await client.answer()
    t.ok(answer === undefined || [400, 431, 505].includes(answer.status), name)
    await client.whenClosed()
  }
  t.same(lab.service.encRequests, [])
  await othersAreFine(t, lab)
})

t.test('requests that come in pieces, byte by byte, are read', async (t) => {
  const lab = shared.reset()
  const client = await lab.connect(saeA)
  client.socket.setNoDelay(true)
  for (const byte of request('POST', ENC, { body: '{"number":3}' })) {
    client.send(new Uint8Array([byte]))
    await new Promise<void>((resolve) => { setImmediate(resolve) })
  }
  t.equal((await client.answer())?.status, 200)
  t.equal(lab.service.encRequests[0]?.number, 3)
})

t.test('a chunked body in many pieces is read, and one above 64 KiB is 413', async (t) => {
  const lab = shared.reset()
  const head = `POST ${ENC} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`
  const client = await lab.connect(saeA)
  client.send(head)
  for (const piece of ['{"num', 'ber"', ':4}']) {
    client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`)
    await new Promise<void>((resolve) => { setTimeout(resolve, 5) })
  }
  client.send('0\r\n\r\n')
  t.equal((await client.answer())?.status, 200)
  t.equal(lab.service.encRequests[0]?.number, 4)
  client.send(head)
  for (let i = 0; i < 17; i++) client.send(`1000\r\n${' '.repeat(4_096)}\r\n`)
  t.equal((await client.answer())?.status, 413)
  await client.whenClosed()
  t.equal(lab.service.encRequests.length, 1)
})

t.test('the bodies of all connections together are bounded', async (t) => {
  const lab = await startLab(t, pki, { limits: { bodiesBytes: 100_000 } })
  const half = Buffer.concat([Buffer.from(`POST ${ENC} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n`), Buffer.alloc(1_000, ' ')])
  const [first, second] = [await lab.connect(saeA), await lab.connect(saeA)]
  first.send(half)
  await until(() => lab.server.counters.pending === 1)
  second.send(half)
  const answer = await second.answer()
  t.equal(answer?.status, 503)
  t.ok(answer?.headers.has('retry-after'))
  first.destroy()
  await until(() => lab.server.counters.pending === 0)
  const third = await lab.connect(saeA)
  third.send(half)
  await until(() => lab.server.counters.pending === 1)
  third.send(Buffer.concat([Buffer.alloc(58_998, ' '), Buffer.from('{}')]))
  t.equal((await third.answer())?.status, 200, 'what the first had is free again')
  t.equal(lab.server.counters.requests('enc_keys', 'aborted'), 1)
})

t.test('a client that sends half a body and stops is ended by the idle limit', async (t) => {
  const lab = await startLab(t, pki, { idleTimeoutS: 4 })
  const [slowBody, slowHeader] = [await lab.connect(saeA), await lab.connect(saeA)]
  slowBody.send(`POST ${ENC} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`)
  slowHeader.send('GET /api')
  await Promise.all([slowBody.whenClosed(), slowHeader.whenClosed()])
  t.same([slowBody.received, slowHeader.received], ['', ''])
  t.equal(lab.server.counters.pending, 0)
  await othersAreFine(t, lab)
})

t.test('pipelined requests are answered in order', async (t) => {
  const lab = shared.reset()
  const client = await lab.connect(saeA)
  lab.service.onEnc = ({ number }, reply) => { lab.service.deliver(reply, container(String(number))) }
  client.send(Buffer.concat([1, 2, 3, 4, 5].map((n) => request('GET', `${ENC}?number=${n}`))))
  for (const n of [1, 2, 3, 4, 5]) t.match((await client.answer())?.body, `"key":"${n}"`)
})

t.test('a request pipelined behind an answer that is not there yet ends the connection, and the keys are burned', async (t) => {
  const lab = shared.reset()
  const owed: KeyReply[] = []
  lab.service.onDec = (_request, reply) => { owed.push(reply) }
  const client = await lab.connect(saeA)
  client.send(Buffer.concat([request('GET', DEC), request('GET', DEC)]))
  await client.whenClosed()
  t.equal(owed.length, 1)
  const delivery = lab.service.deliver(owed[0] as KeyReply)
  t.same(lab.service.abortedDeliveries, [delivery])
  await othersAreFine(t, lab)
})

/** Sends `count` requests without reading a byte. */
const flood = async (lab: Lab, path: string, count: number): Promise<Client> => {
  const client = await lab.connect(saeA)
  client.socket.pause()
  client.send(Buffer.concat(Array.from({ length: count }, () => request('GET', path))))
  return client
}

t.test('a client that pipelines 40,000 enc_keys and never reads costs little memory and little key', async (t) => {
  const lab = shared.reset()
  const before = process.memoryUsage().external + process.memoryUsage().heapUsed
  const connections = lab.server.counters.connections
  const client = await flood(lab, ENC, 40_000)
  await until(() => lab.server.counters.connections <= connections)
  t.ok(lab.service.deliveries < 100, `${lab.service.deliveries} keys cut: its share of one turn`)
  t.ok(process.memoryUsage().external + process.memoryUsage().heapUsed - before < 64 * 2 ** 20)
  client.destroy()
  await othersAreFine(t, lab)
})

t.test('a client that pipelines requests for large answers and never reads has one that did not fit, and it is burned', async (t) => {
  const lab = shared.reset()
  lab.service.onEnc = (_request, reply) => { lab.service.deliver(reply, big(1_000_000)) }
  const connections = lab.server.counters.connections
  const client = await flood(lab, ENC, 40)
  await until(() => lab.server.counters.connections <= connections)
  t.ok(lab.service.deliveries < 40, `${lab.service.deliveries} answers`)
  t.equal(lab.service.abortedDeliveries.length, 1, 'the answer that did not fit')
  client.destroy()
  await othersAreFine(t, lab)
})

t.test('an SAE with more requests at once than its share of a turn gets all of them, on many connections', async (t) => {
  const lab = shared.reset()
  const clients = await Promise.all(Array.from({ length: 100 }, () => lab.connect(saeA)))
  for (const [i, client] of clients.entries()) client.send(request('GET', [ENC, DEC, '/api/v1/keys/sae-x/status'][i % 3] as string))
  for (const client of clients) t.equal((await client.answer())?.status, 200)
  for (const client of clients) client.send(request('POST', ENC, { body: '{"number":2}' }))
  for (const client of clients) t.equal((await client.answer())?.status, 200)
  t.equal(lab.server.counters.pending, 0)
  for (const client of clients) client.destroy()
  await othersAreFine(t, lab)
})

t.test('above its share of a turn a bad request ends the connection, so that a pipeline of them is short', async (t) => {
  const lab = shared.reset()
  const client = await lab.connect(saeA)
  client.send(Buffer.concat(Array.from({ length: 2_000 }, () => request('GET', `${ENC}?x=1`))))
  await client.whenClosed()
  t.ok(lab.server.counters.requests('enc_keys', '400') < 100, `${lab.server.counters.requests('enc_keys', '400')} refusals`)
  await othersAreFine(t, lab)
})

t.test('a client that pipelines 40,000 refused requests and never reads costs little memory', async (t) => {
  const lab = shared.reset()
  const rss = process.memoryUsage().rss
  for (const [path, sessions] of [[`${ENC}?x=1`, 'active'], ['/nothing', 'active'], [ENC, 'suspended']] as const) {
    lab.sessions.set('sae-a', sessions)
    const connections = lab.server.counters.connections
    const client = await flood(lab, path, 40_000)
    await until(() => lab.server.counters.connections <= connections)
    client.destroy()
  }
  lab.sessions.set('sae-a', 'active')
  t.ok(process.memoryUsage().rss - rss < 64 * 2 ** 20, `${process.memoryUsage().rss - rss} bytes`)
  t.ok(lab.events.length < 500, 'the log is bounded too')
  t.ok(lab.server.counters.eventsHeldBack > 0)
  await othersAreFine(t, lab)
})

t.test('a large answer reaches a slow reader whole', async (t) => {
  const lab = shared.reset()
  lab.service.onEnc = (_request, reply) => { lab.service.deliver(reply, big(8_000_000)) }
  const client = await lab.connect(saeA)
  client.socket.pause()
  client.send(request('GET', ENC))
  await until(() => lab.server.counters.pending === 1)
  client.socket.resume()
  t.equal((await client.answer())?.body, Buffer.from(big(8_000_000)).toString())
  t.equal(lab.server.counters.pending, 0)
  t.same(lab.service.abortedDeliveries, [])
  client.send(request('GET', DEC))
  t.equal((await client.answer())?.status, 200, 'the connection goes on')
})

t.test('an abort during a large answer burns its keys, and says so', async (t) => {
  const lab = shared.reset()
  for (const later of [false, true]) {
    lab.service.onEnc = (_request, reply) => {
      const deliver = (): void => { lab.service.deliver(reply, big(8_000_000)) }
      if (later) setImmediate(deliver)
      else deliver()
    }
    const client = await lab.connect(saeA)
    client.socket.pause()
    client.send(request('GET', ENC))
    await until(() => lab.service.deliveries > (later ? 1 : 0) && lab.server.counters.pending === 1)
    client.destroy()
    await until(() => lab.server.counters.pending === 0)
  }
  t.same(lab.service.abortedDeliveries, [0, 1])
  t.match(lab.events, [{ event: 'delivery.aborted', outcome: 'detected' }, { event: 'delivery.aborted' }])
  await othersAreFine(t, lab)
})

t.test('the rests of all answers together are bounded; what does not fit is burned', async (t) => {
  const lab = await startLab(t, pki, { limits: { answersBytes: 1_000_000 } })
  lab.service.onEnc = (_request, reply) => { lab.service.deliver(reply, big(8_000_000)) }
  const client = await lab.connect(saeA)
  client.socket.pause()
  client.send(request('GET', ENC))
  await until(() => lab.service.abortedDeliveries.length === 1)
  client.destroy()
  t.equal(lab.server.counters.pending, 0)
  await othersAreFine(t, lab)
})

t.test('a half-closed connection with a request under way is closed and its keys are burned', async (t) => {
  const lab = shared.reset()
  let owed: KeyReply | undefined
  lab.service.onEnc = (_request, reply) => { owed = reply }
  const client = await lab.connect(saeA)
  client.send(request('GET', ENC))
  await until(() => owed !== undefined)
  client.socket.end()
  await client.whenClosed()
  await until(() => lab.server.counters.pending === 0)
  lab.service.deliver(owed as KeyReply)
  t.same(lab.service.abortedDeliveries, [0])
  await othersAreFine(t, lab)
})

t.test('a service that replies after the client went away, with a refusal, is no fault', async (t) => {
  const lab = shared.reset()
  let owed: KeyReply | undefined
  lab.service.onEnc = (_request, reply) => { owed = reply }
  const client = await lab.connect(saeA)
  client.send(request('POST', ENC, { body: '{}' }))
  await until(() => owed !== undefined)
  client.destroy()
  await until(() => lab.server.counters.pending === 0)
  owed?.refuse({ code: 'NO_KEYS', message: 'late' })
  await othersAreFine(t, lab)
})
