import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { takeKeys } from '../../src/cli/doctor/exchange.js'
import { visit, type Visit } from '../../src/cli/doctor/doctor.js'
import type { SaeAccess } from '../../src/cli/doctor/report.js'
import { createPki, issueCertificate, type Issued } from '../../src/crypto/pki.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { answer, createWorld, listen, qkme, startKme, type Handler, type World } from './world.js'

const dayMs = 86_400_000
const nowMs = (): number => systemClock.wallMs()
const world: World = await createWorld(t)
const server = await world.issue({ profile: 'kme-server', id: 'kme-a' })
const alice = await world.issue({ profile: 'sae', id: 'alice' })
const bob = await world.issue({ profile: 'sae', id: 'bob' })

const access = (port: number, sae: Issued = alice, more: Partial<SaeAccess> = {}): SaeAccess => ({
  url: new URL(`https://localhost:${port}`), certificateFile: sae.certificate, keyFile: sae.key, caFile: world.kmeCa, kme: undefined, timeoutMs: 3_000, ...more,
})
/** `step: result message` of what was found last, or of the first failure. */
const verdict = async (input: Partial<Visit> & { master: SaeAccess }, clock = nowMs): Promise<string> => {
  const steps = await visit({ slave: undefined, slaveAccess: undefined, ...input }, clock)
  const step = steps.find((one) => one.result === 'failed') ?? steps.at(-1)
  return step === undefined ? 'nothing' : `${step.name}: ${step.result} ${step.message}`
}
const never: Handler = (_request, _body, response) => { answer(response, 500) }
/** A KME that knows alice and bob and allows alice with bob. */
const usual: Handler = (request, _body, response) => {
  const slave = decodeURIComponent((request.url ?? '').split('/')[4] ?? '')
  if (slave === 'alice') answer(response, 400, { message: 'slave and caller are the same' })
  else if (slave === 'bob') answer(response, 200, { stored_key_count: 12, key_size: 256, target_KME_ID: 'kme-b' })
  else if (slave === 'empty') answer(response, 200, { stored_key_count: 0, key_size: 256, target_KME_ID: 'kme-b' })
  else if (slave === 'secret') answer(response, 401)
  else if (slave === 'away') answer(response, 503, { message: 'insufficient key material' }, { 'retry-after': '7' })
  else if (slave === 'odd') answer(response, 200, { hello: 1 })
  else answer(response, 400, { message: 'unknown SAE', details: [{ slave_SAE_ID: 'unknown' }] })
}

t.test('all is well: every step is told', async t => {
  const port = await startKme(t, world, server, usual)
  const steps = await visit({ master: access(port, alice, { kme: 'kme-a' }), slave: 'bob', slaveAccess: undefined }, nowMs)
  t.same(steps.map((step) => [step.name, step.result]), [['files', 'ok'], ['network', 'ok'], ['tls', 'ok'], ['identity', 'ok'], ['clock', 'ok'], ['status', 'ok']])
  t.match(steps.map((step) => step.message).join('\n'), /SAE "alice"[\s\S]*TLSv1\.3[\s\S]*KME "kme-a"[\s\S]*12 keys of 256 bits in stock for "bob" at KME "kme-b"/)
  t.match(await verdict({ master: access(port) }), /status: ok the KME accepts this SAE/)
})

t.test('network: unknown name, closed port, no TLS, silence', async t => {
  const mute = await listen(t, createServer(() => {}), { port: 0, host: '127.0.0.1' })
  const chatty = await listen(t, createServer((socket) => { socket.on('error', () => {}); socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') }), { port: 0, host: '127.0.0.1' })
  const closing = createServer()
  await new Promise<void>((resolve) => { closing.listen(0, '127.0.0.1', resolve) })
  const closed = (closing.address() as { port: number }).port
  await new Promise<void>((resolve) => { closing.close(() => { resolve() }) })
  t.match(await verdict({ master: access(closed) }), /network: failed .*nobody listens on this port/)
  t.match(await verdict({ master: access(1, alice, { url: new URL('https://no-such-host.invalid:1') }) }), /network: failed .*(not known|DNS|no answer)/)
  t.match(await verdict({ master: access(chatty) }), /tls: failed what answers there does not speak TLS/)
  t.match(await verdict({ master: access(mute, alice, { timeoutMs: 1_000 }) }), /tls: failed the handshake did not end/)
})

t.test('the KME\'s certificate: wrong CA, expired, not yet valid, another name, another KME, not for servers', async t => {
  const at = async (certificate: Issued): Promise<number> => await startKme(t, world, certificate, never)
  const good = await at(server)
  t.match(await verdict({ master: access(good, alice, { caFile: world.saeCa }) }), /tls: failed the KME's certificate is not from the CA/)
  t.match(await verdict({ master: access(await at(await world.issue({ profile: 'kme-server', id: 'old', notBeforeMs: nowMs() - 9 * dayMs, days: 5 }))) }), /tls: failed the KME's certificate is expired/)
  t.match(await verdict({ master: access(await at(await world.issue({ profile: 'kme-server', id: 'early', notBeforeMs: nowMs() + dayMs }))) }), /tls: failed the KME's certificate is not yet valid/)
  t.match(await verdict({ master: access(await at(await world.issue({ profile: 'kme-server', id: 'far', hosts: ['kme.example'] }))) }), /tls: failed the KME's certificate does not name "localhost"/)
  t.match(await verdict({ master: access(good, alice, { kme: 'kme-b' }) }), /identity: failed the certificate there is of KME "kme-a", not "kme-b"/)
  t.match(await verdict({ master: access(await at(bob)) }), /tls: failed the KME's certificate is not (from the CA|for a server)/)
})

t.test('our own files: missing, not a pair, expired, not yet valid, not for clients', async t => {
  const file = async (sae: Issued, more: Partial<SaeAccess> = {}): Promise<string> => await verdict({ master: access(1, sae, more) })
  t.match(await file(alice, { certificateFile: '/nonexistent/a.crt' }), /files: failed .*nonexistent/)
  t.match(await file(alice, { keyFile: bob.key }), /files: failed the key in .* does not belong/)
  t.match(await file(alice, { keyFile: alice.certificate }), /files: failed .*not an unencrypted PEM private key/)
  t.match(await file(await world.issue({ profile: 'sae', id: 'old', notBeforeMs: nowMs() - 9 * dayMs, days: 5 })), /files: failed this SAE's certificate expired/)
  t.match(await file(await world.issue({ profile: 'sae', id: 'early', notBeforeMs: nowMs() + dayMs })), /files: failed .*valid only from/)
  t.match(await file(server), /files: failed .*lacks the extended key usage clientAuth/)
})

t.test('the KME refuses the client certificate in the handshake: the alert is put into words', async t => {
  const port = await startKme(t, world, server, usual)
  const foreign = { ...world.pki, folder: join(world.folder, 'foreign') }
  await createPki(foreign)
  const stranger = await issueCertificate(foreign, { profile: 'sae', id: 'mallory' })
  t.match(await verdict({ master: access(port, stranger) }), /status: failed .*(CA of this SAE|closed the connection|does not accept)/)
  // A KME that asks for TLS 1.2 only, as old ones do.
  const old = await startKme(t, world, server, usual, { maxVersion: 'TLSv1.2' })
  t.match(await verdict({ master: access(old, stranger) }), /tls: failed .*(CA of this SAE|closed the connection|does not accept)/)
  t.match(await verdict({ master: access(await startKme(t, world, server, usual, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })) }), /tls: failed .*no TLS version in common/)
})

t.test('registration and permission: 401 is told apart, and so are unknown slave, no stock, 503 and strange answers', async t => {
  const port = await startKme(t, world, server, usual)
  const status = async (slave: string): Promise<string> => await verdict({ master: access(port), slave })
  t.match(await status('secret'), /status: failed the KME knows this SAE but does not allow it to share keys with "secret"/)
  t.match(await status('carol'), /status: failed the KME does not know "carol": "unknown SAE"/)
  t.match(await status('empty'), /status: warning allowed, but there is no key in stock/)
  t.match(await status('away'), /status: failed the KME cannot serve now \(503\): "insufficient key material"; try again in 7 s/)
  t.match(await status('odd'), /status: failed the answer is not the status/)
  const nobody = await startKme(t, world, server, (_request, _body, response) => { answer(response, 401) })
  t.match(await verdict({ master: access(nobody), slave: 'bob' }), /status: failed the KME does not accept this SAE \(401\)/)
  t.match(await verdict({ master: access(nobody) }), /status: failed the KME does not accept this SAE \(401\)/)
  const other = await startKme(t, world, server, (_request, _body, response) => { answer(response, 404) })
  t.match(await verdict({ master: access(other), slave: 'bob' }), /status: failed there is no such path/)
})

t.test('clocks an hour apart are a warning', async t => {
  const port = await startKme(t, world, server, usual)
  const steps = await visit({ master: access(port), slave: 'bob', slaveAccess: undefined }, () => nowMs() + 3_600_000)
  t.match(steps.find((step) => step.name === 'clock'), { result: 'warning', message: /(3600|3599|3601) s ahead of the KME/ })
  const silent = await startKme(t, world, server, (request, body, response) => { response.sendDate = false; usual(request, body, response) })
  t.match((await visit({ master: access(silent), slave: 'bob', slaveAccess: undefined }, nowMs)).find((step) => step.name === 'clock'), { result: 'skipped' })
})

const exchanging = (key: string, decStatus = 200): Handler => (request, body, response) => {
  if (request.url?.endsWith('enc_keys')) answer(response, 200, { keys: [{ key_ID: 'id-1', key: 'QUJDRA==' }] })
  else if (request.url?.endsWith('dec_keys')) answer(response, body.includes('"id-1"') ? decStatus : 400, decStatus === 200 ? { keys: [{ key_ID: 'id-1', key }] } : { message: 'nope' })
  else usual(request, body, response)
}

t.test('exchange: equal keys, different keys, a refused slave', async t => {
  const run = async (t: Test, handler: Handler): Promise<string> => {
    const port = await startKme(t, world, server, handler)
    return await verdict({ master: access(port), slave: 'bob', slaveAccess: access(port, bob) })
  }
  t.match(await run(t, exchanging('QUJDRA==')), /exchange: ok one key, ID id-1: both SAEs got the same/)
  t.match(await run(t, exchanging('QUJDRQ==')), /exchange: failed the two SAEs got different keys/)
  t.match(await run(t, exchanging('', 200)), /exchange: failed the two SAEs got different keys/, 'an empty key is no key')
  t.match(await run(t, exchanging('x', 401)), /exchange: failed dec_keys answers 401: "nope"/)
})

t.test('keys are taken out of a container as bytes, and wiped in it', async t => {
  const body = Buffer.from('{ "keys" : [ {"key_ID":"a", "key" :\n"S0VZMQ=="}, {"key":"S0VZMg==","key_ID":"b"} ], "key_container_extension": {} }')
  const { ids, keys } = takeKeys(body)
  t.same(ids, ['a', 'b'])
  t.same(keys.map(String), ['S0VZMQ==', 'S0VZMg=='])
  t.notMatch(body.toString(), /S0VZ/)
})

t.test('the command: text for people, JSON for programs, exit codes, never a key', async t => {
  const port = await startKme(t, world, server, exchanging('QUJDRA=='))
  const base = ['doctor', '--url', `https://localhost:${port}`, '--cert', alice.certificate, '--key', alice.key, '--ca', world.kmeCa]
  const good = await qkme(world.folder, [...base, '--slave', 'bob', '--exchange', '--slave-url', `https://localhost:${port}`, '--slave-cert', bob.certificate, '--slave-key', bob.key])
  t.equal(good.code, 0, good.err)
  t.match(good.out, /exchange +ok +one key/)
  t.notMatch(good.out + good.err, /QUJDRA/)
  const bad = await qkme(world.folder, [...base, '--slave', 'carol', '--json'])
  t.equal(bad.code, 1)
  t.match(bad.json(), { ok: false, steps: [{ name: 'files' }, {}, {}, {}, {}, { name: 'status', result: 'failed' }] })
  t.match(await qkme(world.folder, [...base, '--slave', 'bob', '--exchange']), { code: 2, err: /--slave-url/ })
  t.match(await qkme(world.folder, ['doctor', '--url', 'http://localhost']), { code: 2, err: /must be https/ })
})
