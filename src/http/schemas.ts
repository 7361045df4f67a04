import { Type, type TSchema } from '@sinclair/typebox'
import type { ExtensionRegistry } from '../pool/extensions.js'
import type { KeyLimits } from './key-request.js'

/** JSON Schemas (2020-12) of what goes over the wire, in the standard's names; for documentation and contract tests. */
export interface WireSchemas {
  readonly status: TSchema
  readonly keyRequest: TSchema
  readonly keyContainer: TSchema
  readonly keyIds: TSchema
  readonly error: TSchema
}

const entityId = (description: string) => Type.String({ description, minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9\\-._~:/?#\\[\\]@!$&\'()*+,;=%]{1,64}$' })
const futureUse = (description: string) => Type.Optional(Type.Object({}, { description, additionalProperties: true }))
const keyId = () => Type.String({ format: 'uuid', description: 'ID of the key; read in either case, always written in lower case.' })

/** @see ETSI GS QKD 014 V1.1.1, clause 6.1 */
const statusSchema = () => Type.Object({
  source_KME_ID: entityId('The KME that answers.'),
  target_KME_ID: entityId('The KME that serves the slave SAE.'),
  master_SAE_ID: entityId('The caller.'),
  slave_SAE_ID: entityId('The SAE of the path.'),
  key_size: Type.Integer({ description: 'Default size of a key, in bits.' }),
  stored_key_count: Type.Integer({ minimum: 0, description: 'Keys of the default size that could be delivered now; at most max_key_count.' }),
  max_key_count: Type.Integer({ minimum: 0, description: 'Most keys that are stored.' }),
  max_key_per_request: Type.Integer({ minimum: 1, description: 'Most keys in one request.' }),
  max_key_size: Type.Integer({ description: 'Size of the largest key, in bits.' }),
  min_key_size: Type.Integer({ description: 'Size of the smallest key, in bits.' }),
  max_SAE_ID_count: Type.Integer({ minimum: 0, description: 'Most entries of additional_slave_SAE_IDs; 0: not supported.' }),
  status_extension: futureUse('More about the pool.'),
}, { description: 'Status (clause 6.1).' })

/** @see ETSI GS QKD 014 V1.1.1, clause 6.2 */
const keyRequestSchema = (limits: KeyLimits, registry: ExtensionRegistry) => {
  const known = Object.fromEntries(registry.all().map(({ name, summary, schema, example }) => [name, Type.Optional({ ...schema, description: summary, examples: [example] })]))
  return Type.Object({
    number: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.maxKeyPerRequest, default: 1, description: 'How many keys.' })),
    size: Type.Optional(Type.Integer({
      minimum: limits.minKeySizeBits, maximum: limits.maxKeySizeBits, multipleOf: 8, default: limits.keySizeBits, description: 'Size of each key, in bits.',
    })),
    additional_slave_SAE_IDs: Type.Optional(Type.Array(entityId('A further slave SAE.'), {
      maxItems: limits.maxSaeIdCount, uniqueItems: true, description: 'SAEs that get the same keys besides the one of the path; neither the caller nor that one.',
    })),
    extension_mandatory: Type.Optional(Type.Array(Type.Object(known, { additionalProperties: false }), {
      description: 'Parameters that must be handled, or the request is refused.',
    })),
    extension_optional: Type.Optional(Type.Array(Type.Object(known, { additionalProperties: true }), { description: 'Parameters that may be ignored.' })),
  }, { description: 'Key request (clause 6.2). Unknown members are ignored.', additionalProperties: true })
}

/** @see ETSI GS QKD 014 V1.1.1, clause 6.3 */
const keyContainerSchema = () => Type.Object({
  keys: Type.Array(Type.Object({
    key_ID: keyId(),
    key_ID_extension: futureUse('More about the ID.'),
    key: Type.String({ contentEncoding: 'base64', description: 'The key in Base64 with padding (RFC 4648, clause 4).' }),
    key_extension: futureUse('More about the key, e.g. where its bits come from.'),
  }), { description: 'As many as asked for, in the order of the request.' }),
  key_container_extension: futureUse('More about the container.'),
}, { description: 'Key container (clause 6.3).' })

/** @see ETSI GS QKD 014 V1.1.1, clause 6.4 */
const keyIdsSchema = (limits: KeyLimits) => Type.Object({
  key_IDs: Type.Array(Type.Object({ key_ID: keyId(), key_ID_extension: futureUse('More about the ID.') }, { additionalProperties: true }), {
    minItems: 1, maxItems: limits.maxKeyPerRequest, description: 'The keys wanted, each once.',
  }),
  key_IDs_extension: futureUse('More about the request.'),
}, { description: 'Key IDs (clause 6.4). Unknown members are ignored.', additionalProperties: true })

/** @see ETSI GS QKD 014 V1.1.1, clause 6.5 */
const errorSchema = () => Type.Object({
  message: Type.String({ description: 'What is wrong; five texts are prescribed by the standard.' }),
  details: Type.Optional(Type.Array(Type.Object({}, { additionalProperties: true }), { description: 'Name/value pairs that name what is at fault.' })),
}, { description: 'Error (clause 6.5).' })

/** The schemas for one KME: limits and extensions are in them. */
export const wireSchemas = (limits: KeyLimits, registry: ExtensionRegistry): WireSchemas => ({
  status: statusSchema(),
  keyRequest: keyRequestSchema(limits, registry),
  keyContainer: keyContainerSchema(),
  keyIds: keyIdsSchema(limits),
  error: errorSchema(),
})
