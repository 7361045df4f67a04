import { Type } from '@sinclair/typebox'
import { choice, entity, fingerprint, flag, group, integer, list, optionalGroup, path, text } from './setting.js'

const hourMs = 3_600_000
const port = (description: string, byDefault: number) => integer(description, { minimum: 0, maximum: 65_535, default: byDefault })

/** TLS of one door: our certificate, and the CA whose certificates may come in. */
const tls = (who: string) => ({
  certificate: path('PEM file with this side\'s certificate, followed by its intermediates.'),
  key: path('PEM file with its private key, readable by its owner only.', { secret: true }),
  ca: path(`PEM file with the CA certificates that ${who} must come from.`),
  crlFiles: list('CRL files (PEM or DER) of these CAs.', path('A CRL file.'), { maxItems: 64 }),
  crlRequired: flag('Refuse every certificate of a CA whose CRL is missing. A CRL past its nextUpdate always closes.', true),
  ocsp: group('Asking OCSP responders about these certificates, beside the CRLs; intermediate CAs are looked up in the CRLs alone.', {
    mode: choice('soft: without an answer a certificate passes, with an alert; hard: it is refused. A revoked one is refused by both.', ['off', 'soft', 'hard'], { default: 'off' }),
    url: Type.Optional(text('Responder for all certificates. Left out: the one that each certificate names (AIA).', { pattern: '^https?://[^@\\s]+$', patternWords: 'http:// or https:// without password' })),
    timeoutMs: integer('A responder that has not answered after this time counts as silent.', { minimum: 100, maximum: 60_000, default: 2_000, unit: 'ms' }),
    cacheMs: integer('An answer is used for this time at most, and never beyond its nextUpdate.', { minimum: 10_000, maximum: 24 * hourMs, default: hourMs, unit: 'ms' }),
    entriesMax: integer('Answers that are kept.', { minimum: 16, maximum: 100_000, default: 10_000 }),
  }),
  reloadMs: integer('How often certificates, CAs and CRLs are looked at for changes.', { minimum: 1_000, maximum: 24 * hourMs, default: 60_000, unit: 'ms' }),
  expiryWarnDays: integer('Warn when a certificate expires within this time.', { minimum: 0, maximum: 3_650, default: 30, unit: 'days' }),
})

export const restSchema = group('The key delivery API for SAEs (ETSI GS QKD 014).', {
  host: text('Address to listen on.', { default: '0.0.0.0' }),
  port: port('Port to listen on; 0 takes a free one.', 8443),
  publicHosts: list('Names and addresses under which SAEs reach this KME: the certificate must cover them.', text('A host name or IP address.'), { maxItems: 64 }),
  tls: group('TLS towards SAEs.', {
    ...tls('SAE certificates'),
    allowTls12: flag('Accept TLS 1.2 besides TLS 1.3.', false),
  }),
  identity: group('Where the SAE ID sits in a certificate. The first place with a candidate decides; two candidates refuse.', {
    uriPrefix: text('SAN URIs that begin with this carry the ID; empty turns the place off.', { default: 'urn:qkme:sae:', minLength: 0, maxLength: 200 }),
    dns: flag('A SAN DNS name may be the ID.', false),
    cn: flag('The subject\'s common name may be the ID.', true),
  }),
  limits: group('Bounds on what one client may do.', {
    bodyBytes: integer('Longest request body.', { minimum: 1_024, maximum: 1_048_576, default: 65_536, unit: 'bytes' }),
    jsonDepth: integer('Deepest nesting of a request body.', { minimum: 4, maximum: 256, default: 32 }),
    connectionAgeMs: integer('A connection is closed after this time, so that no identity outlives it.', { minimum: 1_000, maximum: 24 * hourMs, default: hourMs, unit: 'ms' }),
    connections: integer('Open connections at most; more are closed at once.', { minimum: 1, maximum: 1_000_000, default: 10_000 }),
    connectionsPerS: integer('New connections per second and client address (of IPv6, per network of 64 bits); more are closed at once. 0 turns the limit off.', { minimum: 0, maximum: 1_000_000, default: 0, unit: 'per second' }),
    connectionBurst: integer('New connections of one address that may come at once.', { minimum: 1, maximum: 1_000_000, default: 100 }),
    idleMs: integer('A connection that sends or takes nothing for this time is closed.', { minimum: 8_000, maximum: 960_000, default: 60_000, unit: 'ms' }),
  }),
  strictJson: flag('Refuse unknown members of a request instead of ignoring them.', false),
  optionalExtensions: choice('What to do with an entry of extension_optional that is unknown or malformed: pass it over, or refuse the request.', ['ignore', 'refuse'], { default: 'ignore' }),
  strictContentType: flag('Refuse a body whose Content-Type is not application/json.', true),
  confidentialNames: flag('Answer 401 without a body for unknown SAE IDs too, so that nobody can probe for names.', false),
})

export const peeringSchema = group('The channel between neighbouring KMEs.', {
  listen: flag('Accept connections of neighbours. Without it this KME only dials.', true),
  host: text('Address to listen on.', { default: '0.0.0.0' }),
  port: port('Port to listen on; 0 takes a free one.', 9443),
  tls: optionalGroup('TLS towards KMEs, for listening and for dialling. Needed as soon as there are peers.', tls('KME certificates')),
  uriPrefix: text('SAN URIs that begin with this carry the KME ID.', { default: 'urn:qkme:kme:', maxLength: 200 }),
  connectTimeoutMs: integer('A connection that is not ready after this time is given up.', { minimum: 500, maximum: 120_000, default: 5_000, unit: 'ms' }),
  keepAliveMs: integer('A neighbour that is silent is asked for a sign of life after this time, and given up after twice as long.', { minimum: 100, maximum: 300_000, default: 5_000, unit: 'ms' }),
  sendQueueBytes: integer('Bytes that may wait for a slow neighbour.', { minimum: 65_536, maximum: 268_435_456, default: 4_194_304, unit: 'bytes' }),
  retry: group('Waiting between attempts to connect: doubles from min to max, with jitter.', {
    minMs: integer('First wait.', { minimum: 10, maximum: 60_000, default: 250, unit: 'ms' }),
    maxMs: integer('Longest wait.', { minimum: 100, maximum: 600_000, default: 30_000, unit: 'ms' }),
  }),
})

export const peerSchema = Type.Object({
  kme: entity('ID of the neighbouring KME, as its certificate says it.'),
  url: Type.Optional(text('Where to dial it: wss://host:port. Without it we wait for its call.', { pattern: '^wss://[^/?#@\\s]+/?$', patternWords: 'wss://host:port without path or password' })),
  fingerprints: list('Accept only these certificates of it; empty accepts any of the KME CA that names it.', fingerprint('SHA-256 of a certificate.'), { maxItems: 8 }),
}, { additionalProperties: false, description: 'A neighbouring KME.' })

export const adminSchema = group('Status, metrics and acts of operators.', {
  socketPath: path('Unix socket (mode 0600) for the command line on this machine.', { default: 'admin.sock', base: 'state' }),
  https: optionalGroup('HTTPS with operator certificates. Off unless written.', {
    host: text('Address to listen on.', { default: '127.0.0.1' }),
    port: port('Port to listen on; 0 takes a free one.', 9444),
    tls: Type.Object(tls('operator certificates'), { additionalProperties: false, description: 'TLS towards operators.' }),
    uriPrefix: text('SAN URIs that begin with this carry the operator\'s name.', { default: 'urn:qkme:operator:', maxLength: 200 }),
    hosts: list('Accepted values of the Host header, with port; a browser led here under another name is refused.', text('host:port'), { maxItems: 64 }),
    corsOrigins: list('Origins of other pages that may call the API.', text('An origin.', { pattern: '^https://[^/@]+$', patternWords: 'https://host without path' }), { maxItems: 64 }),
  }),
  roles: list('Who may do what over HTTPS.', Type.Object({
    operator: entity('Name in the operator\'s certificate.'),
    role: choice('view: look; operate: also register and suspend; destroy: also retire and zeroize.', ['view', 'operate', 'destroy']),
    fingerprints: list('Accept only these certificates; empty accepts any of the operator CA.', fingerprint('SHA-256 of a certificate.'), { maxItems: 8 }),
  }, { additionalProperties: false, description: 'One operator.' }), { maxItems: 1_000 }),
})
