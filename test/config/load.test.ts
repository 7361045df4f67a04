import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig, readConfig, type ConfigInput, type ConfigResult } from '../../src/config/load.js'
import type { Config } from '../../src/config/schema.js'
import { exampleFile, setUpExamples, shortFolder } from './examples.js'

const minimal = `kme: { id: kme-x }
rest:
  tls: { certificate: c.crt, key: c.key, ca: ca.crt, crlRequired: false }
store: { masterKey: { file: m.key } }
`
const read = (t: Test, yaml: string, variables: Record<string, string> = {}, more: Partial<ConfigInput> = {}): ConfigResult => {
  const folder = shortFolder(t)
  writeFileSync(join(folder, 'kme.yaml'), yaml)
  return readConfig({ file: join(folder, 'kme.yaml'), variables, workingFolder: '/work-folder', checkFiles: false, ...more })
}
const good = (t: Test, yaml: string, variables: Record<string, string> = {}): Config => {
  const result = read(t, yaml, variables)
  if (!result.ok) throw new Error(JSON.stringify(result.faults, null, 1))
  return result.config
}
/** `place setting` of each fault. */
const faults = (result: ConfigResult): string[] => result.ok ? [] : result.faults.map((f) => `${f.place} ${f.setting}: ${f.message}`)

t.test('both examples load as they are, with the files that their comments make', async t => {
  const folder = shortFolder(t)
  await setUpExamples(folder)
  for (const site of ['a', 'b']) {
    const config = loadConfig({ file: join(folder, `kme-${site}.yaml`), variables: {}, workingFolder: '/' })
    t.equal(config.kme.id, `kme-${site}`)
    t.equal(config.rest.tls.key, join(folder, `pki/kme/kme-${site}/server.key`))
    t.equal(config.store.folder, join(folder, `kme-${site}-state/store`))
    t.equal(config.pools.keyTtlMs, 30 * 86_400_000)
    t.equal(config.store.mapSizeBytes, 4 * 1024 ** 3)
    t.throws(() => { (config.rest as { port: number }).port = 1 }, TypeError, 'read-only')
  }
})

t.test('the file of the examples is the one in deploy/', async t => { t.match(exampleFile('kme-a'), /deploy\/examples\/kme-a\.yaml$/) })

t.test('defaults are those of the design', async t => {
  const { pools, rest, memory, rateLimits, policy } = good(t, minimal)
  t.match(pools, {
    keySizeBits: 256, minKeySizeBits: 64, maxKeySizeBits: 8192, maxKeyPerRequest: 128, runwayMs: 60_000, leaseMs: 1_000, leaseMinBytes: 1_024,
    leaseMaxBytes: 63_488, leaseWaitMs: 50, peerAbsenceMaxMs: 30_000, blockCloseMs: 2_000, missingFrameMs: 30_000,
    authReserveBytes: 16_384, authFloorBytes: 2_048, associationsPerSae: 64, idEpochDays: 90,
  })
  t.match(rest.limits, { bodyBytes: 65_536, jsonDepth: 32, connectionAgeMs: 3_600_000 })
  t.match(rest, { strictContentType: true, strictJson: false, confidentialNames: false })
  t.same([rest.tls.allowTls12, memory.arenaBytes, memory.allowUnlocked, rateLimits.requestsPerS, rateLimits.keyBitsPerS, rateLimits.foreignIdsPerS], [false, 4_194_304, false, 0, 0, 64])
  t.same(policy, { default: 'deny', pairs: [], unregistered: 'refuse' })
})

t.test('all faults are told at once, each with its line or variable', async t => {
  const yaml = `kme:
  id: two words
rest:
  port: 99999
  prot: 1
  tls: { certificate: c.crt, key: c.key, ca: ca.crt, crlRequired: yes please }
pools:
  keySizeBits: 100
  minKeySizeBits: 512
  keyTtlMs: soon
links:
  - id: 1
    peer: kme-b
    ring: { path: /r1 }
  - id: 1
    peer: kme-b
    ring: { slots: 1000 }
`
  t.same(faults(read(t, yaml, { QKME_MEMORY_ARENA_BYTES: '1.5 XB', QKME_POOLS_KEYSIZE_BITS: '256', QKME_SAES: '[{"id":"a"},{"id":"a"}]' })), [
    'QKME_POOLS_KEYSIZE_BITS : is not the variable of a setting; did you mean QKME_POOLS_KEY_SIZE_BITS?',
    'kme.yaml:2 kme.id: must be 1 to 64 characters allowed in a URI (RFC 3986)',
    'kme.yaml:5 rest.prot: is not a setting; did you mean port?',
    'kme.yaml:4 rest.port: must be from 0 to 65535, not 99999',
    'kme.yaml:6 rest.tls.crlRequired: must be true or false, not this text',
    'kme.yaml:17 links[1].ring.path: is missing',
    'kme.yaml:8 pools.keySizeBits: must be a multiple of 8, not 100',
    'kme.yaml:10 pools.keyTtlMs: must be a whole number (ms), alone or with one of ms, s, min, h, d, not this text',
    'QKME_MEMORY_ARENA_BYTES memory.arenaBytes: must be a whole number (bytes), alone or with one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, not this text',
    'kme.yaml:17 links[1].ring.slots: must be a power of two, not 1000',
    'kme.yaml:15 links[1].id: is the same as that of links[0]',
    'QKME_SAES saes[1].id: is the same as that of saes[0]',
    'kme.yaml:13 links[0].peer: "kme-b" is none of the peers (there are none)',
    'kme.yaml:16 links[1].peer: "kme-b" is none of the peers (there are none)',
    'kme.yaml:1 store.masterKey: needs exactly one of file and passphraseFile, and has none; qkme store create-key makes a file',
  ])
})

t.test('a wrong value is never repeated: it may be a secret in the wrong place', async t => {
  const secret = 'hunter2-correct-horse'
  const result = read(t, `kme: { id: "${secret} x" }\nrest: { tls: "${secret}" }\nstore: { masterKey: "${secret}", copies: "${secret}" }\npeers: [{ kme: b, url: "wss://u:${secret}@h" }]`,
    { QKME_LINKS: `[{"x": ${secret}`, QKME_REST_PORT: secret, QKME_MEMORY_ALLOW_UNLOCKED: secret })
  t.equal(result.ok, false)
  t.ok(faults(result).length >= 7)
  t.notMatch(faults(result).join('\n'), secret)
})

t.test('each rule between settings', async t => {
  const cases: [string, string, Record<string, string>?][] = [
    ['pools.minKeySizeBits', 'pools: { minKeySizeBits: 512 }'],
    ['pools.keySizeBits', 'pools: { keySizeBits: 512, maxKeySizeBits: 256 }'],
    ['pools.leaseMinBytes', 'pools: { leaseMinBytes: 4096, leaseMaxBytes: 2048 }'],
    ['pools.leaseMs', 'pools: { leaseMs: 5s, runwayMs: 2s }'],
    ['pools.authFloorBytes', 'pools: { authFloorBytes: 16384 }'],
    ['pools.criticalKeys', 'pools: { criticalKeys: 10000 }'],
    ['pools.lowKeys', 'pools: { maxKeyCount: 10000 }'],
    ['rateLimits.keyBitBurst', 'rateLimits: { keyBitsPerS: 1, keyBitBurst: 1048575 }'],
    ['supervision.minMs', 'supervision: { minMs: 1s, maxMs: 10 }'],
    ['peering.retry.minMs', 'peering: { retry: { minMs: 1s, maxMs: 100 } }'],
    ['peers[0].kme', 'peers: [{ kme: kme-x, url: "wss://h:1" }]\npeering: { tls: { certificate: a, key: b, ca: c, crlRequired: false } }'],
    ['peers[1].kme', 'peers: [{ kme: b }, { kme: b }]\npeering: { tls: { certificate: a, key: b, ca: c, crlRequired: false } }'],
    ['peers[0]', 'peers: [{ kme: b }]\npeering: { listen: false, tls: { certificate: a, key: b, ca: c, crlRequired: false } }'],
    ['peering', 'peers: [{ kme: b }]'],
    ['peering.tls.crlFiles', 'peers: [{ kme: b }]\npeering: { tls: { certificate: a, key: b, ca: c } }'],
    ['peering.port', 'peers: [{ kme: b }]\npeering: { port: 8443, host: 127.0.0.1, tls: { certificate: a, key: b, ca: c, crlRequired: false } }'],
    ['saes[1].id', 'saes: [{ id: s }, { id: s }]'],
    ['policy.pairs[0]', 'policy: { pairs: [{ master: s, slave: s }] }'],
    ['admin.roles', 'admin: { https: { tls: { certificate: a, key: b, ca: c, crlRequired: false } } }'],
    ['admin.roles[1].operator', 'admin: { roles: [{ operator: o, role: view }, { operator: o, role: destroy }] }'],
    ['admin.socketPath', `admin: { socketPath: /${'x'.repeat(107)} }`],
    ['store.mapSizeBytes', 'store: { mapSizeBytes: 16MiB, masterKey: { file: m } }\npeers: [{ kme: b }]\npeering: { tls: { certificate: a, key: b, ca: c, crlRequired: false } }'],
    ['store.masterKey', 'store: { masterKey: { file: m, passphraseFile: p } }'],
    ['rest.identity', '', { QKME_REST_IDENTITY_URI_PREFIX: '', QKME_REST_IDENTITY_CN: 'false' }],
    ['network.relay.pools[1].kme', 'network: { relay: { pools: [{ kme: z, paths: 2 }, { kme: z, paths: 2 }, { kme: z }, { kme: z, hybrid: true }] } }'],
    ['network.relay.pools[0].kme', 'network: { relay: { pools: [{ kme: kme-x }] } }'],
    ['network.relay.automatic.kmes[1]', 'network: { relay: { automatic: { kmes: [z, kme-x] } } }'],
    ['network.relay.automatic.open', 'network: { relay: { automatic: { open: sometimes } } }'],
    ['network.relay.tunnels.sourceQueueBytes', 'network: { relay: { tunnels: { queueBytes: 64KiB } } }'],
    ['alerts.syslog', 'alerts: { syslog: { port: 514 } }'],
    ['alerts.syslog', 'alerts: { syslog: { host: h, socket: /dev/x } }'],
    ['alerts.webhook.url', 'alerts: { webhook: { url: "http://h/" } }'],
    ['alerts.webhook.url', 'alerts: { webhook: { url: "https://user:pw@h/" } }'],
    ['alerts.minSeverity', 'alerts: { minSeverity: loud }'],
    ['rest.limits.connectionsPerS', '', { QKME_REST_LIMITS_CONNECTIONS_PER_S: '-1' }],
    ['rest.tls.crlFiles', '', { QKME_REST_TLS_CRL_REQUIRED: 'true' }],
  ]
  for (const [setting, yaml, variables] of cases) {
    const base = minimal.split('\n').filter((line) => !yaml.includes('store:') || !line.startsWith('store:')).join('\n')
    const result = read(t, base + yaml, variables ?? {})
    t.same(result.ok ? [] : result.faults.map((f) => f.setting), [setting], `${setting} <- ${yaml}`)
  }
})

t.test('a link has exactly one device, and each device its own place', async t => {
  const links = (text: string): ReturnType<typeof read> => read(t, `${minimal}peers: [{ kme: b }]\npeering: { tls: { certificate: a, key: b, ca: c, crlRequired: false } }\nlinks: ${text}`)
  const tls = 'tls: { certificate: a, key: b, ca: c }'
  t.match(faults(links('[{ id: 1, peer: b }]')), [/links\[0\]: needs exactly one device .* has none/])
  t.match(faults(links('[{ id: 1, peer: b, ring: { path: /r }, qix: { connect: /s } }]')), [/has ring and qix/])
  t.match(faults(links('[{ id: 1, peer: b, qix: { connect: /s, listen: "h:1" } }]')), [/needs exactly one of connect and listen, and has both/])
  t.match(faults(links('[{ id: 1, peer: b, corFiles: { folder: /f } }, { id: 2, peer: b, recordFile: { path: /f } }]')), [/links\[1\].*the same as that of links\[0\]/])
  t.match(faults(links(`[{ id: 1, peer: b, push004: { port: 8443, ${tls} } }]`)), [/push004\.port: \(8443\) is taken by rest\.port/])
  t.match(faults(links(`[{ id: 1, peer: b, push004: { port: 1, deviceUrl: "https://h:1/x", ${tls} } }]`)), [/needs deviceUrl and streamId together/])
  t.match(faults(links(`[{ id: 1, peer: b, pull014: { url: "http://h", remoteSaeId: x, ${tls} } }]`)), [/pull014\.url: must be https/])
  const [link] = good(t, `${minimal}peers: [{ kme: b }]\npeering: { tls: { certificate: a, key: b, ca: c, crlRequired: false } }\nlinks: [{ id: 1, peer: b, pull014: { url: "https://h:1", remoteSaeId: x, ${tls} } }]`).links
  t.match(link, { pull014: { keySizeBits: 0, keysPerRequest: 64, pollMs: 1_000 } })
})

t.test('a link whose warning is above its abort is refused, and a fitting one is not', async t => {
  const link = (qber: string): string => `${minimal}peers: [{ kme: b }]\npeering: { tls: { certificate: a, key: b, ca: c, crlRequired: false } }\nlinks: [{ id: 1, peer: b, ring: { path: /r }, qber: ${qber} }]`
  t.match(faults(read(t, link('{ warn: 0.2 }'))), ['kme.yaml:7 links[0].qber.warn: (0.2) must be less than abort (0.11)'])
  t.equal(good(t, link('{ warn: 3e-2 }')).links[0]?.qber.warn, 0.03)
})

t.test('a variable wins over the file, whatever the type; lists are JSON', async t => {
  const config = good(t, `${minimal}pools: { keySizeBits: 128 }`, {
    QKME_POOLS_KEY_SIZE_BITS: '512', QKME_KME_ID: 'kme-y', QKME_REST_STRICT_JSON: 'true', QKME_POOLS_RUNWAY_MS: '2 min',
    QKME_SAES: '[{"id":"sae-1"},{"id":"sae-2","kme":"kme-z"}]', QKME_LOGGING_LEVELS_STORE: 'trace', QKME_CONFIG: 'ignored',
    QKME_ADMIN_HTTPS_TLS_CERTIFICATE: '/a', QKME_ADMIN_HTTPS_TLS_KEY: '/b', QKME_ADMIN_HTTPS_TLS_CA: '/c', QKME_ADMIN_HTTPS_TLS_CRL_REQUIRED: 'false',
    QKME_ADMIN_ROLES: '[{"operator":"o","role":"view"}]', PATH: '/bin',
  })
  t.equal(config.pools.keySizeBits, 512)
  t.equal(config.kme.id, 'kme-y')
  t.equal(config.rest.strictJson, true)
  t.equal(config.pools.runwayMs, 120_000)
  t.same(config.saes.map((s) => s.id), ['sae-1', 'sae-2'])
  t.equal(config.logging.levels.store, 'trace')
  t.equal(config.admin.https?.port, 9444, 'a group comes into being by one of its variables')
})

t.test('everything can come from variables alone', async t => {
  const result = readConfig({ variables: { QKME_KME_ID: 'k', QKME_REST_TLS_CERTIFICATE: 'c', QKME_REST_TLS_KEY: 'k', QKME_REST_TLS_CA: 'a', QKME_REST_TLS_CRL_FILES: '["x.crl"]', QKME_STORE_MASTER_KEY_FILE: 'm' }, workingFolder: '/w', checkFiles: false })
  t.ok(result.ok)
  t.equal(result.ok && result.config.rest.tls.crlFiles[0], '/w/x.crl')
  t.equal(result.ok && result.config.store.folder, '/w/qkme-state/store')
})

t.test('paths: in the file from its folder, in a variable from the working folder, state from the state folder', async t => {
  const result = read(t, `${minimal}logging: { destination: log/kme.jsonl }\nadmin: { socketPath: a.sock }`, { QKME_REST_TLS_KEY: 'k.key', QKME_FOLDERS_STATE: '/s' })
  t.ok(result.ok)
  if (!result.ok) return
  const folder = dirname(result.config.rest.tls.certificate)
  t.match(folder, /qkme-/)
  t.equal(result.config.rest.tls.certificate, join(folder, 'c.crt'))
  t.equal(result.config.rest.tls.key, '/work-folder/k.key')
  t.equal(result.config.admin.socketPath, '/s/a.sock')
  t.equal(result.config.store.folder, '/s/store')
  t.equal(result.config.logging.destination, join(folder, 'log/kme.jsonl'))
  t.equal(good(t, minimal).logging.destination, 'stdout')
})

t.test('YAML that is broken, doubled, huge or absent is told with its line', async t => {
  t.match(faults(read(t, 'kme: { id: a\nrest: [')), [/^kme\.yaml:\d /])
  t.match(faults(read(t, 'kme: { id: a }\nkme: { id: b }')), [/^kme\.yaml:2 : Map keys must be unique/])
  t.match(faults(read(t, `# ${'x'.repeat(1_100_000)}`)), [/larger than/])
  t.match(faults(readConfig({ file: '/nonexistent/k.yaml', variables: {}, workingFolder: '/' })), [/^k\.yaml : configuration file \/nonexistent\/k\.yaml cannot be read/])
  t.match(faults(read(t, '- a list')), [/must be a group of settings, not a list/])
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]`
  t.match(faults(read(t, bomb)), [/alias/i])
})

t.test('an alias is followed, and its faults are told where the value stands', async t => {
  const yaml = `${minimal}peers: []\nsaes: [&s { id: one }, { <<: *s, id: two }]`
  t.match(faults(read(t, yaml)), ['kme.yaml:6 saes[1].<<: is not a setting'], 'no merge keys: one way to say a thing')
})

t.test('files: missing, secret but readable by others, a folder, a place that cannot be written', async t => {
  const folder = shortFolder(t)
  await setUpExamples(folder)
  const file = join(folder, 'kme-a.yaml')
  chmodSync(join(folder, 'pki/kme/kme-a/server.key'), 0o640)
  mkdirSync(join(folder, 'd'))
  writeFileSync(join(folder, 'plain'), '')
  const result = readConfig({ file, workingFolder: folder, variables: { QKME_REST_TLS_CA: 'gone.crt', QKME_PEERING_TLS_CERTIFICATE: 'd', QKME_FOLDERS_STATE: 'plain', QKME_STORE_FOLDER: 'plain/x' } })
  t.match(faults(result), [
    /^QKME_FOLDERS_STATE folders\.state: .*plain is not a folder/,
    /^kme-a\.yaml:\d+ rest\.tls\.key: .* is a secret but others may read or write it \(mode 640\): chmod 600/,
    /^QKME_REST_TLS_CA rest\.tls\.ca: .*gone\.crt: does not exist/,
    /^QKME_PEERING_TLS_CERTIFICATE peering\.tls\.certificate: .*\/d is not a file/,
    /^QKME_STORE_FOLDER store\.folder: /,
    /admin\.socketPath: /,
  ])
})

t.test('loadConfig throws one error that lists everything', async t => {
  t.throws(() => loadConfig({ variables: {}, workingFolder: '/' }), { code: 'CONFIG_INVALID', message: /6 faults:\n {2}\(environment\): kme\.id is missing; write it in the file or set QKME_KME_ID\n/ })
})
