import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkTls, type TlsCheckInput } from '../../src/crypto/tls-check.js'
import { privateKeyPem } from '../../src/crypto/pki-files.js'
import { oid } from '../../src/crypto/x509.js'
import { dayMs, make, makeCa, makeCrl, makeSae, nowMs, type Made, type Shape } from './make.js'

const root = await makeCa('SAE root'), kmeRoot = await makeCa('KME root')
const server = (shape: Shape = {}): Promise<Made> => make({ issuer: kmeRoot, name: 'kme-a', dns: ['kme.example'], usages: [oid.serverAuth], ...shape })
const good = await server()

interface Files { readonly own?: Made, readonly keyOf?: Made, readonly ca?: string, readonly crls?: readonly string[], readonly key?: string }
const check = async (t: Test, files: Files = {}, more: Partial<TlsCheckInput> = {}): Promise<string[]> => {
  const folder = t.testdir(), own = files.own ?? good
  const write = (name: string, text: string): string => { writeFileSync(join(folder, name), text); return join(folder, name) }
  const crls = files.crls ?? [await makeCrl(root)]
  const findings = await checkTls({
    what: 'rest', certificateFile: write('c.crt', own.pem), keyFile: write('c.key', files.key ?? await privateKeyPem((files.keyOf ?? own).keys.privateKey)),
    caFile: write('ca.crt', files.ca ?? root.pem), crlFiles: crls.map((crl, n) => write(`${n}.crl`, crl)),
    crlRequired: true, usages: ['serverAuth'], hosts: ['0.0.0.0', 'kme.example'], warnDays: 30, nowMs, ...more,
  })
  return findings.map((finding) => `${finding.level} ${finding.message}`)
}

t.test('a good set of files has no findings', async t => { t.same(await check(t), []) })

t.test('each fault has its words', async t => {
  const middle = await makeCa('middle', { issuer: root })
  const cases: [RegExp, string[]][] = [
    [/^error rest: the key in .* does not belong/, await check(t, { keyOf: root })],
    [/^error rest: .*not an unencrypted PEM private key/, await check(t, { key: 'nothing' })],
    [/^error rest: .*no PEM certificate/, await check(t, {}, { certificateFile: await Promise.resolve('/dev/null') })],
    [/^error rest: certificate file \/nonexistent/, await check(t, {}, { certificateFile: '/nonexistent' })],
    [/^error rest: certificate .* expired at/, await check(t, { own: await server({ notAfterMs: nowMs - 1 }) })],
    [/^error rest: certificate .* is valid only from/, await check(t, { own: await server({ notBeforeMs: nowMs + dayMs }) })],
    [/^warning rest: certificate .* expires in 29 days/, await check(t, { own: await server({ notAfterMs: nowMs + 29.5 * dayMs }) })],
    [/^error rest: .* lacks the extended key usage serverAuth/, await check(t, { own: await server({ usages: [oid.clientAuth] }) })],
    [/^error rest: .* does not name "other.example"/, await check(t, {}, { hosts: ['other.example'] })],
    [/^error rest: .* does not name "10.0.0.1"/, await check(t, {}, { hosts: ['10.0.0.1'] })],
    [/^error rest: .* is a CA certificate; issue/, await check(t, { own: await server({ ca: true }) })],
    [/^error rest: there is no CRL of .*SAE root/, await check(t, { crls: [] })],
    [/^error rest: the CRL .* expired at/, await check(t, { crls: [await makeCrl(root, { nextUpdateMs: nowMs - 1 })] })],
    [/^error rest: CRL file .* none of the configured CAs/, await check(t, { crls: [await makeCrl(kmeRoot)] })],
    [/^error rest: .* is not a CA certificate/, await check(t, { ca: `${root.pem}\n${(await makeSae(root, 'x')).pem}` }, { crlRequired: false })],
    [/^error rest: .*no self-signed root/, await check(t, { ca: middle.pem, crls: [await makeCrl(middle)] })],
  ]
  for (const [expected, found] of cases) t.match(found[0], expected)
})

t.test('a common name is no host name, and without CRL duty none is asked for', async t => {
  t.match((await check(t, { own: await make({ issuer: kmeRoot, name: 'kme.example', usages: [oid.serverAuth] }) }))[0], /does not name "kme.example"/)
  t.same(await check(t, { crls: [] }, { crlRequired: false }), [])
})
