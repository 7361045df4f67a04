/**
 * Every setting of a KME in one schema: description, unit, bounds, default. The loader, `qkme config print`, the
 * environment variables and docs/configuration.md all come from it.
 */
import { Type, type Static, type TLiteral, type TOptional, type TUnion } from '@sinclair/typebox'
import { logLevels, type LogLevel } from '../kernel/log.js'
import { alertsSchema } from './schema-alerts.js'
import { adminSchema, peerSchema, peeringSchema, restSchema } from './schema-network.js'
import { localPoolSchema, policySchema, poolsSchema, rateLimitsSchema, saeSchema } from './schema-keys.js'
import { linkSchema } from './schema-links.js'
import { relaySchema } from './schema-relay.js'
import { routingSchema } from './schema-routing.js'
import { choice, entity, flag, group, integer, list, path } from './setting.js'

const gib = 1_073_741_824

export const logComponents = ['rest', 'peer', 'pool', 'link', 'device', 'store', 'admin', 'session', 'security', 'runtime'] as const

type LogComponent = (typeof logComponents)[number]
const componentLevels = Object.fromEntries(logComponents.map((name) =>
  [name, Type.Optional(choice(`Level of the component ${name}.`, logLevels))])) as Record<LogComponent, TOptional<TUnion<TLiteral<LogLevel>[]>>>

export const configSchema = Type.Object({
  kme: Type.Object({
    id: entity('ID of this KME, unique in the network and the same in its certificates.'),
  }, { additionalProperties: false, description: 'This KME.' }),
  folders: group('Where state lives.', {
    state: path('Folder of everything this KME writes (mode 0700). Never shared between two KMEs.', { default: 'qkme-state' }),
  }),
  rest: restSchema,
  peering: peeringSchema,
  peers: list('Neighbouring KMEs.', peerSchema, { maxItems: 256 }),
  links: list('QKD links that end here.', linkSchema, { maxItems: 256 }),
  network: group('KMEs beyond the neighbours.', { routing: routingSchema, relay: relaySchema }),
  pools: poolsSchema,
  localPool: localPoolSchema,
  saes: list('Known SAEs. More are added with `qkme sae add`.', saeSchema),
  policy: policySchema,
  rateLimits: rateLimitsSchema,
  store: group('The store of sealed key, in LMDB.', {
    folder: path('Folder of the store.', { default: 'store', base: 'state' }),
    mapSizeBytes: integer('Address space for the store: its greatest size.', { minimum: 16_777_216, maximum: 16_384 * gib, default: 16 * gib, unit: 'bytes' }),
    reserveBytes: integer('Free space on the disk below which only what frees space is still written.', { minimum: 0, maximum: 1_024 * gib, default: 268_435_456, unit: 'bytes' }),
    copies: choice('A store that turns out to be a copy: refuse to start, or void all its stock on both sides and go on.', ['refuse', 'void'], { default: 'refuse' }),
    masterKey: group('The key over all others. Exactly one of the two.', {
      file: Type.Optional(path('File with 32 bytes, mode 0600, made by `qkme store create-key`.', { secret: true })),
      passphraseFile: Type.Optional(path('File whose first line is a passphrase (scrypt), mode 0600.', { secret: true })),
    }),
  }),
  memory: group('Locked memory for plaintext key.', {
    arenaBytes: integer('Size of the arena. The limit of locked memory (ulimit -l) must allow it.', { minimum: 1_048_576, maximum: gib, default: 4_194_304, unit: 'bytes' }),
    allowUnlocked: flag('Start even if the memory cannot be locked: key may then be written to swap.', false),
  }),
  logging: group('JSON lines for people and collectors. Never with key.', {
    level: choice('Level of every component that has none of its own.', logLevels, { default: 'info' }),
    levels: group('Levels by component.', componentLevels),
    destination: path('stdout, stderr, or a file that is appended to.', { default: 'stdout', words: ['stdout', 'stderr'] }),
  }),
  audit: group('The chained audit trail. A full disk stops delivery.', {
    days: integer('Segments older than this are removed; 0 keeps them for ever.', { minimum: 0, maximum: 36_500, default: 365, unit: 'days' }),
    maxBytes: integer('Size of all segments at most; the oldest are removed first.', { minimum: 1_048_576, maximum: 1_024 * gib, default: 10 * gib, unit: 'bytes' }),
  }),
  admin: adminSchema,
  alerts: alertsSchema,
  supervision: group('Restarting parts that fail: waits double from min to max; a stable time forgives.', {
    minMs: integer('First wait.', { minimum: 1, maximum: 60_000, default: 100, unit: 'ms' }),
    maxMs: integer('Longest wait.', { minimum: 10, maximum: 600_000, default: 30_000, unit: 'ms' }),
    stableMs: integer('A part that ran this long starts with a clean record.', { minimum: 100, maximum: 3_600_000, default: 60_000, unit: 'ms' }),
    attemptsMax: integer('Restarts in one spell before the level above decides.', { minimum: 1, maximum: 1_000, default: 10 }),
  }),
}, { additionalProperties: false, description: 'Settings of a KME.' })

type Frozen<T> = T extends readonly (infer Item)[] ? readonly Frozen<Item>[]
  : T extends object ? { readonly [Key in keyof T]: Frozen<T[Key]> } : T

/** Settings that passed every check: paths absolute, defaults filled in, numbers in the unit their name says. */
export type Config = Frozen<Static<typeof configSchema>>
