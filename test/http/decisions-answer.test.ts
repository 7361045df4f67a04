/** Decisions A1 to A11, A35 to A39 and A47 to A54: what is answered. The key service is faked: here its refusals are mapped. */
import t, { type Test } from 'tap'
import type { KmeErrorCode } from '../../src/kernel/errors.js'
import type { KeyReply, Refusal } from '../../src/pool/service.js'
import { container, KEY_ID, startLab, TestPki, type Answer } from './lab.js'

const pki = await TestPki.create()
t.teardown(() => { pki.remove() })
const saeA = await pki.issue('sae-a'), saeB = await pki.issue('sae-b'), stranger = await pki.issue('sae-x')
const shared = await startLab(t, pki)
const ENC = '/api/v1/keys/sae-b/enc_keys', DEC = `/api/v1/keys/sae-b/dec_keys?key_ID=${KEY_ID}`, STATUS = '/api/v1/keys/sae-b/status'

/** What an SAE sees when the service refuses, at once and later, for enc_keys and dec_keys. */
const refusal = async (t: Test, wanted: Refusal): Promise<Answer> => {
  const lab = shared.reset()
  lab.service.onEnc = (_request, reply) => { reply.refuse(wanted) }
  lab.service.onDec = (_request, reply) => { setImmediate(() => { reply.refuse(wanted) }) }
  lab.service.onStatus = () => wanted
  const [atOnce, later, status] = [await lab.call(saeA, 'GET', ENC), await lab.call(saeA, 'GET', DEC), await lab.call(saeA, 'GET', STATUS)]
  for (const other of [later, status]) t.same([other.status, other.body], [atOnce.status, atOnce.body])
  t.same(lab.faults, [])
  return atOnce
}
const emptyUnauthorized = (t: Test, answer: Answer): void => {
  t.equal(answer.status, 401)
  t.equal(answer.body, '')
  t.equal(answer.headers.get('content-length'), '0')
  t.equal(answer.headers.has('content-type'), false)
}

t.test('A1: an unknown SAE in the path is 400 with details', async (t) => {
  const answer = await refusal(t, { code: 'BAD_REQUEST', message: 'slave_SAE_ID is not known', details: [{ slave_SAE_ID: 'unknown' }] })
  t.equal(answer.status, 400)
  t.same(answer.json(), { message: 'slave_SAE_ID is not known', details: [{ slave_SAE_ID: 'unknown' }] })
})

t.test('A1: the SAE ID of the path is percent-decoded after splitting; what is no ID is 400', async (t) => {
  const lab = shared.reset()
  t.equal((await lab.call(saeA, 'GET', '/api/v1/keys/urn:sae%2Fb%20'.replace('%20', '%23') + '/enc_keys')).status, 200)
  t.equal(lab.service.encRequests[0]?.slave, 'urn:sae/b#')
  for (const segment of ['a%20b', '%zz', '%ff', 'x'.repeat(65), 'a%00', 'a%22', '%C3%A9']) {
    const answer = await lab.call(saeA, 'GET', `/api/v1/keys/${segment}/enc_keys`)
    t.equal(answer.status, 400, segment)
    t.match(answer.json()['message'], /slave_SAE_ID/)
    t.match((await lab.call(saeA, 'GET', `/api/v1/keys/${segment}/dec_keys?key_ID=${KEY_ID}`)).json()['message'], /master_SAE_ID/)
  }
  t.equal(lab.service.encRequests.length, 1)
})

t.test('A2: a pair that is not allowed is 401 without a body', async (t) => { emptyUnauthorized(t, await refusal(t, { code: 'UNAUTHORIZED', message: 'not for you' })) })

t.test('A3: a valid certificate of an unregistered, suspended or revoked SAE is 401 without a body, on every path', async (t) => {
  const lab = shared.reset()
  for (const path of [ENC, DEC, STATUS, '/nothing', '/api/v1/keys/a%20b/enc_keys']) emptyUnauthorized(t, await lab.call(stranger, 'GET', path))
  emptyUnauthorized(t, await lab.call(stranger, 'DELETE', ENC))
  for (const state of ['suspended', 'revoked', 'unregistered'] as const) {
    lab.sessions.set('sae-x', state)
    emptyUnauthorized(t, await lab.call(stranger, 'GET', ENC))
  }
  lab.sessions.set('sae-x', 'active')
  t.equal((await lab.call(stranger, 'GET', ENC)).status, 200)
  lab.sessions.delete('sae-x')
  t.same(lab.service.encRequests.map(({ caller }) => caller), ['sae-x'])
  t.ok(lab.events.length > 0 && lab.events.every(({ event, subject }) => event === 'authentication.failed' && subject === 'sae-x'))
})

t.test('A4: a 401 has no body, Content-Length 0 and a challenge, and ends the connection', async (t) => {
  const answer = await shared.reset().call(stranger, 'POST', ENC, { body: '{}' })
  emptyUnauthorized(t, answer)
  t.equal(answer.headers.get('www-authenticate'), 'mTLS')
  t.equal(answer.headers.get('connection'), 'close')
})

t.test('A5: not enough keys is 503 with an Error body and Retry-After', async (t) => {
  const answer = await refusal(t, { code: 'NO_KEYS', message: 'insufficient key material', retryAfterS: 2.2 })
  t.equal(answer.status, 503)
  t.same(answer.json(), { message: 'insufficient key material' })
  t.equal(answer.headers.get('retry-after'), '3', 'whole seconds, rounded up')
  t.equal((await refusal(t, { code: 'NO_KEYS', message: 'x', retryAfterS: 0 })).headers.get('retry-after'), '1', 'never 0: that would be a busy loop')
})

for (const [decision, why] of [['A6', 'an unknown or consumed key'], ['A7', 'an expired key'], ['A9', 'the wrong master in the path'], ['A11', 'a list of which one is missing'], ['A51', 'a key that another request got first']] as const) {
  t.test(`${decision}: ${why} is 400 with the prescribed sentence and nothing else`, async (t) => {
    const answer = await refusal(t, { code: 'KEYS_NOT_FOUND', message: `internal reason: ${why}`, details: [{ why }] })
    t.equal(answer.status, 400)
    t.equal(answer.body, '{"message":"one or more keys specified are not found on KME"}')
  })
}

t.test('A8, A10: dec_keys by an SAE that is not a slave, or by the master itself, is 401 without a body', async (t) => {
  const lab = shared.reset()
  lab.service.onDec = (_request, reply) => { reply.refuse({ code: 'UNAUTHORIZED', message: 'not a slave' }) }
  emptyUnauthorized(t, await lab.call(saeB, 'GET', `/api/v1/keys/sae-a/dec_keys?key_ID=${KEY_ID}`))
  emptyUnauthorized(t, await lab.call(saeA, 'GET', `/api/v1/keys/sae-a/dec_keys?key_ID=${KEY_ID}`))
  t.same(lab.service.decRequests.map(({ caller, master }) => [caller, master]), [['sae-b', 'sae-a'], ['sae-a', 'sae-a']], 'the service decides, also for the master')
})

t.test('A11: all IDs of a request reach the service in one call, which takes all or nothing', async (t) => {
  const lab = shared.reset()
  const keyIds = [KEY_ID, KEY_ID.replace('5', '6'), KEY_ID.replace('5', '7')]
  await lab.call(saeB, 'POST', '/api/v1/keys/sae-a/dec_keys', { body: JSON.stringify({ key_IDs: keyIds.map((key_ID) => ({ key_ID })) }) })
  t.same(lab.service.decRequests, [{ caller: 'sae-b', master: 'sae-a', keyIds }])
})

t.test('A35: an internal failure is 503 with an Error body that tells no internals', async (t) => {
  for (const code of ['STORE_CORRUPT', 'INTERNAL', 'ARENA_FULL', 'STORE_FULL', 'DEVICE_FAULT'] satisfies KmeErrorCode[]) {
    const answer = await refusal(t, { code, message: 'page 17 of /var/lib/qkme/data.mdb', details: [{ file: 'data.mdb' }] })
    t.equal(answer.status, 503)
    t.notMatch(answer.body, 'data.mdb')
    t.ok(answer.headers.has('retry-after'))
  }
})

t.test('A35: a bug in the key service is 503, and the supervisor hears of it', async (t) => {
  const lab = shared.reset()
  lab.service.onEnc = () => { throw new Error('secret detail') }
  const answer = await lab.call(saeA, 'GET', ENC)
  t.equal(answer.status, 503)
  t.notMatch(answer.body, 'secret')
  t.match(lab.faults, [{ message: 'secret detail' }])
  lab.service.onEnc = (_request, reply) => { lab.service.deliver(reply); lab.service.deliver(reply) }
  t.equal((await lab.call(saeA, 'GET', ENC)).body, Buffer.from(container()).toString())
  t.same(lab.service.abortedDeliveries, [1], 'a second reply is burned, not sent')
  t.match(lab.faults[1], { message: /replies once/ })
})

t.test('A36: a remote KME that is away is 503', async (t) => {
  const answer = await refusal(t, { code: 'PEER_DOWN', message: 'the KME of this SAE cannot be reached' })
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '5')
})

t.test('A37, A38, A39: Status has the eleven members with the service\'s figures; stored_key_count never exceeds max_key_count', async (t) => {
  const lab = shared.reset()
  const base = lab.service.onStatus('sae-a', 'sae-b')
  lab.service.onStatus = () => ({ ...base as Exclude<typeof base, Refusal>, targetKme: 'kme-a', storedKeyCount: 100_001, extension: { qkme_source: 'local "random"' } })
  t.same((await lab.call(saeA, 'GET', STATUS)).json(), {
    source_KME_ID: 'kme-a', target_KME_ID: 'kme-a', master_SAE_ID: 'sae-a', slave_SAE_ID: 'sae-b', key_size: 256, stored_key_count: 100_000, max_key_count: 100_000,
    max_key_per_request: 128, max_key_size: 8_192, min_key_size: 64, max_SAE_ID_count: 8, status_extension: { qkme_source: 'local "random"' },
  })
  t.equal('status_extension' in (await shared.reset().call(saeA, 'GET', STATUS)).json(), false)
})

t.test('A47, A54: every answer is no-store and nosniff; bodies are application/json', async (t) => {
  const lab = shared.reset()
  const answers = [
    await lab.call(saeA, 'GET', ENC), await lab.call(saeA, 'GET', STATUS), await lab.call(saeB, 'GET', `/api/v1/keys/sae-a/dec_keys?key_ID=${KEY_ID}`), await lab.call(stranger, 'GET', ENC),
    await lab.call(saeA, 'GET', '/x'), await lab.call(saeA, 'PUT', ENC), await lab.call(saeA, 'HEAD', ENC), await lab.call(saeA, 'GET', `${ENC}?x=1`),
    await lab.call(saeA, 'POST', ENC, { body: '{}', type: 'text/plain' }), await lab.call(saeA, 'POST', ENC, { body: 'x'.repeat(70_000) }), await refusal(t, { code: 'NO_KEYS', message: 'x' }),
  ]
  t.same(answers.map(({ status }) => status), [200, 200, 200, 401, 404, 405, 405, 400, 415, 413, 503])
  for (const { headers, body, status } of answers) {
    t.equal(headers.get('cache-control'), 'no-store', String(status))
    t.equal(headers.get('x-content-type-options'), 'nosniff')
    t.equal(headers.get('content-type'), body === '' ? undefined : 'application/json')
    for (const name of headers.keys()) t.notMatch(name, /^access-control-/, 'CORS is off')
  }
})

t.test('A49: keys that a client does not wait for are reported as aborted', async (t) => {
  const lab = shared.reset()
  let owed: KeyReply | undefined
  lab.service.onEnc = (_request, reply) => { owed = reply }
  const client = await lab.connect(saeA)
  client.send(`GET ${ENC} HTTP/1.1\r\nHost: a\r\n\r\n`)
  await until(() => owed !== undefined)
  const connections = lab.server.counters.connections
  client.destroy()
  await until(() => lab.server.counters.connections < connections)
  const delivery = lab.service.deliver(owed as KeyReply)
  t.same(lab.service.abortedDeliveries, [delivery])
  t.match(lab.events, [{ event: 'delivery.aborted', subject: 'sae-a', category: 'key-access' }])
  t.equal(lab.server.counters.pending, 0)
  t.same(lab.faults, [])
})

t.test('A50: enc_keys waits for the service, which replies when the other KME has confirmed', async (t) => {
  const lab = shared.reset()
  lab.service.onEnc = (_request, reply) => { setTimeout(() => { lab.service.deliver(reply) }, 30) }
  t.equal((await lab.call(saeA, 'GET', ENC)).body, Buffer.from(container()).toString())
})

t.test('A52: IDs are asked for in the order of the request, and the service\'s container goes out as it is', async (t) => {
  const lab = shared.reset()
  const keyIds = [9, 1, 5].map((n) => `550e8400-e29b-41d4-a716-44665544000${n}`)
  lab.service.onDec = (_request, reply) => { lab.service.deliver(reply, Buffer.from('{"keys":["any", "bytes" ]}')) }
  const answer = await lab.call(saeB, 'POST', '/api/v1/keys/sae-a/dec_keys', { body: JSON.stringify({ key_IDs: keyIds.map((key_ID) => ({ key_ID })) }) })
  t.equal(answer.body, '{"keys":["any", "bytes" ]}')
  t.same(lab.service.decRequests[0]?.keyIds, keyIds)
})

t.test('A53: sizes that are no multiple of 8 bits are refused with the prescribed sentence', async (t) => {
  t.match((await shared.reset().call(saeA, 'POST', ENC, { body: '{"size":255}' })).json(), { message: 'size shall be a multiple of 8' })
})

const until = async (done: () => boolean): Promise<void> => { while (!done()) await new Promise<void>((resolve) => { setTimeout(resolve, 2) }) }
