/** Who may come in: certificates over real TLS (invariant I7), and the cache of verdicts. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { revokeCertificate } from '../../src/crypto/pki-crl.js'
import type { Issued } from '../../src/crypto/pki.js'
import { IdentityCache, type Accepted, type Identity, type Rejected } from '../../src/http/identity-cache.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import type { Clock } from '../../src/kernel/time.js'
import { request, startLab, TestPki, type Lab } from './lab.js'

const pki = await TestPki.create(), otherPki = await TestPki.create()
t.teardown(() => { pki.remove(); otherPki.remove() })
const saeA = await pki.issue('sae-a')
const shared = await startLab(t, pki)
const ENC = '/api/v1/keys/sae-b/enc_keys', dayMs = 86_400_000

/** The handshake fails, or the connection closes before any answer. */
const refusedByTls = async (t: Test, lab: Lab, who: Issued): Promise<void> => {
  try {
    const client = await lab.connect(who)
    client.send(request('GET', ENC))
    t.equal(await client.answer(), undefined)
  } catch (error) {
    t.match(error, Error)
  }
  t.same(lab.service.encRequests, [])
  t.same(lab.events, [], 'not by HTTP')
}

t.test('a certificate of another CA is refused by TLS, whatever it names', async (t) => { await refusedByTls(t, shared.reset(), await otherPki.issue('sae-a')) })

t.test('an expired certificate is refused by TLS', async (t) => { await refusedByTls(t, shared.reset(), await pki.issue('sae-old', { notBeforeMs: Date.now() - 9 * dayMs, days: 8 })) })

t.test('a certificate that is not yet valid is refused by TLS', async (t) => { await refusedByTls(t, shared.reset(), await pki.issue('sae-new', { notBeforeMs: Date.now() + dayMs })) })

t.test('a certificate of the KME CA does not open the SAE port', async (t) => { await refusedByTls(t, shared.reset(), await pki.issue('kme-b', { profile: 'kme-peer' })) })

t.test('a client without a certificate gets 401 and the connection ends', async (t) => {
  const lab = shared.reset()
  const answer = await lab.call(undefined, 'GET', ENC)
  t.equal(answer.status, 401)
  t.same([answer.body, answer.headers.get('connection')], ['', 'close'])
  t.match(lab.events, [{ event: 'authentication.failed', subject: '127.0.0.1', fields: { reason: 'missing' } }])
})

t.test('no header makes an identity, nor changes one', async (t) => {
  const lab = shared.reset()
  const pem = encodeURIComponent(readFileSync(saeA.certificate, 'utf8'))
  const headers = ['SSL-Client-Cert', 'X-SSL-Client-Cert', 'X-Client-Cert', 'X-Forwarded-Client-Cert', 'X-Forwarded-Tls-Client-Cert', 'Client-Cert'].map((name) => `${name}: ${pem}`)
    .slice(0, 2).concat('X-SSL-Client-S-DN: CN=sae-b', 'X-SAE-ID: sae-b', 'X-Forwarded-User: sae-b', 'Authorization: Basic c2FlLWI6eA==', 'Forwarded: for=10.0.0.1')
  t.equal((await lab.call(undefined, 'GET', ENC, { headers })).status, 401)
  t.equal((await lab.call(saeA, 'GET', ENC, { headers })).status, 200)
  t.same(lab.service.encRequests.map(({ caller }) => caller), ['sae-a'])
})

t.test('a revoked certificate is refused on the next request of a connection that is open', async (t) => {
  const victim = await pki.issue('sae-a', { renew: true }) // Another certificate for the same SAE.
  const lab = await startLab(t, pki)
  const client = await lab.connect(victim)
  client.send(request('GET', ENC))
  t.equal((await client.answer())?.status, 200)
  await revokeCertificate(pki.context, 'sae', victim.serialHex, 'keyCompromise', 30)
  client.send(request('GET', ENC))
  t.equal((await client.answer())?.status, 200, 'the list is not loaded yet')
  await lab.trust.reload()
  client.send(request('GET', ENC))
  t.equal((await client.answer())?.status, 401)
  await client.whenClosed()
  t.match(lab.events, [{ event: 'authentication.failed', fields: { reason: 'revoked' } }])
})

t.test('a certificate that expires, and a revocation list past its nextUpdate, close an open connection', async (t) => {
  let aheadMs = 0
  const clock: Clock = { ...systemClock, wallMs: () => Date.now() + aheadMs }
  const short = await pki.issue('sae-b', { days: 20 })
  const lab = await startLab(t, pki, { clock })
  for (const [who, laterMs, reason] of [[short, 21 * dayMs, 'expired'], [await pki.issue('sae-c', { days: 60 }), 40 * dayMs, 'crl-expired']] as const) {
    lab.sessions.set('sae-c', 'active')
    aheadMs = 0
    const client = await lab.connect(who)
    client.send(request('GET', '/api/v1/keys/sae-x/enc_keys'))
    t.equal((await client.answer())?.status, 200)
    aheadMs = laterMs
    client.send(request('GET', '/api/v1/keys/sae-x/enc_keys'))
    t.equal((await client.answer())?.status, 401)
    t.match(lab.events.at(-1), { fields: { reason } })
    client.destroy()
  }
})

t.test('a body that comes long after its headers: who may not come in any more gets nothing, and what is given has the time of the body', async (t) => {
  let aheadMs = 0
  const clock: Clock = { ...systemClock, wallMs: () => Date.now() + aheadMs, monoMs: () => systemClock.monoMs() + aheadMs }
  const short = await pki.issue('sae-b', { days: 20, renew: true }), lab = await startLab(t, pki, { clock })
  const late = async (laterMs: number, state: 'active' | 'suspended' | 'throttled'): Promise<number | undefined> => {
    aheadMs = 0
    lab.sessions.set('sae-b', 'active')
    const client = await lab.connect(short)
    client.send('POST /api/v1/keys/sae-x/enc_keys HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{')
    while (lab.server.counters.pending === 0) await new Promise<void>((resolve) => { setImmediate(resolve) })
    aheadMs = laterMs
    lab.sessions.set('sae-b', state)
    client.send('}')
    const answer = await client.answer()
    client.destroy()
    while (lab.server.counters.pending > 0) await new Promise<void>((resolve) => { setImmediate(resolve) })
    return answer?.status
  }
  t.same([await late(60_000, 'suspended'), await late(60_000, 'throttled'), await late(21 * dayMs, 'active')], [401, 503, 401])
  t.same(lab.service.encRequests, [])
  t.match(lab.events.map(({ fields }) => fields?.['reason']), ['suspended', 'this SAE is slowed down by the KME', 'expired'])
  t.equal(await late(60_000, 'active'), 200)
  const [{ receivedMs = 0, receivedWallMs = 0 } = {}] = lab.service.encRequests
  t.ok(receivedMs - systemClock.monoMs() > 50_000 && receivedWallMs - Date.now() > 50_000, 'not of the headers')
  t.same(lab.faults, [])
})

t.test('a session that is suspended counts on the next request; a throttled one is 503', async (t) => {
  const fresh = await pki.issue('sae-d')
  const lab = await startLab(t, pki)
  lab.sessions.set('sae-d', 'active')
  const client = await lab.connect(fresh)
  const next = async (): Promise<number | undefined> => {
    client.send(request('GET', ENC))
    return (await client.answer())?.status
  }
  t.equal(await next(), 200)
  lab.sessions.set('sae-d', 'throttled')
  t.equal(await next(), 503)
  lab.sessions.set('sae-d', 'suspended')
  t.equal(await next(), 401)
})

t.test('TLS 1.2 is off by default and on by switch; 1.1 is never on', async (t) => {
  const only = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') => ({ minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } as const)
  const withTls12 = await startLab(t, pki, { allowTls12: true })
  const answers = async (lab: Lab, version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'): Promise<boolean> => lab.connect(saeNow, only(version)).then(async (client) => {
    client.send(request('GET', ENC))
    t.equal(client.socket.getProtocol(), version)
    const answered = (await client.answer())?.status === 200
    client.destroy()
    return answered
  }, () => false)
  const saeNow = await pki.issue('sae-e')
  for (const lab of [shared, withTls12]) lab.sessions.set('sae-e', 'active')
  t.same([await answers(shared, 'TLSv1.3'), await answers(shared, 'TLSv1.2'), await answers(shared, 'TLSv1.1')], [true, false, false])
  t.same([await answers(withTls12, 'TLSv1.3'), await answers(withTls12, 'TLSv1.2'), await answers(withTls12, 'TLSv1.1')], [true, true, false])
})

t.test('a resumed TLS session is checked like a new one', async (t) => {
  const resuming = await pki.issue('sae-f')
  const lab = await startLab(t, pki)
  lab.sessions.set('sae-f', 'active')
  const first = await lab.connect(resuming)
  let session: Buffer | undefined
  first.socket.on('session', (ticket) => { session = ticket })
  first.send(request('GET', ENC))
  t.equal((await first.answer())?.status, 200)
  first.destroy()
  const ask = async (): Promise<number | undefined> => {
    const client = await lab.connect(resuming, session === undefined ? {} : { session })
    t.ok(client.socket.isSessionReused())
    client.send(request('GET', ENC))
    const answer = await client.answer()
    client.destroy()
    return answer?.status
  }
  t.equal(await ask(), 200)
  await revokeCertificate(pki.context, 'sae', resuming.serialHex, 'keyCompromise', 30)
  await lab.trust.reload()
  t.equal(await ask(), 401)
})

const accepted = (id: string): Accepted => ({ ok: true, id, issuer: 'CN=CA', serialHex: '1', notBeforeMs: 100, validUntilMs: 1_000 })

t.test('the cache asks once per certificate, generation and time of validity', async (t) => {
  const asked: string[] = []
  const identity = { generation: 1, check: (pem: string): Accepted | Rejected => { asked.push(pem); return accepted(pem) } }
  const cache = new IdentityCache(identity, 10)
  for (const nowMs of [100, 500, 999]) t.match(cache.verdict('x', nowMs), { id: 'x' })
  t.equal(asked.length, 1)
  cache.verdict('x', 1_000)
  t.equal(asked.length, 2, 'past validUntil')
  cache.verdict('x', 99)
  t.equal(asked.length, 3, 'the clock went back before notBefore')
  identity.generation = 2
  cache.verdict('x', 500)
  cache.verdict('x', 500)
  t.equal(asked.length, 4, 'a new generation')
})

t.test('a change while a certificate is looked at voids the verdict', async (t) => {
  let asked = 0
  const identity: Identity & { generation: number } = { generation: 1, check: () => { asked++; identity.generation += asked === 1 ? 1 : 0; return accepted('x') } }
  const cache = new IdentityCache(identity, 10)
  cache.verdict('x', 500)
  cache.verdict('x', 500)
  t.equal(asked, 2)
})

t.test('a rejection is asked again after 5 s', async (t) => {
  let asked = 0
  const cache = new IdentityCache({ generation: 1, check: () => { asked++; return { ok: false, reason: 'not-yet-valid', message: '' } } }, 10)
  for (const nowMs of [0, 4_999, 5_000]) cache.verdict('x', nowMs)
  t.equal(asked, 2)
})

t.test('the cache is bounded and keeps what is in use', async (t) => {
  const asked: string[] = []
  const cache = new IdentityCache({ generation: 1, check: (pem) => { asked.push(pem); return accepted(pem) } }, 100)
  for (let i = 0; i < 10_000; i++) {
    cache.verdict('in use', 500)
    cache.verdict(`other ${i}`, 500)
    if (cache.entries > 200) t.fail('bound')
  }
  t.equal(asked.filter((pem) => pem === 'in use').length, 1)
})
