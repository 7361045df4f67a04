import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inspectCertificate } from '../../src/crypto/inspect.js'
import { loadCrls } from '../../src/crypto/crl.js'
import { readCertificates } from '../../src/crypto/pem.js'
import { createPki, issueCertificate, type PkiContext } from '../../src/crypto/pki.js'
import { revokeCertificate, writeCrl } from '../../src/crypto/pki-crl.js'
import { caPaths, leafPaths } from '../../src/crypto/pki-files.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'

const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const context = (folder: string): PkiContext => ({ folder: join(folder, 'pki'), clock: systemClock, random: systemRandom })

t.test('a PKI has three CAs with private keys and CRLs that OpenSSL accepts', async t => {
  const pki = context(t.testdir())
  t.same(await createPki(pki), ['sae', 'kme', 'operator'])
  t.same(await createPki(pki), [], 'calling it again changes nothing')
  for (const ca of ['sae', 'kme', 'operator'] as const) {
    const paths = caPaths(pki.folder, ca)
    t.equal(statSync(paths.key).mode & 0o777, 0o600)
    t.match(openssl('x509', '-in', paths.certificate, '-noout', '-text'), /CA:TRUE, pathlen:0[\s\S]*Certificate Sign, CRL Sign/)
    const text = openssl('crl', '-in', paths.crl, '-noout', '-text', '-CAfile', paths.certificate)
    t.match(text, /No Revoked Certificates/)
    t.match(text, /X509v3 CRL Number:\s+1/)
  }
  t.notSame(readFileSync(caPaths(pki.folder, 'sae').certificate), readFileSync(caPaths(pki.folder, 'kme').certificate))
})

t.test('each profile has its usages and names, and OpenSSL verifies its purpose and revocation', async t => {
  const pki = context(t.testdir())
  await createPki(pki)
  const verify = (ca: 'sae' | 'kme' | 'operator', purpose: string, file: string): string => openssl('verify', '-purpose', purpose, '-x509_strict', '-crl_check', '-CRLfile', caPaths(pki.folder, ca).crl, '-CAfile', caPaths(pki.folder, ca).certificate, file)
  const sae = await issueCertificate(pki, { profile: 'sae', id: 'sae-1' })
  t.match(verify('sae', 'sslclient', sae.certificate), /OK/)
  t.throws(() => verify('kme', 'sslclient', sae.certificate), 'not by the KME CA')
  const server = await issueCertificate(pki, { profile: 'kme-server', id: 'kme-a', hosts: ['kme-a.example', '10.0.0.1'] })
  t.match(verify('kme', 'sslserver', server.certificate), /OK/)
  t.throws(() => verify('kme', 'sslclient', server.certificate), 'a REST certificate cannot act as a client')
  const peer = await issueCertificate(pki, { profile: 'kme-peer', id: 'kme-a' })
  t.match(verify('kme', 'sslclient', peer.certificate), /OK/)
  t.match(verify('kme', 'sslserver', peer.certificate), /OK/)
  const operator = await issueCertificate(pki, { profile: 'operator', id: 'alice' })
  t.match(verify('operator', 'sslclient', operator.certificate), /OK/)
  const [certificate] = readCertificates(server.certificate)
  const info = inspectCertificate(certificate!)
  t.same(info.names, ['url:urn:qkme:kme:kme-a', 'dns:kme-a.example', 'ip:10.0.0.1'])
  t.same(info.usages, ['serverAuth'])
  t.equal(info.serialHex, server.serialHex)
  t.equal(statSync(server.key).mode & 0o777, 0o600)
})

t.test('a revoked certificate is in the list, in order, and the list number rises', async t => {
  const pki = context(t.testdir())
  await createPki(pki)
  const first = await issueCertificate(pki, { profile: 'sae', id: 'sae-1' })
  const second = await issueCertificate(pki, { profile: 'sae', id: 'sae-2' })
  const paths = caPaths(pki.folder, 'sae')
  await revokeCertificate(pki, 'sae', first.serialHex.toLowerCase(), 'keyCompromise', 30)
  await revokeCertificate(pki, 'sae', first.serialHex, 'keyCompromise', 30)
  await revokeCertificate(pki, 'sae', second.serialHex, 'unspecified', 30)
  const [list] = await loadCrls([paths.crl], readCertificates(paths.certificate))
  t.same([...list!.revoked].sort(), [first.serialHex, second.serialHex].sort())
  t.equal(list!.number, 4n)
  const text = openssl('crl', '-in', paths.crl, '-noout', '-text')
  t.match(text, /Key Compromise/)
  t.notMatch(text, /Unspecified/, 'said by leaving the reason out')
  t.throws(() => openssl('verify', '-crl_check', '-CRLfile', paths.crl, '-CAfile', paths.certificate, first.certificate))
  await t.rejects(revokeCertificate(pki, 'sae', '00ff', 'unspecified', 30), { code: 'NOT_FOUND' })
  await t.rejects(revokeCertificate(pki, 'kme', first.serialHex, 'unspecified', 30), { code: 'NOT_FOUND' }, 'another CA\'s serial')
  for (let n = 5; n < 260; n++) if (n > 250 || n === 5) await writeCrl(pki, 'sae', 30)
  t.ok((await loadCrls([paths.crl], readCertificates(paths.certificate)))[0]!.number! > 4n)
})

t.test('files are never overwritten by accident, and a renewal keeps the key', async t => {
  const pki = context(t.testdir())
  await t.rejects(issueCertificate(pki, { profile: 'sae', id: 'sae-1' }), { code: 'CERTIFICATE_INVALID', message: /pki init/ })
  await createPki(pki, { days: 100, curve: 'P-384', organization: 'Example, "Ltd" + #1' })
  const first = await issueCertificate(pki, { profile: 'sae', id: 'sae-1', days: 10 })
  await t.rejects(issueCertificate(pki, { profile: 'sae', id: 'sae-1', days: 10 }), { message: /--renew/ })
  const key = readFileSync(first.key, 'utf8')
  const second = await issueCertificate(pki, { profile: 'sae', id: 'sae-1', days: 20, renew: true })
  t.equal(readFileSync(first.key, 'utf8'), key)
  t.not(second.serialHex, first.serialHex)
  t.match(openssl('x509', '-in', second.certificate, '-noout', '-text'), /ecdsa-with-SHA384/)
  await t.rejects(issueCertificate(pki, { profile: 'sae', id: 'sae-2', days: 200 }), { message: /before this certificate would/ })
  await t.rejects(issueCertificate(pki, { profile: 'sae', id: 'two words' }), { code: 'BAD_REQUEST' })
})

t.test('an ID cannot lead its files out of the folder', async t => {
  const pki = context(t.testdir())
  await createPki(pki)
  for (const id of ['../../evil', '..', '.', 'a/b', '#ff', "quo'te"]) {
    const issued = await issueCertificate(pki, { profile: 'sae', id })
    t.ok(issued.certificate.startsWith(join(pki.folder, 'sae') + '/'), id)
    t.equal(issued.certificate.split('/').length, join(pki.folder, 'sae').split('/').length + 2)
    t.ok(existsSync(issued.key))
    t.same(readCertificates(issued.certificate)[0]!.parsed.subjectName.getField('CN'), [id])
  }
  t.not(leafPaths('x', 'sae', 'a%2Fb', 'client').key, leafPaths('x', 'sae', 'a/b', 'client').key)
})

t.test('a damaged journal stops a CRL instead of freeing what it revoked', async t => {
  const pki = context(t.testdir())
  await createPki(pki)
  const paths = caPaths(pki.folder, 'sae')
  writeFileSync(paths.journal, '{"event":"iss')
  await t.rejects(writeCrl(pki, 'sae', 1), { code: 'CERTIFICATE_INVALID', message: /sae-ca\.jsonl:1/ })
})
