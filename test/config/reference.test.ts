import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KindGuard, type TSchema } from '@sinclair/typebox'
import { parse } from 'yaml'
import t from 'tap'
import { readConfig } from '../../src/config/load.js'
import { configOrigins, printConfig } from '../../src/config/print.js'
import { parseQuantity } from '../../src/config/quantity.js'
import { configReference } from '../../src/config/reference.js'
import { configSchema } from '../../src/config/schema.js'
import { settingName, settingsOf } from '../../src/config/settings.js'
import { suggest } from '../../src/config/suggest.js'
import { projectFolder, setUpExamples, shortFolder } from './examples.js'

t.test('docs/configuration.md is what the schema says (npm run docs)', async t => {
  t.equal(readFileSync(join(projectFolder, 'docs/configuration.md'), 'utf8'), configReference())
})

t.test('every setting has a description, a variable of its own and a row in the reference', async t => {
  const settings = settingsOf(configSchema), reference = configReference()
  t.ok(settings.length > 100)
  t.equal(new Set(settings.map((s) => s.variable)).size, settings.length)
  for (const { path, schema, variable } of settings) {
    t.ok(schema.description, settingName(path))
    t.match(variable, /^QKME_[A-Z0-9_]+$/)
    t.ok(reference.includes(`\`${variable}\``), variable)
  }
})

t.test('every number has bounds, and its default lies within them', async t => {
  const visit = (schema: TSchema, name: string): void => {
    if (KindGuard.IsObject(schema)) return Object.entries(schema.properties).forEach(([part, child]) => { visit(child, `${name}.${part}`) })
    if (KindGuard.IsArray(schema)) return visit(schema.items, `${name}[]`)
    if (!KindGuard.IsInteger(schema) && !KindGuard.IsNumber(schema)) return
    const { minimum, maximum, default: byDefault } = schema as { minimum?: number, maximum?: number, default?: number }
    t.ok(minimum !== undefined && maximum !== undefined && minimum < maximum, name)
    if (byDefault !== undefined) t.ok(byDefault >= (minimum ?? 0) && byDefault <= (maximum ?? 0), `${name} default`)
  }
  visit(configSchema, '')
})

t.test('print shows what holds, as YAML that means the same, with each setting\'s origin and no secret', async t => {
  const folder = shortFolder(t)
  await setUpExamples(folder)
  const input = { file: join(folder, 'kme-a.yaml'), variables: { QKME_REST_PORT: '1234', QKME_SAES: '[]' }, workingFolder: folder }
  const result = readConfig(input)
  t.ok(result.ok)
  if (!result.ok) return
  const text = printConfig(result.config, result.origin)
  t.same(parse(text), result.config)
  t.match(text, /port: 1234 # QKME_REST_PORT/)
  t.match(text, /runwayMs: 60000 # default/)
  t.match(text, /id: kme-a # kme-a\.yaml:\d+/)
  t.match(text, /server\.key # kme-a\.yaml:\d+; a secret: only its place is shown/)
  const master = readFileSync(join(folder, 'kme-a-master.key'))
  t.notOk(text.includes(master.toString('hex')) || text.includes(master.toString('base64')))
  const origins = configOrigins(result.config, result.origin)
  t.match(origins, { 'rest.port': 'QKME_REST_PORT', 'saes': 'QKME_SAES', 'pools.leaseMs': 'default', 'kme.id': /^kme-a\.yaml:/ })
  t.match(readConfig({ ...input, file: join(folder, 'kme-a.yaml') }), { ok: true })
})

t.test('quantities', async t => {
  const cases: [string, Parameters<typeof parseQuantity>[1], number | undefined][] = [
    ['30s', 'ms', 30_000], ['1.5 h', 'ms', 5_400_000], ['90', 'ms', 90], ['2d', 'days', 2], ['64KiB', 'bytes', 65_536], ['1 GB', 'bytes', 1e9], ['5 min', 's', 300],
    ['-3', 'count', -3], ['8k', 'count', undefined], ['', 'ms', undefined], ['1e3', 'ms', undefined], ['30 s s', 'ms', undefined], ['0x10', 'count', undefined],
    ['4kib', 'bytes', undefined], ['1constructor', 'ms', undefined], ['Infinity', 'ms', undefined],
  ]
  for (const [text, unit, value] of cases) t.equal(parseQuantity(text, unit), value, `${text} ${unit}`)
})

t.test('suggestions', async t => {
  t.equal(suggest('Port', ['host', 'port']), 'port')
  t.equal(suggest('keysizebits', ['keySizeBits']), 'keySizeBits')
  t.equal(suggest('xyzzy', ['host', 'port']), undefined)
})
