/** The example of docs/extensions.md does what the page says, in a server of its own. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { freshnessClass } from '../../examples/extension/freshness-class.js'
import { ExtensionRegistry, shippedExtensions } from '../../src/pool/extensions.js'
import { startLab, TestPki } from './lab.js'

const registry = new ExtensionRegistry([...shippedExtensions, freshnessClass])

t.test('each word becomes an age, and joins other demands to the strictest', async (t) => {
  const demand = (value: unknown, maxAgeMs?: number): unknown => registry.constraint([
    { name: 'acme_freshness', value, mandatory: true }, ...maxAgeMs === undefined ? [] : [{ name: 'qkme_max_age_ms', value: maxAgeMs, mandatory: true }],
  ])
  t.same([demand('minute'), demand('hour'), demand('day')], [{ maxAgeMs: 60_000 }, { maxAgeMs: 3_600_000 }, { maxAgeMs: 86_400_000 }])
  t.same(demand('hour', 1_000), { maxAgeMs: 1_000 })
  t.same(['minute', 'week', '', 60_000, null, ['minute']].map((value) => registry.fits(freshnessClass, value)), [true, false, false, false, false, false])
})

t.test('a server that has it takes it; one that has not refuses it where it is mandatory', async (t) => {
  const pki = await TestPki.create()
  t.teardown(() => { pki.remove() })
  const sae = await pki.issue('sae-a'), ask = async (lab: Awaited<ReturnType<typeof startLab>>, value: string): Promise<number> =>
    (await lab.call(sae, 'POST', '/api/v1/keys/sae-b/enc_keys', { body: JSON.stringify({ extension_mandatory: [{ acme_freshness: value }] }) })).status
  const with_ = await startLab(t, pki, { registry }), without = await startLab(t, pki)
  t.same([await ask(with_, 'hour'), await ask(with_, 'week'), await ask(without, 'hour')], [200, 400, 400])
  t.same(with_.service.encRequests.map(({ extensions }) => extensions), [[{ name: 'acme_freshness', value: 'hour', mandatory: true }]])
})

t.test('the page shows the example as it is', async (t) => {
  const root = new URL('../../../', import.meta.url), page = readFileSync(new URL('docs/extensions.md', root), 'utf8')
  const code = /^```ts\n([^]*?)\n```$/m.exec(page)?.[1] ?? ''
  const source = readFileSync(new URL('examples/extension/freshness-class.ts', root), 'utf8')
  for (const line of code.split('\n').filter((text) => text !== '')) t.match(source, line)
})
