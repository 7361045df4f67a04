/**
 * What can go wrong by expectation. A code never changes once released; it is what tests, logs and
 * `src/http/status.ts` (the only place that knows HTTP numbers) look at. Add a code here, nowhere else.
 */
export type KmeErrorCode =
  // a request that is wrong
  | 'BAD_REQUEST' | 'UNAUTHORIZED' | 'KEYS_NOT_FOUND' | 'EXTENSION_UNSUPPORTED' | 'EXTENSION_UNMET'
  | 'NOT_FOUND' | 'METHOD_NOT_ALLOWED' | 'BODY_TOO_LARGE' | 'UNSUPPORTED_MEDIA_TYPE' | 'FORBIDDEN'
  // a request that cannot be served now
  | 'NO_KEYS' | 'THROTTLED' | 'PEER_DOWN' | 'BUSY' | 'SUSPENDED' | 'STOPPING'
  // the process cannot run (each has an exit code in src/main.ts)
  | 'CONFIG_INVALID' | 'ADDON_MISSING' | 'MEMORY_NOT_LOCKED' | 'PORT_TAKEN' | 'STORE_UNAVAILABLE'
  | 'STORE_LOCKED' | 'STORE_NEWER' | 'STORE_CORRUPT' | 'STORE_COPIED' | 'STORE_FULL' | 'MASTER_KEY_WRONG'
  | 'MASTER_KEY_MISSING' | 'CERTIFICATE_INVALID' | 'RANDOM_FAILED'
  // outside parts
  | 'DEVICE_FAULT' | 'RING_INVALID' | 'PROTOCOL' | 'TAG_INVALID' | 'ARENA_FULL' | 'QUEUE_FULL' | 'INTERNAL'

/** An expected failure. `message` may change between releases, `code` may not. Carries no key bytes. */
export class KmeError extends Error {
  override readonly name = 'KmeError'
  constructor (readonly code: KmeErrorCode, message: string, opts?: ErrorOptions) { super(message, opts) }
}

/** A broken invariant is a bug: never caught below a supervisor, never turned into a reply. */
export function invariant (cond: unknown, what: string): asserts cond {
  if (!cond) throw new Error(`invariant violated: ${what}`)
}
