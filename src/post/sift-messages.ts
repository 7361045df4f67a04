import { KmeError } from '../kernel/errors.js'
import { packedBytes, tailIsClear } from './bits.js'

/**
 * What Alice and Bob tell each other while sifting, over a channel that others may read; the transcript is authenticated
 * before key is released. Planes are packed bits, least significant first, one per detection. A burst is a stretch of
 * slots with a number that grows by one; `count` is its number of detections.
 *
 * Bob says when he detected something (here: only how often, since places carry no key) and in which basis;
 * Alice says which bases agree and what intensity each pulse had; Bob opens his test-basis bits; Alice
 * answers with the errors among them, by intensity.
 */
export type SiftMessage =
  | { readonly type: 'detections', readonly burst: number, readonly slots: number, readonly count: number, readonly bases: Uint8Array }
  /** `low` and `high`: the two bits of each intensity's index. */
  | { readonly type: 'sifting', readonly burst: number, readonly count: number, readonly keep: Uint8Array, readonly low: Uint8Array, readonly high: Uint8Array }
  | { readonly type: 'test-bits', readonly burst: number, readonly count: number, readonly bits: Uint8Array }
  | { readonly type: 'test-errors', readonly burst: number, readonly errors: readonly number[] }

/** Detections of one burst; more are refused. */
export const DETECTIONS_MAX = 2 ** 26
/** Bursts of which the other side has not spoken to the end; more are refused. */
export const BURSTS_IN_FLIGHT_MAX = 64
export const INTENSITIES_MAX = 3

const refuse = (what: string): never => { throw new KmeError('PROTOCOL', `sifting: ${what}`) }

const countOf = (what: string, n: number, max: number): void => {
  if (!Number.isSafeInteger(n) || n < 0 || n > max) refuse(`${what} must be a whole number up to ${max}, got ${n}`)
}

const plane = (what: string, bytes: Uint8Array, count: number): void => {
  if (!(bytes instanceof Uint8Array) || bytes.length !== packedBytes(count)) refuse(`${what} must have ${packedBytes(count)} bytes for ${count} detections`)
  if (!tailIsClear(bytes, count)) refuse(`${what} has bits behind its last detection`)
}

/**
 * Checks the form of a message that came from outside.
 *
 * @throws KmeError `PROTOCOL` saying what is wrong.
 */
export const checkSiftMessage = (m: SiftMessage): void => {
  countOf('burst', m.burst, 2 ** 32 - 1)
  if (m.type === 'test-errors') {
    if (!Array.isArray(m.errors) || m.errors.length > INTENSITIES_MAX) refuse(`errors must be a list of at most ${INTENSITIES_MAX} numbers`)
    m.errors.forEach((n) => { countOf('an error count', n, DETECTIONS_MAX) })
    return
  }
  countOf('count', m.count, DETECTIONS_MAX)
  switch (m.type) {
    case 'detections':
      countOf('slots', m.slots, Number.MAX_SAFE_INTEGER)
      return plane('bases', m.bases, m.count)
    case 'sifting':
      plane('keep', m.keep, m.count)
      plane('intensities', m.low, m.count)
      return plane('intensities', m.high, m.count)
    case 'test-bits': return plane('bits', m.bits, m.count)
    default: refuse(`unknown message type ${String((m as { type?: unknown }).type)}`)
  }
}
