import { randomBytes, randomInt } from 'node:crypto'
import type { Random } from './random.js'

/** The operating system's generator (RFC 4086; checked at start by src/crypto/health.ts). */
export const systemRandom: Random = {
  bytes: (length) => new Uint8Array(randomBytes(length)),
  integer: (bound) => bound <= 1 ? 0 : randomInt(bound),
}
