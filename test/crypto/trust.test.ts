import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openTrustStore, type TrustOptions, type TrustStore } from '../../src/crypto/trust.js'
import { oid, x509 } from '../../src/crypto/x509.js'
import { dayMs, make, makeCa, makeCrl, makeSae, nowMs, StillClock, type Made } from './make.js'

const root = await makeCa('SAE root')

interface Setup { readonly trust: TrustStore, readonly clock: StillClock, readonly folder: string, readonly caFile: string, readonly crlFile: string }
const open = async (t: Test, files: { ca?: string, crl?: string } = {}, options: Partial<TrustOptions> = {}): Promise<Setup> => {
  const folder = t.testdir(), caFile = join(folder, 'ca.pem'), crlFile = join(folder, 'ca.crl')
  writeFileSync(caFile, files.ca ?? root.pem)
  writeFileSync(crlFile, files.crl ?? await makeCrl(root))
  const clock = new StillClock()
  const trust = await openTrustStore({
    caFile, crlFiles: [crlFile], crlRequired: true, usages: ['clientAuth'],
    identity: { uriPrefix: 'urn:qkme:sae:', dns: false, cn: true }, ...options,
  }, clock)
  return { trust, clock, folder, caFile, crlFile }
}
const outcome = (trust: TrustStore, made: Made | string): string => {
  const result = trust.check(typeof made === 'string' ? made : made.pem)
  return result.ok ? result.id : `! ${result.reason}`
}

t.test('a good certificate gives its ID, serial, dates, fingerprint and how long the answer holds', async t => {
  const { trust } = await open(t)
  const made = await makeSae(root, 'alice', { serial: '00ab01' })
  const result = trust.check(made.pem)
  t.match(result, {
    ok: true, id: 'alice', issuer: 'CN=SAE root', serialHex: 'AB01', generation: 1,
    notBeforeMs: nowMs - dayMs, notAfterMs: nowMs + 100 * dayMs, fingerprint: made.certificate.node.fingerprint256,
  })
  t.equal(result.ok && result.validUntilMs, nowMs + 10 * dayMs, 'the CRL ends before the certificate')
})

t.test('each fault of a certificate has its reason', async t => {
  const { trust } = await open(t)
  const other = await makeCa('SAE root') // the same name with another key
  const cases: [string, Made | string][] = [
    ['! missing', ''],
    ['! malformed', 'hello'],
    ['! malformed', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'],
    ['! malformed', root.pem + '\n' + (await makeSae(root, 'a')).pem],
    ['! malformed', 'x'.repeat(100_000)],
    ['! unknown-issuer', await makeSae(other, 'alice')],
    ['! unknown-issuer', await make({ name: 'alice', usages: [oid.clientAuth] })],
    ['! expired', await makeSae(root, 'alice', { notAfterMs: nowMs - 1000 })],
    ['! not-yet-valid', await makeSae(root, 'alice', { notBeforeMs: nowMs + 1000 })],
    ['! usage', await makeSae(root, 'alice', { usages: [oid.serverAuth] })],
    ['! usage', await make({ issuer: root, name: 'alice' })],
    ['! usage', await makeSae(root, 'alice', { ca: true })],
    ['! usage', await makeSae(root, 'alice', { keyUsage: x509.KeyUsageFlags.keyAgreement })],
    ['! usage', root],
    ['! extension', await makeSae(root, 'alice', { extra: [new x509.Extension('1.2.3.4', true, Buffer.of(5, 0))] })],
    ['! extension', await makeSae(root, 'alice', { extra: [new x509.Extension('1.2.3.4', false, Buffer.of(5, 0)), new x509.Extension('1.2.3.4', false, Buffer.of(5, 0))] })],
    ['! weak', await makeSae(root, 'alice', { rsaBits: 1024 })],
    ['! weak', await makeSae(root, 'alice', { hash: 'SHA-1' })],
    ['! identity', await makeSae(root, 'alice', { uris: ['urn:qkme:sae:a', 'urn:qkme:sae:b'] })],
    ['alice', await makeSae(root, 'alice', { extra: [new x509.Extension('1.2.3.4', false, Buffer.of(5, 0))] })],
    ['alice', await makeSae(root, 'alice', { rsaBits: 2048 })],
  ]
  for (const [expected, made] of cases) t.equal(outcome(trust, made), expected)
})

t.test('dates are judged at the time of the question, not of the loading', async t => {
  const { trust, clock } = await open(t)
  const made = await makeSae(root, 'alice', { notAfterMs: nowMs + 5 * dayMs })
  clock.advance(5 * dayMs)
  t.equal(outcome(trust, made), 'alice', 'its last instant')
  clock.advance(1)
  t.equal(outcome(trust, made), '! expired')
})

t.test('revocation: a listed serial is refused, and a list that is missing or stale closes', async t => {
  const revoked = await makeSae(root, 'mallory', { serial: '00c0ffee' }), good = await makeSae(root, 'alice')
  const { trust, clock } = await open(t, { crl: await makeCrl(root, { revoked: ['c0ffee'] }) })
  t.equal(outcome(trust, revoked), '! revoked')
  t.equal(outcome(trust, good), 'alice')
  clock.advance(10 * dayMs + 1)
  t.equal(outcome(trust, good), '! crl-expired')
  t.equal(outcome((await open(t, {}, { crlFiles: [] })).trust, good), '! crl-missing')
  t.equal(outcome((await open(t, {}, { crlFiles: [], crlRequired: false })).trust, good), 'alice')
  const stale = await open(t, { crl: await makeCrl(root, { nextUpdateMs: nowMs - 1000 }) }, { crlRequired: false })
  t.equal(outcome(stale.trust, good), '! crl-expired', 'a list that was configured is never ignored')
  t.equal(outcome((await open(t, { crl: await makeCrl(root, { thisUpdateMs: nowMs + 1000 }) })).trust, good), '! crl-expired')
})

t.test('intermediate CAs: path length, revocation and the missing root', async t => {
  const middle = await makeCa('middle', { issuer: root, pathLength: 0, serial: '77' })
  const below = await makeCa('below', { issuer: middle })
  const leaf = await makeSae(middle, 'alice')
  const all = async (t: Test, ca: Made[], crls: string[]): Promise<TrustStore> => {
    const { folder, clock, caFile } = await open(t)
    writeFileSync(caFile, ca.map((c) => c.pem).join('\n'))
    const files = crls.map((crl, n) => { const f = join(folder, `${n}.crl`); writeFileSync(f, crl); return f })
    return await openTrustStore({ caFile, crlFiles: files, crlRequired: true, usages: ['clientAuth'], identity: { uriPrefix: 'urn:qkme:sae:', dns: false, cn: true } }, clock)
  }
  const lists = [await makeCrl(root), await makeCrl(middle), await makeCrl(below)]
  t.equal(outcome(await all(t, [middle, root], lists.slice(0, 2)), leaf), 'alice')
  t.equal(outcome(await all(t, [middle, root], lists.slice(0, 1)), leaf), '! crl-missing')
  t.equal(outcome(await all(t, [middle], [lists[1] as string]), leaf), '! unknown-issuer', 'no root')
  t.equal(outcome(await all(t, [middle, root], [await makeCrl(root, { revoked: ['77'] }), lists[1] as string]), leaf), '! revoked')
  t.equal(outcome(await all(t, [below, middle, root], lists), await makeSae(below, 'alice')), '! usage', 'pathLen 0 above another CA')
  const noSign = await makeCa('nosign', { issuer: root, keyUsage: x509.KeyUsageFlags.cRLSign })
  t.match(outcome(await all(t, [noSign, root], [lists[0] as string, await makeCrl(noSign)]), await makeSae(noSign, 'alice')), /^! (usage|unknown-issuer)/)
  const notCa = await make({ issuer: root, name: 'leaf-as-ca', keyUsage: x509.KeyUsageFlags.keyCertSign })
  t.match(outcome(await all(t, [notCa, root], [lists[0] as string]), await makeSae(notCa, 'alice')), /^! (usage|unknown-issuer|crl-missing)/)
})

t.test('lists that must not be believed are refused at loading, by name', async t => {
  const stranger = await makeCa('stranger'), twin = await makeCa('SAE root')
  const critical = (id: string): x509.Extension => new x509.Extension(id, true, Buffer.of(5, 0))
  const noCrlSign = await makeCa('no crl', { keyUsage: x509.KeyUsageFlags.keyCertSign })
  const cases: [RegExp, string, string?][] = [
    [/none of the configured CAs/, await makeCrl(stranger)],
    [/signature is not by the CA/, await makeCrl(root, { signedBy: twin })],
    [/no nextUpdate/, await makeCrl(root, { nextUpdateMs: null })],
    [/critical extension 2\.5\.29\.27/, await makeCrl(root, { extra: [critical('2.5.29.27')] })],
    [/critical extension 2\.5\.29\.28/, await makeCrl(root, { extra: [critical('2.5.29.28')] })],
    [/serial .*critical extension 2\.5\.29\.29/, await makeCrl(root, { revoked: ['01'], entryExtra: [critical('2.5.29.29')] })],
    [/may not sign CRLs/, await makeCrl(noCrlSign), noCrlSign.pem],
    [/not a certificate revocation list/, 'nonsense'],
    [/found 2/, (await makeCrl(root)) + (await makeCrl(root))],
  ]
  for (const [message, crl, ca] of cases) await t.rejects(open(t, { crl, ...ca === undefined ? {} : { ca } }), { code: 'CERTIFICATE_INVALID', message })
  await t.rejects(open(t, { ca: 'nothing here' }), { code: 'CERTIFICATE_INVALID', message: /no PEM certificate/ })
  await t.rejects(open(t, {}, { crlFiles: ['/nonexistent/x.crl'] }), { code: 'CERTIFICATE_INVALID', message: /nonexistent/ })
})

t.test('a list in DER form is read, and of two lists the newer counts', async t => {
  const { folder, clock, caFile } = await open(t)
  const older = join(folder, 'older.crl'), newer = join(folder, 'newer.crl')
  writeFileSync(older, await makeCrl(root, { thisUpdateMs: nowMs - 3 * dayMs }))
  const pem = await makeCrl(root, { revoked: ['0b'] })
  writeFileSync(newer, Buffer.from(pem.replace(/-----.*-----|\s/g, ''), 'base64'))
  const options = { caFile, crlRequired: true, usages: ['clientAuth'] as const, identity: { uriPrefix: 'urn:qkme:sae:', dns: false, cn: true } }
  const made = await makeSae(root, 'bob', { serial: '0b' })
  for (const crlFiles of [[older, newer], [newer, older]]) t.equal(outcome(await openTrustStore({ ...options, crlFiles }, clock), made), '! revoked')
})

t.test('every change moves the generation; a reload that fails keeps what is in force', async t => {
  const { trust, crlFile, caFile } = await open(t, { crl: await makeCrl(root, { number: 5 }) })
  const made = await makeSae(root, 'alice', { serial: '2a' })
  t.equal(await trust.reload(), false)
  t.equal(trust.generation, 1)
  trust.changed()
  t.equal(trust.generation, 2)
  writeFileSync(crlFile, await makeCrl(root, { revoked: ['2a'], number: 6 }))
  t.equal(outcome(trust, made), 'alice', 'not read yet')
  t.equal(await trust.reload(), true)
  t.equal(trust.generation, 3)
  t.equal(outcome(trust, made), '! revoked')
  writeFileSync(crlFile, await makeCrl(root, { number: 4 }))
  await t.rejects(trust.reload(), { code: 'CERTIFICATE_INVALID', message: /older than the list in force/ })
  t.equal(outcome(trust, made), '! revoked', 'a rolled back list does not free anybody')
  rmSync(crlFile)
  await t.rejects(trust.reload(), { code: 'CERTIFICATE_INVALID' })
  t.equal(outcome(trust, made), '! revoked')
  t.equal(trust.generation, 3)
  const other = await makeCa('other')
  writeFileSync(caFile, other.pem)
  writeFileSync(crlFile, await makeCrl(other))
  t.equal(await trust.reload(), true)
  t.equal(outcome(trust, await makeSae(root, 'alice')), '! unknown-issuer')
  t.equal(outcome(trust, await makeSae(other, 'alice')), 'alice')
  t.match(trust.authorities(), [{ subject: 'CN=other', notAfterMs: nowMs + 100 * dayMs, crlNextUpdateMs: nowMs + 10 * dayMs }])
})

t.test('watch reloads at its interval until cancelled and tells each failure', async t => {
  const { trust, clock, crlFile } = await open(t)
  const outcomes: unknown[] = []
  let told = (): void => {}
  const cancel = trust.watch(1000, (outcome) => { outcomes.push(outcome.error?.code ?? outcome.changed); told() })
  const next = async (): Promise<void> => {
    const done = new Promise<void>((resolve) => { told = resolve })
    clock.advance(1000)
    await done
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  await next()
  writeFileSync(crlFile, await makeCrl(root, { number: 9 }))
  await next()
  writeFileSync(crlFile, 'broken')
  await next()
  await next()
  cancel()
  t.equal(clock.timers.length, 0)
  t.same(outcomes, [false, true, 'CERTIFICATE_INVALID', 'CERTIFICATE_INVALID'])
})

t.test('pins: only the pinned certificate of an ID is accepted', async t => {
  const mine = await makeSae(root, 'alice'), stolen = await makeSae(root, 'alice'), free = await makeSae(root, 'bob')
  const { trust } = await open(t, {}, { pins: (id) => id === 'alice' ? [mine.certificate.node.fingerprint256] : undefined })
  t.equal(outcome(trust, mine), 'alice')
  t.equal(outcome(trust, stolen), '! pin')
  t.equal(outcome(trust, free), 'bob')
})

t.test('every single-bit flip of a certificate is refused', async t => {
  const { trust } = await open(t)
  const der = Buffer.from((await makeSae(root, 'alice')).certificate.node.raw)
  let accepted = 0
  for (let bit = 0; bit < der.length * 8; bit += 3) {
    const bad = Buffer.from(der)
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
    if (trust.check(`-----BEGIN CERTIFICATE-----\n${bad.toString('base64')}\n-----END CERTIFICATE-----`).ok) accepted++
  }
  t.equal(accepted, 0)
})

