import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { leafPaths } from '../../src/crypto/pki-files.js'
import { qkme } from '../cli/world.js'
import { eventually, pause } from './process.js'
import { idsOf, keysOf, type Reply } from './sae.js'
import { startWorld } from './world.js'

const SENTENCE = 'one or more keys specified are not found on KME'
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const world = await startWorld(t)
const a1 = world.sae('sae-a-1', 'a'), a2 = world.sae('sae-a-2', 'a'), b1 = world.sae('sae-b-1', 'b'), b2 = world.sae('sae-b-2', 'b')
const bytesOf = (key: string): number => Buffer.from(key, 'base64').length
const notFound = (t: Test, reply: Reply): void => {
  t.equal(reply.status, 400)
  t.equal(reply.json().message, SENTENCE)
}

t.test('status, keys to the master, the same keys to the slave, in both directions and once', async (t) => {
  for (const [master, slave, target] of [[a1, b1, 'kme-b'], [b2, a2, 'kme-a']] as const) {
    const status = await master.status(slave.id)
    t.match(status.json(), { target_KME_ID: target, master_SAE_ID: master.id, slave_SAE_ID: slave.id, key_size: 256, max_key_per_request: 128 })
    t.ok(status.json().stored_key_count > 100)
    t.equal(status.headers['cache-control'], 'no-store')
    for (const ask of [{}, {}, { number: 3 }, { number: 5, size: 1024 }]) {
      const keys = await master.take(slave.id, ask)
      t.equal(keys.length, ask.number ?? 1)
      t.ok(keys.every(({ id, key }) => uuid.test(id) && bytesOf(key) === (ask.size ?? 256) / 8))
      t.same(await slave.fetch(master.id, idsOf(keys)), keys, 'the same bytes under the same IDs, in the order of the request')
      notFound(t, await slave.dec(master.id, idsOf(keys)))
    }
  }
})

t.test('every size from the smallest to the largest, and 128 keys at once', async (t) => {
  for (const size of [64, 72, 80, 128, 192, 256, 264, 520, 2_048, 4_104, 8_184, 8_192]) {
    const keys = await a1.take(b1.id, { size, number: 2 })
    t.ok(keys.every(({ key }) => bytesOf(key) === size / 8), `${size} bits`)
    t.same(await b1.fetch(a1.id, idsOf(keys)), keys)
  }
  const many = await a2.take(b2.id, { number: 128 })
  t.equal(new Set(many.map(({ key }) => key)).size, 128)
  t.same(await b2.fetch(a2.id, idsOf(many)), many)
  t.equal((await a1.enc(b1.id, { number: 129 })).status, 400)
  t.match((await a1.post(b1.id, { size: 100 })).json(), { message: 'size shall be a multiple of 8' })
})

t.test('one bad ID fails the whole request and consumes nothing', async (t) => {
  const keys = await a1.take(b1.id, { number: 2 })
  notFound(t, await b1.dec(a1.id, [...idsOf(keys), '550e8400-e29b-41d4-a716-446655440000']))
  t.same(await b1.fetch(a1.id, idsOf(keys)), keys)
})

t.test('two slaves at the other KME: both get the key, each once, in either order', async (t) => {
  for (const [first, second] of [[b1, b2], [b2, b1]] as const) {
    const keys = await a1.take('sae-b-1', { number: 4, additional_slave_SAE_IDs: ['sae-b-2'] })
    for (const slave of [first, second]) {
      t.same(await slave.fetch(a1.id, idsOf(keys)), keys, slave.id)
      notFound(t, await slave.dec(a1.id, idsOf(keys)))
    }
  }
})

t.test('the second slave of a key gets it long after the first, when its block is used up', async (t) => {
  const early = await a1.take('sae-b-1', { number: 16, additional_slave_SAE_IDs: ['sae-b-2'] })
  await b1.fetch(a1.id, idsOf(early))
  const { cursor } = (await world.kmes.a.pool('kme-b'))!.lanes[0]!
  await eventually('the block is used up', async () => {
    await pause(250)
    const reply = await a1.enc(b1.id, { number: 120, size: 8_192 })
    if (reply.status === 200) await b1.fetch(a1.id, idsOf(keysOf(reply)))
    return (await world.kmes.a.pool('kme-b'))!.lanes[0]!.cursor > cursor + 2 ? true : undefined
  })
  await pause(1_500)
  t.same(await b2.fetch(a1.id, idsOf(early)), early)
  notFound(t, await b2.dec(a1.id, idsOf(early)))
})

t.test('two SAEs of one KME: a local pool that says that it is not from QKD', async (t) => {
  t.match((await a1.status(a2.id)).json(), { source_KME_ID: 'kme-a', target_KME_ID: 'kme-a' })
  const reply = await eventually('local keys', async () => {
    const reply = await a1.enc(a2.id, { number: 2 })
    return reply.status === 503 ? undefined : reply
  })
  t.match(reply.json().keys[0].key_extension, { qkme_source: 'local-random' })
  const keys = keysOf(reply)
  t.same(await a2.fetch(a1.id, idsOf(keys)), keys)
  notFound(t, await a2.dec(a1.id, idsOf(keys)))
})

t.test('a key is only for whom it was made', async (t) => {
  const keys = await a1.take(b1.id, { number: 1 })
  for (const [caller, master] of [[b2, a1], [a1, a1], [a2, a1], [a1, b1]] as const) {
    const reply = await caller.dec(master.id, idsOf(keys))
    t.equal(reply.status, 401, `${caller.id} asks`)
    t.equal(reply.text, '')
  }
  notFound(t, await b1.dec(a2.id, idsOf(keys)))
  const forged = await b2.call('GET', `/api/v1/keys/${a1.id}/dec_keys?key_ID=${keys[0]!.id}`, undefined, { headers: { 'x-forwarded-client-cert': 'CN=sae-b-1', 'x-sae-id': 'sae-b-1', 'x-ssl-client-s-dn': 'CN=sae-b-1', 'x-original-url': '/' } })
  t.equal(forged.status, 401, 'a header names nobody')
  t.same(await b1.fetch(a1.id, idsOf(keys)), keys)
  t.match((await a1.enc('sae-nobody')).json(), { details: [{ slave_SAE_ID: 'unknown' }] })
})

t.test('who is not an SAE of this KME gets nothing', async (t) => {
  const stranger = await world.issue({ profile: 'sae', id: 'sae-x' })
  const expired = await world.issue({ profile: 'sae', id: 'sae-a-9', notBeforeMs: Date.parse('2020-01-01'), days: 10 })
  const refused = async (name: string, files: Parameters<typeof world.sae>[2]): Promise<void> => {
    const outcome = await world.sae('sae-a-1', 'a', files).status('sae-b-1').then((reply) => reply.status, (error: Error) => error)
    t.ok(outcome === 401 || outcome instanceof Error, `${name}: ${String(outcome)}`)
  }
  t.equal((await world.sae('sae-x', 'a', stranger).status('sae-b-1')).status, 401, 'a certificate of the right CA, not registered')
  await refused('no certificate', {})
  await refused('expired', expired)
  await refused('a KME\'s certificate at the door for SAEs', leafPaths(world.pki.folder, 'kme', 'kme-b', 'peer'))
  await refused('a certificate of another CA', await world.issue({ profile: 'operator', id: 'sae-a-1' }))
  const atPeers = world.sae('sae-a-1', 'a')
  await t.rejects(atPeers.call('GET', '/', undefined, { port: world.kmes.a.peerPort, agent: false, ...tlsOf('sae-a-1') }), 'an SAE\'s certificate at the door for KMEs')
})

const tlsOf = (sae: string) => {
  const files = leafPaths(world.pki.folder, 'sae', sae, 'client')
  return { cert: readFileSync(files.certificate), key: readFileSync(files.key), ca: readFileSync(world.file('pki/kme-ca.crt')) }
}

t.test('the command line against the running KME', async (t) => {
  const at = ['--config', world.kmes.a.configFile, '--json']
  const status = await eventually('ready', async () => {
    const view = (await qkme(world.folder, ['status', ...at])).json()
    return view.health.ready === true && view.peers[0].state === 'ready' ? view : undefined
  })
  t.match(status, { status: { kme: 'kme-a', state: 'working' }, peers: [{ id: 'kme-b', state: 'ready' }], links: [{ state: 'up' }] })
  const listed = async () => (await qkme(world.folder, ['sae', 'list', ...at])).json().map((sae: { id: string, state: string }) => [sae.id, sae.state])
  t.match(await listed(), [['sae-a-1', 'active'], ['sae-a-2', /known|active/], ['sae-x', 'requested']], 'the stranger is noted')
  const atB = ['--config', world.kmes.b.configFile, '--json']
  t.equal((await qkme(world.folder, ['sae', 'add', 'sae-x', ...atB])).code, 0)
  await eventually('kme-a knows that kme-b serves it', async () => (await a1.status('sae-x')).status === 200 || undefined)
  t.match((await qkme(world.folder, ['sae', 'approve', 'sae-x', ...at])).err, /served by kme-b/)
  t.equal((await qkme(world.folder, ['sae', 'remove', 'sae-x', ...atB])).code, 0)
  await eventually('approved when it is gone there', async () => (await qkme(world.folder, ['sae', 'approve', 'sae-x', ...at])).code === 0 || undefined)
  t.equal((await world.sae('sae-x', 'a').status('sae-b-1')).status, 200, 'and let in')
  t.not((await qkme(world.folder, ['sae', 'approve', 'sae-a-1', ...at])).code, 0, 'it has not asked')
  t.equal((await qkme(world.folder, ['sae', 'remove', 'sae-x', ...at])).code, 0)
  t.equal((await world.sae('sae-x', 'a').status('sae-b-1')).status, 401, 'removed')
  t.equal((await qkme(world.folder, ['sae', 'suspend', 'sae-a-2', ...at])).code, 0)
  t.equal((await a2.status(b1.id)).status, 401, 'suspended')
  t.equal((await a1.status(b1.id)).status, 200)
  t.equal((await qkme(world.folder, ['sae', 'resume', 'sae-a-2', ...at])).code, 0)
  t.equal((await a2.status(b1.id)).status, 200, 'resumed')
  const files = (sae: string) => leafPaths(world.pki.folder, 'sae', sae, 'client')
  const visit = () => qkme(world.folder, [
    'doctor', '--json', '--url', `https://localhost:${world.kmes.a.restPort}`, '--cert', files('sae-a-1').certificate, '--key', files('sae-a-1').key,
    '--ca', world.file('pki/kme-ca.crt'), '--kme', 'kme-a', '--slave', 'sae-b-1', '--exchange',
    '--slave-url', `https://localhost:${world.kmes.b.restPort}`, '--slave-cert', files('sae-b-1').certificate, '--slave-key', files('sae-b-1').key,
  ])
  const doctor = await eventually('an answer that is not 503', async () => { const run = await visit(); return /\b503\b/.test(run.out) ? undefined : run })
  t.match(doctor.json(), { ok: true }, doctor.out)
  const account = await qkme(world.folder, ['account', ...at])
  t.equal(account.code, 0)
  t.match(account.json(), { differenceBits: 0 })
})

t.test('an operator voids keys and holds peer and link: at both KMEs, with a record at both', async (t) => {
  const { a, b } = world.kmes, reason = 'a test'
  const [first, second, third] = idsOf(await a1.take(b1.id, { number: 3 })) as [string, string, string]
  const act = await qkme(world.folder, ['void', '--id', first, '--reason', reason, '--config', a.configFile, '--json'])
  t.equal(act.code, 0, act.err)
  const { incident } = act.json() as { incident: { id: string } }
  const show = async (kme: typeof a): Promise<unknown> => await kme.admin.get(`/v1/incidents/${incident.id}`)
  await eventually('confirmed', async () => (await show(a) as { state: string }).state === 'done' ? true : undefined)
  notFound(t, await b1.dec(a1.id, [first]))
  t.same(idsOf(await b1.fetch(a1.id, [second])), [second], 'another key is served')
  const there = await eventually('done at the other KME, too', async () => {
    const view = await show(b).catch(() => undefined) as { state: string } | undefined
    return view?.state === 'done' ? view : undefined
  })
  t.match(there, { kind: 'void', origin: 'kme-a', reason, pools: [{ pool: 'kme-a', keys: 1 }] })
  await b.admin.post('/v1/peers/kme-a/hold', { reason })
  t.equal((await b1.dec(a1.id, [third])).status, 503)
  await eventually('held there', async () => (await a.pool('kme-b'))?.state === 'held' ? true : undefined)
  t.equal((await a1.enc(b1.id)).status, 503)
  t.match(await a.admin.post('/v1/peers/kme-b/release', {}), { done: true, still: `held by kme-b (${reason}) until it is released there` }, 'not by this end')
  t.match(await a.admin.post('/v1/pools/kme-b/resume', {}), { done: true, still: /^on hold \(kme-b holds it: a test\)/ })
  await b.admin.post('/v1/peers/kme-a/release', {})
  await eventually('released', async () => (await a1.enc(b1.id)).status === 200 ? true : undefined)
  t.same(idsOf(await b1.fetch(a1.id, [third])), [third])
  await a.admin.post('/v1/links/1/hold', { reason })
  await eventually('held at the other end', async () => (await b.link())?.quarantineCause === 'held-there' ? true : undefined)
  const ofB = await qkme(world.folder, ['link', 'release', '1', '--config', b.configFile])
  t.match(ofB.out, /^released here: 1; still held by kme-a until it is released there$/m, ofB.err)
  await a.admin.post('/v1/links/1/release', {})
  for (const kme of [a, b]) await eventually('released at both ends', async () => (await kme.link())?.quarantineCause === null ? true : undefined)
})

t.test('a running KME is zeroized: its process ends by itself; the next one begins without stock', async (t) => {
  const { a, b } = world.kmes, before = b.child.log.length
  const act = await qkme(world.folder, ['zeroize', '--config', a.configFile, '--confirm', 'kme-a'])
  t.match(act, { code: 0, out: /^zeroized: the running KME/ }, act.err)
  await eventually('the process ends', () => a.child.running ? undefined : true, 60_000, () => a.tail())
  t.equal(await a.stop(), 1)
  t.notMatch(a.child.log.slice(a.child.log.indexOf('/v1/zeroize')), /invariant violated/, 'nothing uses what was wiped')
  a.start()
  await eventually('the store is void', () => /its keys were zeroized[^\n]*"message":"store.voided"/.test(a.child.log) || undefined, 60_000, () => a.tail())
  await eventually('the pool at the other side is void, too', () => /the peer has another store|the peer does not know this store|"message":"pool.voided"/.test(b.child.log.slice(before)) || undefined, 60_000, () => b.tail())
})
