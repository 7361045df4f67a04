import type { Config } from '../config/schema.js'
import { startRest, type RestServer } from '../http/server.js'
import type { KeyLimits } from '../http/key-request.js'
import type { HttpCounters } from '../http/counters.js'
import { defaultRestLimits, type RestLimits, type Sessions } from '../http/rest.js'
import type { Identity } from '../http/identity-cache.js'
import type { Log } from '../kernel/log.js'
import type { Clock } from '../kernel/time.js'
import type { KeyService } from '../pool/service.js'
import type { StartServer } from './server-shell.js'

const DRAIN_MS = 4_000

export interface RestSources {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly service: () => KeyService
  readonly identity: Identity
  readonly sessions: Sessions
  readonly started: (counters: HttpCounters) => void
}

/** Starts the REST server of the configuration, for its actor. */
export const createRestStart = (s: RestSources): StartServer => async (onFailure) => {
  const { rest } = s.config
  const server: RestServer = await startRest({
    host: rest.host, port: rest.port, connectionAgeMs: rest.limits.connectionAgeMs, limits: limitsOf(s.config),
    tls: {
      certificateFile: rest.tls.certificate, keyFile: rest.tls.key, caFile: rest.tls.ca, allowTls12: rest.tls.allowTls12,
      idleTimeoutS: Math.floor(rest.limits.idleMs / 4_000) * 4,
    },
    keys: keyLimitsOf(s.config),
    rules: { strictMembers: rest.strictJson, optionalExtensions: rest.optionalExtensions as 'ignore' | 'refuse', strictContentType: rest.strictContentType },
  }, { service: s.service(), identity: s.identity, sessions: s.sessions, clock: s.clock, log: s.log, onFault: onFailure })
  s.started(server.counters)
  return {
    where: `https://${rest.host}:${server.port}`,
    reload: () => { server.renew() },
    drain: () => server.stop(DRAIN_MS),
    close: () => { void server.stop(0) },
  }
}

/** What a request for keys may ask for, as configured. */
export const keyLimitsOf = ({ pools }: Config): KeyLimits => ({
  keySizeBits: pools.keySizeBits, minKeySizeBits: pools.minKeySizeBits, maxKeySizeBits: pools.maxKeySizeBits,
  maxKeyPerRequest: pools.maxKeyPerRequest, maxSaeIdCount: pools.maxSaeIdCount,
})

const limitsOf = ({ rest, rateLimits: r }: Config): RestLimits => ({
  ...defaultRestLimits, bodyBytes: rest.limits.bodyBytes, jsonDepth: rest.limits.jsonDepth, connections: rest.limits.connections,
  connectionRate: { perS: rest.limits.connectionsPerS, burst: rest.limits.connectionBurst },
  requestRate: { perS: r.requestsPerS, burst: r.requestBurst }, keyBitRate: { perS: r.keyBitsPerS, burst: r.keyBitBurst },
})
