import type { Log } from '../kernel/log.js'
import type { SaeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import { ExtensionRegistry } from '../pool/extensions.js'
import type { KeyService } from '../pool/service.js'
import { Bursts } from './bursts.js'
import { HttpCounters } from './counters.js'
import { IdentityCache, type Identity } from './identity-cache.js'
import type { KnownConnections } from './known-connections.js'
import type { KeyLimits, ReadingRules } from './key-request.js'
import { PathIds } from './path-ids.js'
import { SecurityEvents } from './security-events.js'
import { StatusText } from './status-text.js'
import { TokenBuckets, type Rate } from './token-bucket.js'

/** What this KME knows of an SAE now. Only `active` gets an answer; `throttled` is 503, everything else 401. */
export type SessionState = 'active' | 'throttled' | 'suspended' | 'revoked' | 'unregistered'

export interface Sessions {
  /** Asked on each request: must cost no more than a look-up. `issuer` is the subject of the CA that vouches for the ID. */
  state (sae: SaeId, issuer: string): SessionState
}

/** Bounds on what clients may do; see docs/etsi-014.md. */
export interface RestLimits {
  readonly bodyBytes: number
  readonly jsonDepth: number
  /** Open connections; more are closed when they are accepted. */
  readonly connections: number
  /** Request bodies that are being received, all connections together. */
  readonly bodiesBytes: number
  /** Rests of answers that wait for slow readers, all connections together. */
  readonly answersBytes: number
  /** New connections per address. */
  readonly connectionRate: Rate
  /** Requests, and key bits asked for, per SAE. */
  readonly requestRate: Rate
  readonly keyBitRate: Rate
}

export const defaultRestLimits: RestLimits = {
  bodyBytes: 65_536, jsonDepth: 32, connections: 10_000, bodiesBytes: 67_108_864, answersBytes: 67_108_864,
  connectionRate: { perS: 0, burst: 100 }, requestRate: { perS: 0, burst: 100 }, keyBitRate: { perS: 0, burst: 1_048_576 },
}

export interface RestRules extends ReadingRules {
  /** false: a body without a Content-Type is read as JSON. Another type than application/json is always 415. */
  readonly strictContentType: boolean
}

export interface RestDeps {
  readonly service: KeyService
  readonly identity: Identity
  readonly sessions: Sessions
  readonly clock: Clock
  readonly log: Log
  readonly registry?: ExtensionRegistry
  /** A bug was met while a request was served; the client got a 503. The supervisor decides what follows. */
  readonly onFault: (error: unknown) => void
}

const IDENTITIES = 8_192
const BUCKETS = 100_000

/** Everything that the requests of all connections share. */
export class Rest {
  readonly service: KeyService
  readonly clock: Clock
  readonly log: Log
  readonly sessions: Sessions
  readonly registry: ExtensionRegistry
  readonly identities: IdentityCache
  readonly counters = new HttpCounters()
  readonly bursts = new Bursts()
  readonly pathIds = new PathIds()
  readonly statusText = new StatusText()
  readonly events: SecurityEvents
  readonly requestBuckets: TokenBuckets
  readonly keyBitBuckets: TokenBuckets
  readonly connectionBuckets: TokenBuckets
  /** Bytes in use of `limits.bodiesBytes` and `limits.answersBytes`. */
  bodiesBytes = 0
  answersBytes = 0

  constructor (
    readonly limits: RestLimits, readonly keys: KeyLimits, readonly rules: RestRules, private readonly deps: RestDeps,
  ) {
    this.service = deps.service
    this.clock = deps.clock
    this.log = deps.log
    this.sessions = deps.sessions
    this.registry = deps.registry ?? new ExtensionRegistry()
    this.identities = new IdentityCache(deps.identity, IDENTITIES)
    this.events = new SecurityEvents(deps.log, deps.clock, this.counters)
    this.requestBuckets = new TokenBuckets(limits.requestRate, BUCKETS)
    this.keyBitBuckets = new TokenBuckets(limits.keyBitRate, BUCKETS)
    this.connectionBuckets = new TokenBuckets(limits.connectionRate, BUCKETS)
  }

  /** A bug: logged, and told to the supervisor. */
  fault (error: unknown): void {
    this.log.error('a request met a bug', { error })
    this.deps.onFault(error)
  }
}

/** The connections of one listener. A listener lives at most as long as a connection may, then another takes over. */
export class Gate {
  connections = 0
  /** Requests whose answer is not complete. */
  pending = 0
  /** `closing`: each answer ends its connection. `stopping`: and no request is served any more. */
  state: 'open' | 'closing' | 'stopping' = 'open'
  /** Called when the last pending request is done. */
  onIdle: (() => void) | undefined

  constructor (readonly known: KnownConnections) {}

  hold (): void { this.pending++ }

  release (): void {
    this.pending--
    if (this.pending === 0) this.onIdle?.()
  }
}
