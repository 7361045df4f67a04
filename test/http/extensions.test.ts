/** Extension parameters of "Get key" (014 clause 6.2) over real TLS, and the registry by itself. */
import t from 'tap'
import { ExtensionRegistry, shippedExtensions } from '../../src/pool/extensions.js'
import { startLab, TestPki } from './lab.js'

const pki = await TestPki.create()
t.teardown(() => { pki.remove() })
const saeA = await pki.issue('sae-a')
const shared = await startLab(t, pki)
const ENC = '/api/v1/keys/sae-b/enc_keys'
const post = async (lab: typeof shared, body: object): Promise<{ status: number, json: Record<string, unknown> }> => {
  const answer = await lab.call(saeA, 'POST', ENC, { body: JSON.stringify(body) })
  return { status: answer.status, json: answer.json() }
}

t.test('known extensions reach the service with name, value and obligation, mandatory first, order kept', async (t) => {
  const lab = shared.reset()
  t.equal((await post(lab, { extension_optional: [{ qkme_route: 'relayed' }], extension_mandatory: [{ qkme_route: 'direct' }, { qkme_max_age_ms: 30_000 }] })).status, 200)
  t.equal((await post(lab, { extension_mandatory: [{ qkme_max_age_ms: 1, qkme_route: 'direct' }] })).status, 200, 'an entry may have several members')
  t.same(lab.service.encRequests.map(({ extensions }) => extensions), [
    [{ name: 'qkme_route', value: 'direct', mandatory: true }, { name: 'qkme_max_age_ms', value: 30_000, mandatory: true }, { name: 'qkme_route', value: 'relayed', mandatory: false }],
    [{ name: 'qkme_max_age_ms', value: 1, mandatory: true }, { name: 'qkme_route', value: 'direct', mandatory: true }],
  ])
})

t.test('an unknown mandatory extension is refused with the prescribed sentence and named', async (t) => {
  const lab = shared.reset()
  const answer = await post(lab, { extension_mandatory: [{ abc_route_type: 'direct' }, { qkme_route: 'direct' }, { __proto__x: 1 }] })
  t.equal(answer.status, 400)
  t.same(answer.json, {
    message: 'not all extension_mandatory parameters are supported',
    details: [{ extension_mandatory_unsupported: 'abc_route_type is not supported' }, { extension_mandatory_unsupported: '__proto__x is not supported' }],
  })
  t.same(lab.service.encRequests, [])
})

t.test('a mandatory extension that cannot be met is refused with the prescribed sentence', async (t) => {
  const lab = shared.reset()
  lab.service.onEnc = (_request, reply) => { reply.refuse({ code: 'EXTENSION_UNMET', message: 'internal: only relayed bits in lane 3' }) }
  t.same(await post(lab, { extension_mandatory: [{ qkme_route: 'direct' }] }), { status: 400, json: { message: 'not all extension_mandatory request options could be met' } })
})

t.test('a value of the wrong form is 400', async (t) => {
  const lab = shared.reset()
  for (const entry of [{ qkme_max_age_ms: 0 }, { qkme_max_age_ms: 1.5 }, { qkme_max_age_ms: '1' }, { qkme_max_age_ms: null }, { qkme_route: 'any' }, { qkme_route: ['direct'] }]) {
    const answer = await post(lab, { extension_mandatory: [entry] })
    t.equal(answer.status, 400)
    t.match(answer.json['message'], /has a value of the wrong form/)
  }
  t.equal((await post(lab, { extension_mandatory: [{ qkme_route: 'direct' }, { qkme_route: 'direct' }] })).status, 400, 'a name twice')
  t.same(lab.service.encRequests, [])
})

t.test('optional extensions that cannot be handled are as if absent; by switch they are refused with the prescribed sentence', async (t) => {
  const optional = { extension_optional: [{ abc_x: 1 }, { qkme_route: 'nowhere' }, { qkme_max_age_ms: 5 }] }
  const lab = shared.reset()
  t.equal((await post(lab, optional)).status, 200)
  t.same(lab.service.encRequests[0]?.extensions, [{ name: 'qkme_max_age_ms', value: 5, mandatory: false }])
  const refusing = await startLab(t, pki, { rules: { optionalExtensions: 'refuse' } })
  t.same(await post(refusing, optional), { status: 400, json: { message: 'not all extension_optional request options handled' } })
  t.equal((await post(refusing, { extension_optional: [{ qkme_route: 'direct' }] })).status, 200)
})

t.test('the registry turns pairs into one constraint', async (t) => {
  const registry = new ExtensionRegistry()
  const pair = (name: string, value: unknown, mandatory = true) => ({ name, value, mandatory })
  t.same(registry.constraint([]), {})
  t.same(registry.constraint([pair('qkme_max_age_ms', 30), pair('qkme_route', 'direct')]), { maxAgeMs: 30, route: 'direct' })
  t.same(registry.constraint([pair('qkme_max_age_ms', 30), pair('qkme_max_age_ms', 20, false)]), { maxAgeMs: 20 })
  t.equal(registry.constraint([pair('qkme_route', 'direct'), pair('qkme_route', 'relayed')]), undefined, 'nothing meets both')
  t.same(registry.constraint([pair('qkme_route', 'relayed', false), pair('qkme_route', 'direct')]), { route: 'direct' }, 'an optional pair gives way')
  t.same(registry.constraint([pair('abc_x', 1)]), {})
})

t.test('an extension without a vendor prefix, twice, or with an example that does not fit is a mistake of ours', async (t) => {
  const [first] = shippedExtensions
  t.ok(first)
  if (first === undefined) return
  t.throws(() => new ExtensionRegistry([{ ...first, name: 'route' }]), /vendor prefix/)
  t.throws(() => new ExtensionRegistry([first, first]), /once/)
  t.throws(() => new ExtensionRegistry([{ ...first, example: -1 }]), /example/)
})
