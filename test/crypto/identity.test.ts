import t from 'tap'
import { identityOf, type IdentityRule } from '../../src/crypto/identity.js'
import { make, makeCa, type Made, type Shape } from './make.js'

const byDefault: IdentityRule = { uriPrefix: 'urn:qkme:sae:', dns: false, cn: true }
const ca: Made = await makeCa('SAE CA')
const id = async (shape: Shape, rule: Partial<IdentityRule> = {}): Promise<string> => {
  const result = identityOf((await make({ issuer: ca, ...shape })).certificate.parsed, { ...byDefault, ...rule })
  return result.ok ? result.id : `! ${result.message}`
}

t.test('the ID is the URI under the prefix; else a DNS name if allowed; else the common name', async t => {
  t.equal(await id({ uris: ['urn:qkme:sae:alice'], commonNames: ['other'] }), 'alice')
  t.equal(await id({ uris: ['urn:else:alice', 'urn:qkme:sae:bob'], dns: ['host'] }, { dns: true }), 'bob')
  t.equal(await id({ dns: ['sae-1.example'], commonNames: ['cn'] }, { dns: true }), 'sae-1.example')
  t.equal(await id({ dns: ['sae-1.example'], commonNames: ['cn'] }), 'cn')
  t.equal(await id({ uris: ['urn:else:alice'], commonNames: ['cn'] }), 'cn')
  t.equal(await id({ uris: ['urn:qkme:sae:x'], commonNames: ['cn'] }, { uriPrefix: '' }), 'cn')
})

t.test('two candidates in the deciding place refuse the certificate', async t => {
  t.match(await id({ uris: ['urn:qkme:sae:a', 'urn:qkme:sae:b'] }), /^! .*2 URI names/)
  t.match(await id({ uris: ['urn:qkme:sae:a', 'urn:qkme:sae:a'] }), /^! .*2 URI names/, 'even the same twice')
  t.match(await id({ dns: ['a', 'b'] }, { dns: true }), /^! .*2 DNS names/)
  t.match(await id({ commonNames: ['a', 'b'] }), /^! .*2 common names/)
})

t.test('no candidate, or one that is not an ID, refuses the certificate', async t => {
  t.match(await id({ uris: ['urn:qkme:sae:'] }), /^! .*RFC 3986/, 'empty')
  t.match(await id({ uris: ['urn:qkme:sae:' + 'x'.repeat(65)] }), /^! .*RFC 3986/)
  t.match(await id({ commonNames: ['two words'] }), /^! .*RFC 3986/)
  t.match(await id({ commonNames: ['a\0b'] }), /^! .*RFC 3986/)
  t.match(await id({ commonNames: ['ünï'] }), /^! .*RFC 3986/)
  t.match(await id({ commonNames: ['x'] }, { cn: false }), /^! .*names nobody.*one SAN URI urn:qkme:sae:<ID>/)
  t.match(await id({ commonNames: ['x'] }, { cn: false, uriPrefix: '' }), /every place is turned off/)
})

t.test('a name that contains the separators of the printed SAN stays one name (CVE-2021-44532)', async t => {
  t.match(await id({ uris: ['urn:else:x, URI:urn:qkme:sae:admin'], commonNames: ['mallory'] }), /^mallory$/)
  t.match(await id({ dns: ['x", URI:urn:qkme:sae:admin'], commonNames: ['mallory'] }), /^mallory$/)
  t.match(await id({ uris: ['urn:qkme:sae:mallory, URI:urn:qkme:sae:admin'] }), /^! .*RFC 3986/)
})

t.test('letter case and every character of the set are kept', async t => {
  const odd = "Az09-._~:/?#[]@!$&'()*+,;=%"
  t.equal(await id({ uris: [`urn:qkme:sae:${odd}`] }), odd)
  t.equal(await id({ uris: ['URN:QKME:SAE:up'], commonNames: ['cn'] }), 'cn', 'the prefix is compared octet by octet')
})
