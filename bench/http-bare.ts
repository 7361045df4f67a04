/**
 * Servers to compare with, one per process: `node dist/bench/http-bare.js <bare|rest> <port> <certificate> <key> <ca> [key|status]`.
 *
 * `bare` is uWebSockets.js alone: the same TLS, the client certificate read on each request and looked up by its
 * text, and the bytes of one container (or of one status), fixed. `rest` is the whole REST side over a key service that hands out the
 * same bytes: what lies between the two is the price of src/http.
 */
import { IdentityCache, type Accepted, type Identity } from '../src/http/identity-cache.js'
import { defaultRestLimits } from '../src/http/rest.js'
import { startRest } from '../src/http/server.js'
import { claimPort, createTlsApp, listenTls, type TlsDoor } from '../src/http/tls-app.js'
import { quietLog } from '../src/kernel/log.js'
import { systemClock } from '../src/kernel/system-clock.js'
import type { KeyService, PoolStatus } from '../src/pool/service.js'

const [mode = 'bare', port = '0', certificateFile = '', keyFile = '', caFile = '', body = 'key'] = process.argv.slice(2)
const tls: TlsDoor = { certificateFile, keyFile, caFile, allowTls12: false, idleTimeoutS: 60 }

const container = Buffer.from(JSON.stringify({
  keys: [{ key_ID: '550e8400-e29b-41d4-a716-446655440000', key: Buffer.alloc(32, 7).toString('base64') }],
}))
const status: PoolStatus = {
  sourceKme: 'kme-a', targetKme: 'kme-b', keySizeBits: 256, storedKeyCount: 25_000, maxKeyCount: 100_000,
  maxKeyPerRequest: 128, maxKeySizeBits: 8_192, minKeySizeBits: 64, maxSaeIdCount: 8,
}
const statusText = Buffer.from(JSON.stringify({
  source_KME_ID: 'kme-a', target_KME_ID: 'kme-b', master_SAE_ID: 'sae-a-1', slave_SAE_ID: 'sae-b-1', key_size: 256, stored_key_count: 250_000,
  max_key_count: 2_000_000, max_key_per_request: 128, max_key_size: 8_192, min_key_size: 64, max_SAE_ID_count: 8,
}))
const everybody: Accepted = { ok: true, id: 'sae-a', issuer: 'CN=CA', serialHex: '01', notBeforeMs: 0, validUntilMs: Number.MAX_SAFE_INTEGER }
const identity: Identity = { generation: 1, check: () => everybody }

const bare = async (): Promise<number> => {
  const identities = new IdentityCache(identity, 8_192)
  const app = createTlsApp(tls)
  const answer = body === 'status' ? statusText : container
  app.any('/*', (res) => {
    if (!identities.verdict(res.getX509Certificate(), systemClock.wallMs()).ok) return
    res.writeHeader('Content-Type', 'application/json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff').end(answer)
  })
  return listenTls(app, '127.0.0.1', await claimPort('127.0.0.1', Number(port))).port
}

const rest = async (): Promise<number> => {
  let delivery = 0
  const service: KeyService = {
    status: () => status,
    encKeys: (_request, reply) => { reply.keys(container, delivery++) },
    decKeys: (_request, reply) => { setImmediate(() => { reply.keys(container, delivery++) }) },
    aborted: () => {},
  }
  const server = await startRest({
    host: '127.0.0.1', port: Number(port), tls, connectionAgeMs: 3_600_000, limits: defaultRestLimits,
    keys: { keySizeBits: 256, minKeySizeBits: 64, maxKeySizeBits: 8_192, maxKeyPerRequest: 128, maxSaeIdCount: 8 },
    rules: { strictMembers: false, optionalExtensions: 'ignore', strictContentType: true },
  }, { service, identity, sessions: { state: () => 'active' }, clock: systemClock, log: quietLog, onFault: (error) => { throw error } })
  return server.port
}

process.stdout.write(`${mode} ${mode === 'rest' ? await rest() : await bare()}\n`)
