/** Decisions A12 to A34 and A40 to A46: how a request is read. One test per decision, over real TLS. */
import t, { type Test } from 'tap'
import type { Issued } from '../../src/crypto/pki.js'
import { sentences } from '../../src/http/status.js'
import { KEY_ID, request, startLab, TestPki, type CallOptions, type Lab } from './lab.js'

const pki = await TestPki.create()
t.teardown(() => { pki.remove() })
const saeA = await pki.issue('sae-a')
const shared = await startLab(t, pki)
const ENC = '/api/v1/keys/sae-b/enc_keys', DEC = '/api/v1/keys/sae-b/dec_keys', STATUS = '/api/v1/keys/sae-b/status'

/** Each call must be refused with `status` before the key service is asked, and be answered on a connection that works. */
const refusedCalls = async (t: Test, lab: Lab, status: number, calls: readonly (readonly [string, string, CallOptions?])[], who: Issued = saeA): Promise<string[]> => {
  const messages: string[] = []
  for (const [method, path, options] of calls) {
    const answer = await lab.call(who, method, path, options)
    t.equal(answer.status, status, `${method} ${path} ${String(options?.body ?? '')}`)
    t.equal(answer.headers.get('content-type'), 'application/json')
    const body = answer.json()
    t.type(body['message'], 'string')
    messages.push(body['message'] as string)
  }
  t.same(lab.service.encRequests, [])
  t.same(lab.service.decRequests, [])
  t.same(lab.faults, [])
  return messages
}
const post = (path: string, ...bodies: string[]): (readonly [string, string, CallOptions])[] => bodies.map((body) => ['POST', path, { body }])
const ids = (...keyIds: unknown[]): string => JSON.stringify({ key_IDs: keyIds.map((key_ID) => ({ key_ID })) })

t.test('A12: the same key_ID twice in one list is 400, also in another letter case', async (t) => {
  await refusedCalls(t, shared.reset(), 400, post(DEC, ids(KEY_ID, KEY_ID), ids(KEY_ID, KEY_ID.toUpperCase())))
})

t.test('A13: number that is 0, negative, a fraction, a string or too large is 400 and named in details', async (t) => {
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, [
    ...post(ENC, '{"number":0}', '{"number":-1}', '{"number":1.5}', '{"number":"3"}', '{"number":129}', '{"number":true}', '{"number":[1]}', '{"number":1e999}', '{"number":9007199254740993}'),
    ...['0', '-1', '1.5', 'abc', '129', '0x1', '%20', '1e0', '99999999999999999999'].map((n) => ['GET', `${ENC}?number=${n}`] as const),
  ])
  const answer = await lab.call(saeA, 'POST', ENC, { body: '{"number":129}' })
  t.same(answer.json()['details'], [{ number: 'must be an integer from 1 to 128' }])
})

t.test('A14: the multiple-of-8 rule is tested before the range, so that its sentence wins', async (t) => {
  const lab = shared.reset()
  const messages = await refusedCalls(t, lab, 400, [...post(ENC, '{"size":12}', '{"size":9001}', '{"size":257}'), ['GET', `${ENC}?size=9001`]])
  t.ok(messages.every((message) => message === 'size shall be a multiple of 8'))
  t.not((await refusedCalls(t, lab, 400, [...post(ENC, '{"size":56}', '{"size":8200}'), ['GET', `${ENC}?size=8200`]]))[0], sentences.sizeMultiple)
})

t.test('A15: size 0 or negative is 400', async (t) => {
  await refusedCalls(t, shared.reset(), 400, [...post(ENC, '{"size":0}', '{"size":-8}', '{"size":"256"}'), ['GET', `${ENC}?size=0`], ['GET', `${ENC}?size=-8`], ['GET', `${ENC}?size=abc01`]])
})

t.test('A16: more key_IDs than max_key_per_request is 400; as many is not', async (t) => {
  const lab = shared.reset()
  const many = (count: number): string => ids(...Array.from({ length: count }, (_, i) => `550e8400-e29b-41d4-a716-${i.toString().padStart(12, '0')}`))
  await refusedCalls(t, lab, 400, post(DEC, many(129)))
  t.equal((await lab.call(saeA, 'POST', DEC, { body: many(128) })).status, 200)
})

t.test('A17: empty or missing key_IDs is 400, and so is no body', async (t) => {
  await refusedCalls(t, shared.reset(), 400, [...post(DEC, '{"key_IDs":[]}', '{}', '', '{"key_IDs":{}}', '{"key_IDs":[{}]}'), ['POST', DEC], ['GET', DEC]])
})

t.test('A18: a key_ID that is not a UUID is 400', async (t) => {
  const wrong = ['', 'x', KEY_ID.slice(1), `${KEY_ID}0`, KEY_ID.replaceAll('-', ''), `{${KEY_ID}}`, KEY_ID.replace('5', 'g'), `${KEY_ID}\n`]
  await refusedCalls(t, shared.reset(), 400, [
    ...post(DEC, ...wrong.map((id) => ids(id)), ids(5), ids(null), '{"key_IDs":["' + KEY_ID + '"]}'),
    ['GET', `${DEC}?key_ID=${KEY_ID.slice(1)}`], ['GET', `${DEC}?key_ID=${'-'.repeat(36)}`],
  ])
})

t.test('A19: a UUID is read in either case and passed on in lower case', async (t) => {
  const lab = shared.reset()
  t.equal((await lab.call(saeA, 'GET', `${DEC}?key_ID=${KEY_ID.toUpperCase()}`)).status, 200)
  t.equal((await lab.call(saeA, 'POST', DEC, { body: ids(KEY_ID.toUpperCase()) })).status, 200)
  t.same(lab.service.decRequests.map(({ keyIds }) => keyIds), [[KEY_ID], [KEY_ID]])
})

t.test('A20: any UUID version and variant is read', async (t) => {
  const lab = shared.reset()
  for (const id of ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '550e8400-e29b-11d4-0716-446655440000']) {
    t.equal((await lab.call(saeA, 'GET', `${DEC}?key_ID=${id}`)).status, 200)
  }
})

t.test('A21: POST enc_keys without a body is an empty Key request', async (t) => {
  const lab = shared.reset()
  for (const options of [{}, { body: '' }, { body: '', type: 'text/plain' }, { headers: ['Transfer-Encoding: chunked', 'Content-Type: application/json'] }]) {
    const client = await lab.connect(saeA)
    client.send(request('POST', ENC, options))
    if (options.headers !== undefined) client.send('0\r\n\r\n')
    t.equal((await client.answer())?.status, 200)
    client.destroy()
  }
  t.equal((await lab.call(saeA, 'POST', ENC, { body: '{}' })).status, 200)
  for (const { number, sizeBits } of lab.service.encRequests) t.same([number, sizeBits], [1, 256])
})

t.test('A22: a body of another Content-Type, or of none, is 415; parameters of the type are fine', async (t) => {
  const lab = shared.reset()
  await refusedCalls(t, lab, 415, ['', 'text/plain', 'application/json5', 'application/x-www-form-urlencoded', 'xapplication/json'].map((type) => ['POST', ENC, { body: '{}', type }]))
  for (const type of ['application/json', 'Application/JSON', 'application/json; charset=utf-8', 'application/json;charset="UTF-8"']) {
    t.equal((await lab.call(saeA, 'POST', ENC, { body: '{}', type })).status, 200, type)
  }
})

t.test('A22: by switch, a body without a Content-Type is read as JSON; another type is still 415', async (t) => {
  const lab = await startLab(t, pki, { rules: { strictContentType: false } })
  await refusedCalls(t, lab, 415, [['POST', ENC, { body: '{}', type: 'text/plain' }]])
  t.equal((await lab.call(saeA, 'POST', ENC, { body: '{}', type: '' })).status, 200)
})

t.test('A23: query parameters on POST are 400', async (t) => {
  await refusedCalls(t, shared.reset(), 400, [['POST', `${ENC}?number=1`, { body: '{}' }], ['POST', `${DEC}?key_ID=${KEY_ID}`, { body: ids(KEY_ID) }]])
})

t.test('A24: a body on GET is 400 and ends the connection', async (t) => {
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, [['GET', ENC, { body: '{}' }], ['GET', `${DEC}?key_ID=${KEY_ID}`, { body: '{}' }], ['GET', STATUS, { body: '{}' }], ['GET', ENC, { headers: ['Transfer-Encoding: chunked'] }]])
  const client = await lab.connect(saeA)
  client.send(request('GET', ENC, { body: '{}' }))
  t.equal((await client.answer())?.headers.get('connection'), 'close')
  await client.whenClosed()
  t.equal((await lab.call(saeA, 'GET', ENC, { headers: ['Content-Length: 0'] })).status, 200)
})

t.test('A25: unknown, repeated and empty query parameters and bad escapes are 400', async (t) => {
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, [
    ...['foo=1', 'number=1&number=2', 'number=1&number=1', 'number=', 'number', '=1', '&', 'number=1&', 'number=%zz', 'num%62er=1&number=1', 'Number=1', 'key_ID=x'].map((query) => ['GET', `${ENC}?${query}`] as const),
    ...[`key_ID=${KEY_ID}&key_ID=${KEY_ID}`, `key_ID=${KEY_ID}&x=1`, 'key_ID=', `key_id=${KEY_ID}`].map((query) => ['GET', `${DEC}?${query}`] as const),
    ['GET', `${STATUS}?number=1`],
  ])
  t.equal((await lab.call(saeA, 'GET', `${ENC}?`)).status, 200)
  t.equal((await lab.call(saeA, 'GET', `${ENC}?num%62er=3&size=1024`)).status, 200)
  t.match(lab.service.encRequests[1], { number: 3, sizeBits: 1024 })
})

t.test('A26: GET with extension or additional slave parameters is 400', async (t) => {
  const messages = await refusedCalls(t, shared.reset(), 400, ['extension_mandatory=[]', 'extension_optional=x', 'additional_slave_SAE_IDs=sae-c'].map((query) => ['GET', `${ENC}?${query}`]))
  t.ok(messages.every((message) => message.includes('use POST')))
})

t.test('A27: unknown members are ignored, but a wrong letter case is 400 with a hint; strict mode refuses both', async (t) => {
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, post(ENC, '{"Size":256}', '{"NUMBER":1}', '{"additional_slave_sae_ids":[]}', '{"Extension_mandatory":[]}'))
  t.equal((await lab.call(saeA, 'POST', ENC, { body: '{"future":1,"__proto__":2,"constructor":3}' })).status, 200)
  t.equal((await lab.call(saeA, 'POST', DEC, { body: `{"future":1,"key_IDs":[{"key_ID":"${KEY_ID}","more":1}]}` })).status, 200)
  const strict = await startLab(t, pki, { rules: { strictMembers: true } })
  await refusedCalls(t, strict, 400, [...post(ENC, '{"future":1}'), ...post(DEC, `{"key_IDs":[{"key_ID":"${KEY_ID}","more":1}]}`, `{"x":1,"key_IDs":[{"key_ID":"${KEY_ID}"}]}`)])
})

t.test('A28: wrong-case aliases of key_IDs are not accepted', async (t) => {
  const messages = await refusedCalls(t, shared.reset(), 400, post(DEC, `{"key_ids":[{"key_ID":"${KEY_ID}"}]}`, `{"key_IDs":[{"key_id":"${KEY_ID}"}]}`, `{"Key_IDs":[{"key_ID":"${KEY_ID}"}]}`))
  t.ok(messages.every((message) => message.includes('must be spelled')))
})

t.test('A29: null for an optional member is 400', async (t) => {
  await refusedCalls(t, shared.reset(), 400, [
    ...post(ENC, '{"number":null}', '{"size":null}', '{"additional_slave_SAE_IDs":null}', '{"extension_mandatory":null}', '{"extension_optional":null}', 'null'),
    ...post(DEC, `{"key_IDs":[{"key_ID":"${KEY_ID}"}],"key_IDs_extension":null}`, `{"key_IDs":[{"key_ID":"${KEY_ID}","key_ID_extension":null}]}`, '{"key_IDs":null}'),
  ])
})

t.test('A30: repeated members, trailing bytes, BOM, invalid UTF-8 and deep nesting are 400; a large body is 413', async (t) => {
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, [
    ...post(ENC, '{"number":1,"number":1}', '{"number":1,"n\\u0075mber":2}', '{"x":{"a":1,"a":2}}', '{}x', '{} {}', '\ufeff{}', `{"x":${'['.repeat(32)}${']'.repeat(32)}}`, '{"number":1', '{number:1}', '[]', '"x"', '{"x":\'y\'}', '{"x":1,}', '{"x":NaN}', '{"x":"\\ud800"}', '{"x":"\u0001"}', '{"x":01}'),
    ['POST', ENC, { body: Buffer.from([0x7b, 0x22, 0x78, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]) }], ['POST', ENC, { body: Buffer.from([0x7b, 0xc0, 0x80, 0x7d]) }],
  ])
  t.equal((await lab.call(saeA, 'POST', ENC, { body: `{"x":${'['.repeat(31)}${']'.repeat(31)}}` })).status, 200)
  lab.service.encRequests.length = 0
  const filled = (length: number): string => `{"x":"${'a'.repeat(length - 8)}"}`
  await refusedCalls(t, lab, 413, post(ENC, filled(65_537)))
  t.equal((await lab.call(saeA, 'POST', ENC, { body: filled(65_536) })).status, 200)
})

t.test('A31: 1.0 and 1e0 are the integer 1; a number that only rounds to an integer is not', async (t) => {
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, post(ENC, '{"number":1.00000000000000000001}', '{"size":255.99999999999999999999}', '{"number":0.1}', '{"size":1e-400}'))
  for (const number of ['2.0', '2e0', '2E+0', '20e-1', '0.2e1', '2.000']) t.equal((await lab.call(saeA, 'POST', ENC, { body: `{"number":${number},"size":2.56e2}` })).status, 200, number)
  for (const seen of lab.service.encRequests) t.match(seen, { number: 2, sizeBits: 256 })
})

t.test('A32: a wrong method is 405 with Allow and an Error body', async (t) => {
  const lab = shared.reset()
  for (const [method, path, allow] of [['POST', STATUS, 'GET'], ['PUT', ENC, 'GET, POST'], ['DELETE', DEC, 'GET, POST'], ['OPTIONS', ENC, 'GET, POST'], ['PATCH', STATUS, 'GET'], ['get', ENC, 'GET, POST']] as const) {
    const answer = await lab.call(saeA, method, path)
    t.equal(answer.status, 405)
    t.equal(answer.headers.get('allow'), allow)
    t.type(answer.json()['message'], 'string')
  }
  t.same(lab.service.encRequests, [])
})

t.test('A33: HEAD is 405 without a body and never runs key delivery', async (t) => {
  const lab = shared.reset()
  for (const path of [ENC, `${DEC}?key_ID=${KEY_ID}`, STATUS]) {
    const client = await lab.connect(saeA)
    client.send(request('HEAD', path))
    const answer = await client.answer(true)
    t.equal(answer?.status, 405)
    t.ok(answer?.headers.get('allow')?.startsWith('GET'))
    await client.whenClosed()
    t.equal(client.received, '', 'no body follows')
  }
  t.same([...lab.service.encRequests, ...lab.service.decRequests], [])
})

t.test('A34: an unknown path or version is 404 with an Error body', async (t) => {
  await refusedCalls(t, shared.reset(), 404, [
    '/', '/api/v1/keys', '/api/v2/keys/sae-b/enc_keys', '/api/v1/keys/sae-b/enc_keys/', '/api/v1/keys/sae-b/Enc_keys', '/api/v1/keys//enc_keys',
    '/api/v1/keys/sae-b/x/enc_keys', '/api/v1/keys/sae-b', '/api/v1/keys/../keys/sae-b/enc_keys',
  ].map((path) => ['GET', path]))
})

t.test('A40: slave = caller is 400', async (t) => {
  await refusedCalls(t, shared.reset(), 400, [['GET', '/api/v1/keys/sae-a/enc_keys'], ['POST', '/api/v1/keys/s%61e-a/enc_keys', { body: '{}' }], ['GET', '/api/v1/keys/sae-a/status']])
})

t.test('A41: caller, path slave or doubles among the additional slaves are 400', async (t) => {
  const additional = (...names: unknown[]): string => JSON.stringify({ additional_slave_SAE_IDs: names })
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, post(ENC, additional('sae-a'), additional('sae-c', 'sae-b'), additional('sae-c', 'sae-c'), additional(5), additional(''), additional('a b'), additional('x'.repeat(65)), additional(null)))
  t.equal((await lab.call(saeA, 'POST', ENC, { body: additional('sae-c', 'SAE-B') })).status, 200, 'IDs are compared octet by octet')
  t.same(lab.service.encRequests[0]?.additionalSlaves, ['sae-c', 'SAE-B'])
})

t.test('A42: additional_slave_SAE_IDs [] is as if absent', async (t) => {
  const lab = await startLab(t, pki, { keys: { maxSaeIdCount: 0 } })
  t.equal((await lab.call(saeA, 'POST', ENC, { body: '{"additional_slave_SAE_IDs":[]}' })).status, 200)
  t.same(lab.service.encRequests[0]?.additionalSlaves, [])
})

t.test('A43: more additional slaves than max_SAE_ID_count are 400, also when it is 0', async (t) => {
  const body = (count: number): string => JSON.stringify({ additional_slave_SAE_IDs: Array.from({ length: count }, (_, i) => `sae-x${i}`) })
  await refusedCalls(t, await startLab(t, pki, { keys: { maxSaeIdCount: 0 } }), 400, post(ENC, body(1)))
  const lab = shared.reset()
  await refusedCalls(t, lab, 400, post(ENC, body(9)))
  t.equal((await lab.call(saeA, 'POST', ENC, { body: body(8) })).status, 200)
})

t.test('A44: empty extension arrays are as if absent', async (t) => {
  const lab = shared.reset()
  t.equal((await lab.call(saeA, 'POST', ENC, { body: '{"extension_mandatory":[],"extension_optional":[]}' })).status, 200)
  t.equal((await lab.call(saeA, 'POST', ENC, { body: '{"extension_mandatory":[{}],"extension_optional":[{}]}' })).status, 200)
  for (const { extensions } of lab.service.encRequests) t.same(extensions, [])
})

t.test('A45: an extension entry that is not an object is 400', async (t) => {
  await refusedCalls(t, shared.reset(), 400, ['extension_mandatory', 'extension_optional'].flatMap((array) =>
    post(ENC, ...['1', '"x"', 'null', '[]', '{}', '{"a_b":1},5'].map((entry, i) => `{"${array}":${i === 4 ? entry : `[${entry}]`}}`))))
})

t.test('A46: checks come in order: syntax, number and size, additional SAEs, mandatory support', async (t) => {
  const lab = shared.reset()
  const unknown = '"extension_mandatory":[{"abc_x":1}]', additional = '"additional_slave_SAE_IDs":["sae-a"]', number = '"number":0', syntax = '"extension_optional":5'
  const messages = await refusedCalls(t, lab, 400, post(ENC, `{${unknown},${additional},${number},${syntax}}`, `{${unknown},${additional},${number},"size":9}`, `{${unknown},${additional},"size":9}`, `{${unknown},${additional}}`, `{${unknown}}`))
  t.match(messages, [/extension_optional must be an array/, /^number must/, sentences.sizeMultiple, /additional_slave_SAE_IDs must not repeat/, sentences.mandatoryUnsupported])
})
