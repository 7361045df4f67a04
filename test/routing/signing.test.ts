import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createPki, issueCertificate, type PkiContext } from '../../src/crypto/pki.js'
import { leafPaths, type Curve } from '../../src/crypto/pki-files.js'
import { openTrustStore } from '../../src/crypto/trust.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { makeAnnouncement, readAnnouncement } from '../../src/routing/announcement.js'
import { createJudge, createSigner } from '../../src/routing/signing.js'

const open = async (t: Test, curve: Curve) => {
  const pki: PkiContext = { folder: join(t.testdir(), 'pki'), clock: systemClock, random: systemRandom }
  await createPki(pki, { curve })
  const trust = await openTrustStore({
    caFile: join(pki.folder, 'kme-ca.crt'), crlFiles: [join(pki.folder, 'kme-ca.crl')], crlRequired: true, usages: ['clientAuth', 'serverAuth'],
    identity: { uriPrefix: 'urn:qkme:kme:', dns: false, cn: false },
  }, systemClock)
  const issue = async (id: string) => {
    await issueCertificate(pki, { profile: 'kme-peer', id })
    return leafPaths(pki.folder, 'kme', id, 'peer')
  }
  return { pki, judge: createJudge(trust), issue }
}

for (const curve of ['P-256', 'P-384'] as const) {
  t.test(`records are signed and verified with KME certificates (${curve})`, async (t) => {
    const { judge, issue } = await open(t, curve)
    const a = await issue('kme-a'), b = await issue('kme-b')
    const signer = createSigner(a.certificate, a.key)
    const record = makeAnnouncement({ origin: 'kme-a', incarnation: 1, sequence: 1, part: 0, parts: 1, lifetimeS: 60 }, { kind: 'certificate', der: signer.certificate }, signer)
    t.ok(record.bytes.length < 1_200, `${record.bytes.length} bytes`)
    const read = readAnnouncement(record.bytes)
    const mine = judge(signer.certificate), other = judge(createSigner(b.certificate, b.key).certificate)
    if ('refused' in mine || 'refused' in other) return t.fail('both certificates are good')
    t.equal(mine.kme, 'kme-a')
    t.ok(mine.verify(read.signed, read.signature))
    t.notOk(other.verify(read.signed, read.signature), 'by another')
    t.notOk(mine.verify(read.signed.slice(1), read.signature), 'of something else')
    t.notOk(mine.verify(read.signed, new Uint8Array(3)), 'of another form')
  })
}

t.test('what is no certificate of a KME is refused with words', async (t) => {
  const { pki, judge, issue } = await open(t, 'P-256')
  t.match(judge(new Uint8Array([1, 2, 3])), { refused: /./ })
  await issueCertificate(pki, { profile: 'sae', id: 'sae-1' })
  const sae = leafPaths(pki.folder, 'sae', 'sae-1', 'client')
  t.match(judge(createSigner(sae.certificate, sae.key).certificate), { refused: /issuer|usage/ })
  const kme = await issue('kme-a')
  t.throws(() => createSigner(kme.certificate, sae.key), { code: 'CERTIFICATE_INVALID', message: /is not that of the certificate/ })
  t.throws(() => createSigner(kme.certificate, kme.certificate), { code: 'CERTIFICATE_INVALID' })
  t.ok(readFileSync(kme.key).length > 0)
})
