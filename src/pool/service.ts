/**
 * What the REST side may ask of the keys, and nothing else. The http layer has already checked the
 * form of the request and who the caller is; the service knows pools, policy and extensions.
 */
import type { KmeErrorCode } from '../kernel/errors.js'
import type { KmeId, SaeId } from '../kernel/ids.js'

/** Why nothing was delivered. `message` goes to the SAE: no internals, no key, no other SAE's name. */
export interface Refusal {
  readonly code: KmeErrorCode
  readonly message: string
  readonly details?: readonly Record<string, unknown>[]
  readonly retryAfterS?: number
}

/** One name/value pair of `extension_mandatory` or `extension_optional`, order kept. */
export interface ExtensionPair { readonly name: string, readonly value: unknown, readonly mandatory: boolean }

export interface EncKeysRequest {
  readonly caller: SaeId
  readonly slave: SaeId
  readonly additionalSlaves: readonly SaeId[]
  readonly number: number
  readonly sizeBits: number
  readonly extensions: readonly ExtensionPair[]
  /** When it came, by both clocks, if the caller has looked: an answer that waits for nothing looks at no clock again. */
  readonly receivedMs?: number, readonly receivedWallMs?: number
}

export interface DecKeysRequest {
  readonly caller: SaeId
  readonly master: SaeId
  /** Lower case, with hyphens, no repeats, in the order of the request. */
  readonly keyIds: readonly string[]
}

/** 014 V1.1.1 clause 6.1, in our own names; src/http/wire.ts maps them. */
export interface PoolStatus {
  readonly sourceKme: KmeId
  readonly targetKme: KmeId
  readonly keySizeBits: number
  readonly storedKeyCount: number
  readonly maxKeyCount: number
  readonly maxKeyPerRequest: number
  readonly maxKeySizeBits: number
  readonly minKeySizeBits: number
  readonly maxSaeIdCount: number
  readonly extension?: Record<string, unknown>
}

/** Called exactly once, at once or later. */
export interface KeyReply {
  /**
   * @param json The whole key container, UTF-8. Valid only during the call: the service wipes it when the call returns.
   * @param delivery Number of the audit record; for `aborted`.
   */
  keys (json: Uint8Array, delivery: number): void
  refuse (refusal: Refusal): void
}

export interface KeyService {
  /** Consumes and reserves nothing (014 clause 5.2). */
  status (caller: SaeId, slave: SaeId): PoolStatus | Refusal
  /** 014 clause 5.3. Usually replies before it returns; at most 50 ms later otherwise (an association's first use: one round trip). */
  encKeys (request: EncKeysRequest, reply: KeyReply): void
  /** 014 clause 5.4. Replies after the claims are durable. */
  decKeys (request: DecKeysRequest, reply: KeyReply): void
  /** The answer of `delivery` did not reach the socket whole: its keys are burned and the audit trail says so. */
  aborted (delivery: number): void
}
