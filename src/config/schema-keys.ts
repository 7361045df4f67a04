import { Type } from '@sinclair/typebox'
import { choice, entity, fingerprint, flag, group, integer, list, text } from './setting.js'

const dayMs = 86_400_000
const ms = (description: string, byDefault: number, minimum: number, maximum: number) => integer(description, { minimum, maximum, default: byDefault, unit: 'ms' })
const bytes = (description: string, byDefault: number, minimum: number, maximum: number) => integer(description, { minimum, maximum, default: byDefault, unit: 'bytes' })

const sizeBits = (description: string, byDefault: number) =>
  Type.Integer({ description, unit: 'bits', minimum: 8, maximum: 8_192, multipleOf: 8, default: byDefault })

export const poolsSchema = group('Pools of key shared with another KME. Both KMEs of a pool should agree on sizes and times.', {
  keySizeBits: sizeBits('Size of a key when a request names none.', 256),
  minKeySizeBits: sizeBits('Smallest key that can be asked for.', 64),
  maxKeySizeBits: sizeBits('Largest key that can be asked for.', 8_192),
  maxKeyPerRequest: integer('Keys in one request at most.', { minimum: 1, maximum: 1_024, default: 128, unit: 'keys' }),
  maxKeyCount: integer('Stock of a pool at most, in keys of the default size; beyond it frames wait in the device.', { minimum: 16, maximum: 1_000_000_000, default: 1_000_000, unit: 'keys' }),
  maxSaeIdCount: integer('Additional slave SAEs in one request at most, at any KMEs; 0 turns them off.', { minimum: 0, maximum: 31, default: 8 }),
  keyExtension: choice('What an answer\'s `key_extension` tells: nothing; the way of keys that did not come over a link between the two KMEs; or way and age of all keys.', ['nothing', 'way', 'wayAndAge'], { default: 'way' }),
  statusExtension: flag('Get status lists the extensions that are understood and the ways to the other KME, with the keys of each, in `status_extension`.', false),
  lowKeys: integer('Below this stock an alert "low" is raised.', { minimum: 0, maximum: 1_000_000_000, default: 10_000, unit: 'keys' }),
  criticalKeys: integer('Below this stock an alert "critical" is raised.', { minimum: 0, maximum: 1_000_000_000, default: 1_000, unit: 'keys' }),
  reserve: group('Key that is kept for chosen SAEs when stock is short. Others get 503 before it is touched.', {
    saes: list('Master SAEs of this KME that may use it.', entity('ID of the SAE.'), { maxItems: 1_000 }),
    percent: integer('How much of a full lane is kept, in percent; a lane is half of maxKeyCount, the half that this KME cuts keys from. 0 keeps nothing.', { minimum: 0, maximum: 90, default: 0 }),
  }),
  keyTtlMs: ms('A block is cut from for this time after its confirmation, then closed.', 30 * dayMs, 10_000, 3_650 * dayMs),
  fetchTtlMs: ms('A slave may fetch a key for at least this time after the master got it.', dayMs, 1_000, 3_650 * dayMs),
  runwayMs: ms('How far the horizon is kept ahead of the cursor, in time of use; at least 2 blocks.', 60_000, 1_000, 3_600_000),
  leaseMs: ms('How much is marked as spent ahead of use, in time of use. A crash loses up to this much.', 1_000, 50, 60_000),
  leaseMinBytes: bytes('Shortest lease.', 1_024, 64, 63_488),
  leaseMaxBytes: bytes('Longest lease.', 63_488, 1_024, 63_488),
  leaseWaitMs: ms('A request waits this long for key that is about to be there.', 50, 0, 1_000),
  peerAbsenceMaxMs: ms('Delivery goes on for this time while the other KME is away.', 30_000, 0, 3_600_000),
  blockCloseMs: ms('A block that does not fill is closed after this time (slow links).', 2_000, 100, 600_000),
  missingFrameMs: ms('A frame that the other side lacks for this time is burned on both; sooner where it is plain that it never comes.', 30_000, 1_000, 3_600_000),
  authReserveBytes: bytes('Key kept for authenticating messages between the KMEs, per direction.', 16_384, 4_096, 16_777_216),
  authFloorBytes: bytes('Below this reserve only vital messages are sent.', 2_048, 512, 8_388_608),
  associationsPerSae: integer('Sets of slaves that one master SAE may use.', { minimum: 1, maximum: 4_096, default: 64 }),
  idEpochDays: integer('Keys that make key IDs are replaced after this time.', { minimum: 1, maximum: 3_650, default: 90, unit: 'days' }),
})

const rateLimit = (description: string) => integer(description, { minimum: 0, maximum: 1_000_000_000_000, default: 0, unit: 'per second' })

export const rateLimitsSchema = group('Token buckets per SAE. 0 turns a limit off.', {
  requestsPerS: rateLimit('Requests per second and SAE.'),
  requestBurst: integer('Requests that may come at once.', { minimum: 1, maximum: 1_000_000, default: 100 }),
  keyBitsPerS: rateLimit('Key bits per second and SAE.'),
  keyBitBurst: integer('Key bits that may be taken at once; at least the largest request.', { minimum: 8, maximum: 1_000_000_000_000, default: 1_048_576, unit: 'bits' }),
  foreignIdsPerS: integer('Key IDs per second and SAE that are tried with pools other than the named one.', { minimum: 1, maximum: 100_000, default: 64, unit: 'per second' }),
})

export const saeSchema = Type.Object({
  id: entity('ID of the SAE.'),
  kme: Type.Optional(entity('KME that serves it; this one when left out. Pins an SAE elsewhere, whatever is announced.')),
  fingerprints: list('Accept only these certificates; empty accepts any of the SAE CA that names it.', fingerprint('SHA-256 of a certificate.'), { maxItems: 8 }),
}, { additionalProperties: false, description: 'An SAE. Those of this KME are registered at the start if they are not yet.' })

export const policySchema = group('Who may share keys with whom.', {
  default: choice('For pairs that are not listed.', ['allow', 'deny'], { default: 'deny' }),
  pairs: list('Rules; the first that fits decides.', Type.Object({
    master: entity('SAE that asks for keys; * is any.'),
    slave: entity('SAE that fetches them; * is any.'),
    allow: flag('false forbids the pair.', true),
  }, { additionalProperties: false, description: 'One rule.' })),
  unregistered: choice('A valid certificate whose SAE ID is not registered: refuse it, register it at its first request, or refuse it and note it for an operator to approve (qkme sae approve).', ['refuse', 'register', 'request'], { default: 'refuse' }),
})

export const localPoolSchema = group('Keys between two SAEs of this KME: from the system\'s random source, not from QKD, and marked so.', {
  enabled: flag('Serve such pairs at all.', true),
  stockBytes: bytes('Stock kept ready.', 1_048_576, 65_536, 1_073_741_824),
  sourceName: text('What `key_extension` calls the source.', { default: 'local-random', maxLength: 64, pattern: '^[a-z0-9-]+$', patternWords: 'lower-case letters, digits and hyphens' }),
})
