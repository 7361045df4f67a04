import type { TSchema } from '@sinclair/typebox'
import type { ExtensionRegistry } from '../pool/extensions.js'
import type { KeyLimits } from './key-request.js'
import { wireSchemas } from './schemas.js'
import { sentences } from './status.js'

type Json = Record<string, unknown>

const keyIdExample = '550e8400-e29b-41d4-a716-446655440000'
const containerExample = { keys: [{ key_ID: keyIdExample, key: 'EREREREREREREREREREREREREREREREREREREREREQ==' }] }
const reference = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })
const jsonBody = (name: string, example: unknown): Json => ({ 'application/json': { schema: reference(name), example } })

const errorResponse = (description: string, messages: readonly string[]): Json => ({
  description,
  content: {
    'application/json': {
      schema: reference('Error'),
      examples: Object.fromEntries(messages.map((message, i) => [`e${i + 1}`, { value: { message } }])),
    },
  },
})

const noStore: Json = { 'Cache-Control': { schema: { type: 'string', const: 'no-store' } } }

const responses = (good: Json, badRequest: readonly string[]): Json => ({
  200: { ...good, headers: noStore },
  400: errorResponse('Bad request; nothing was consumed.', badRequest),
  401: { description: 'The certificate does not count, or the caller may not do this. No body; the connection ends.' },
  503: {
    ...errorResponse('This KME cannot serve the request now; nothing was delivered.', ['insufficient key material', 'too many requests']),
    headers: { 'Retry-After': { schema: { type: 'integer' }, description: 'Seconds after which to try again.' } },
  },
})

const bodyResponses: Json = {
  413: errorResponse('The body is larger than allowed.', ['the body must not exceed 65536 bytes']),
  415: errorResponse('The body is not application/json.', ['the body must have Content-Type: application/json']),
}

const saeParameter = (name: string, description: string): Json => ({
  name, in: 'path', required: true, description: `${description} Percent-encoded: a slash is %2F.`, schema: { type: 'string', minLength: 1, maxLength: 64 },
})

const statusPath = (): Json => ({
  get: {
    operationId: 'getStatus', summary: 'Get status (clause 5.2)', parameters: [saeParameter('slave_SAE_ID', 'The slave SAE.')],
    responses: responses({
      description: 'What could be delivered to the caller for this slave SAE. Consumes nothing.',
      content: jsonBody('Status', {
        source_KME_ID: 'kme-a', target_KME_ID: 'kme-b', master_SAE_ID: 'sae-a', slave_SAE_ID: 'sae-b', key_size: 256, stored_key_count: 25000,
        max_key_count: 100000, max_key_per_request: 128, max_key_size: 8192, min_key_size: 64, max_SAE_ID_count: 8,
      }),
    }, ['slave_SAE_ID must not be the caller']),
  },
})

const encKeysPath = (limits: KeyLimits): Json => {
  const parameters = [saeParameter('slave_SAE_ID', 'The slave SAE.')]
  const bad = [sentences.sizeMultiple, sentences.mandatoryUnsupported, sentences.mandatoryUnmet, sentences.optionalUnhandled,
    `number must be an integer from 1 to ${limits.maxKeyPerRequest}`]
  const good = { description: 'New keys, each delivered to the caller once.', content: jsonBody('KeyContainer', containerExample) }
  const query = (name: string, description: string): Json => ({ name, in: 'query', required: false, description, schema: { type: 'integer', minimum: 1 } })
  return {
    get: {
      operationId: 'getKey', summary: 'Get key (clause 5.3), simple form', responses: responses(good, bad),
      parameters: [...parameters, query('number', 'How many keys; 1.'), query('size', `Bits per key; ${limits.keySizeBits}.`)],
    },
    post: {
      operationId: 'postKey', summary: 'Get key (clause 5.3)', parameters, responses: { ...responses(good, bad), ...bodyResponses },
      requestBody: { required: false, content: jsonBody('KeyRequest', { number: 2, size: 256, extension_mandatory: [{ qkme_route: 'direct' }] }) },
    },
  }
}

const decKeysPath = (): Json => {
  const parameters = [saeParameter('master_SAE_ID', 'The SAE that got the keys.')]
  const bad = [sentences.keysNotFound, 'key_ID must be a UUID: 32 hexadecimal digits with hyphens (RFC 9562)']
  const good = { description: 'The keys, in the order of the request, each delivered to the caller once.', content: jsonBody('KeyContainer', containerExample) }
  return {
    get: {
      operationId: 'getKeyWithId', summary: 'Get key with key IDs (clause 5.4), one ID', responses: responses(good, bad),
      parameters: [...parameters, { name: 'key_ID', in: 'query', required: true, schema: { type: 'string', format: 'uuid' }, description: 'The key wanted.' }],
    },
    post: {
      operationId: 'postKeyWithIds', summary: 'Get key with key IDs (clause 5.4)', parameters, responses: { ...responses(good, bad), ...bodyResponses },
      requestBody: { required: true, content: jsonBody('KeyIds', { key_IDs: [{ key_ID: keyIdExample }] }) },
    },
  }
}

const withTitle = (title: string, schema: TSchema): Json => ({ title, ...schema })

/**
 * Describes the REST interface as an OpenAPI 3.1 document, generated from the schemas that document the wire and from
 * the registry of extensions.
 *
 * @param version  Of qkme.
 * @param kme  Where SAEs reach it: host:port.
 */
export const openApiDocument = (version: string, limits: KeyLimits, registry: ExtensionRegistry, kme = 'localhost:8443'): Json => {
  const schemas = wireSchemas(limits, registry)
  return {
    openapi: '3.1.0',
    info: {
      title: 'qkme key delivery API', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: 'ETSI GS QKD 014 V1.1.1. A client is known by its TLS certificate alone. '
        + (limits === documentedLimits ? 'Limits shown are the defaults; Get status tells those in force.' : 'Limits shown are those of this KME.'),
    },
    servers: [{ url: 'https://{kme}/api/v1', variables: { kme: { default: kme } } }],
    security: [{ mutualTls: [] }],
    paths: {
      '/keys/{slave_SAE_ID}/status': statusPath(),
      '/keys/{slave_SAE_ID}/enc_keys': encKeysPath(limits),
      '/keys/{master_SAE_ID}/dec_keys': decKeysPath(),
    },
    components: {
      securitySchemes: { mutualTls: { type: 'mutualTLS', description: 'A certificate of the SAE CA that names the SAE.' } },
      schemas: {
        Status: withTitle('Status', schemas.status), KeyRequest: withTitle('Key request', schemas.keyRequest),
        KeyContainer: withTitle('Key container', schemas.keyContainer), KeyIds: withTitle('Key IDs', schemas.keyIds), Error: withTitle('Error', schemas.error),
      },
    },
  }
}

/** The limits that docs/openapi.json shows: the defaults of the configuration. */
export const documentedLimits: KeyLimits = { keySizeBits: 256, minKeySizeBits: 64, maxKeySizeBits: 8_192, maxKeyPerRequest: 128, maxSaeIdCount: 8 }

/** The document as it stands in docs/openapi.json. */
export const openApiText = (version: string, registry: ExtensionRegistry): string => `${JSON.stringify(openApiDocument(version, documentedLimits, registry), undefined, 2)}\n`
