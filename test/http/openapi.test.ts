/** docs/openapi.json is what the code says, and its examples fit its schemas and the code that reads them. */
import { readFileSync } from 'node:fs'
import type { TSchema } from '@sinclair/typebox'
import { FormatRegistry } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import t from 'tap'
import { readKeyIds } from '../../src/http/key-ids.js'
import { readKeyRequest } from '../../src/http/key-request.js'
import { documentedLimits, openApiDocument, openApiText } from '../../src/http/openapi.js'
import { wireSchemas } from '../../src/http/schemas.js'
import { statusJson } from '../../src/http/wire.js'
import { sentences } from '../../src/http/status.js'
import { ExtensionRegistry } from '../../src/pool/extensions.js'
import { FakeService } from './lab.js'

const root = new URL('../../../', import.meta.url).pathname
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string }
const registry = new ExtensionRegistry()
const document = openApiDocument(version, documentedLimits, registry)
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
FormatRegistry.Set('uuid', (value) => uuid.test(value))

t.test('docs/openapi.json is up to date', async (t) => {
  t.equal(readFileSync(`${root}docs/openapi.json`, 'utf8'), openApiText(version, registry), 'run: node dist/src/http/write-openapi.js')
})

const at = (path: string): unknown => path.split('/').slice(1).reduce<unknown>((node, name) => (node as Record<string, unknown> | undefined)?.[name], document)

t.test('every reference leads somewhere, and every example fits the schema beside it', async (t) => {
  let examples = 0
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { schema, example, $ref } = node as { schema?: { $ref?: string }, example?: unknown, $ref?: string }
    if ($ref !== undefined) t.ok(at($ref), $ref)
    if (example !== undefined && schema?.$ref !== undefined) {
      examples++
      t.same([...Value.Errors(at(schema.$ref) as TSchema, example)].map(({ path, message }) => `${path} ${message}`), [])
    }
    for (const child of Object.values(node)) walk(child)
  }
  walk(document)
  t.ok(examples >= 6)
})

t.test('schema and reader agree on what a request may be', async (t) => {
  const schemas = wireSchemas(documentedLimits, registry)
  const rules = { strictMembers: false, optionalExtensions: 'ignore' } as const
  const reads = (read: () => unknown): boolean => { try { read(); return true } catch { return false } }
  for (const body of [{}, { number: 128 }, { number: 129 }, { number: 0 }, { size: 64 }, { size: 63 }, { size: 8_200 }, { size: '8' }, { additional_slave_SAE_IDs: ['x'] }, { additional_slave_SAE_IDs: ['a b'] },
    { additional_slave_SAE_IDs: ['x', 'x'] }, { extension_mandatory: [{ qkme_route: 'direct' }] }, { extension_mandatory: [{ abc_x: 1 }] }, { extension_mandatory: [{ qkme_max_age_ms: 0 }] }, { extension_optional: [{ abc_x: 1 }] },
    { extension_optional: [5] }, { number: null }, { future: 1 }]) {
    t.equal(Value.Check(schemas.keyRequest, body), reads(() => readKeyRequest(body as never, 'sae-a', 'sae-b', documentedLimits, rules, registry)), JSON.stringify(body))
  }
  const key_ID = '550e8400-e29b-41d4-a716-446655440000'
  for (const body of [{ key_IDs: [{ key_ID }] }, { key_IDs: [] }, {}, { key_IDs: [{ key_ID: 'x' }] }, { key_IDs: [{ key_ID, key_ID_extension: {} }] }, { key_IDs: [{ key_ID, key_ID_extension: null }] }, { key_IDs: [{ key_ID }], key_IDs_extension: 5 }]) {
    t.equal(Value.Check(schemas.keyIds, body), reads(() => readKeyIds(body as never, 128, false)), JSON.stringify(body))
  }
})

t.test('the Status that is sent fits its schema', async (t) => {
  const status = new FakeService().onStatus('sae-a', 'sae-b')
  if ('code' in status) throw new Error('a status')
  const json: unknown = JSON.parse(statusJson('sae-a', 'urn:x/\'(),;*', status))
  t.ok(Value.Check(wireSchemas(documentedLimits, registry).status, json))
  t.equal(Object.keys(json as object).length, 11)
})

t.test('the five prescribed sentences are in the document, to the letter', async (t) => {
  const text = JSON.stringify(document)
  for (const sentence of ['size shall be a multiple of 8', 'not all extension_mandatory parameters are supported', 'not all extension_mandatory request options could be met', 'not all extension_optional request options handled', 'one or more keys specified are not found on KME']) {
    t.ok(Object.values(sentences).includes(sentence as never))
    t.ok(text.includes(sentence))
  }
})
