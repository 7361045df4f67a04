import { KmeError } from '../../../src/kernel/errors.js'
import { packedBytes } from '../chance/bits.js'

/**
 * What Alice and Bob tell each other while sifting, over a channel that others may read but not change (the
 * caller authenticates the transcript). Packed fields: least significant first. A burst is a stretch of slots
 * with a number that grows by one; `count` is its number of detections.
 *
 * Bob says when he detected something (here: only how often, since places carry no key) and in which basis;
 * Alice says which bases agree and what intensity each pulse had; Bob opens his test-basis bits; Alice
 * answers with the errors among them, by intensity.
 */
export type SiftMessage =
  | { readonly type: 'detections', readonly burst: number, readonly slots: number, readonly count: number, readonly bases: Uint8Array }
  | { readonly type: 'sifting', readonly burst: number, readonly count: number, readonly keep: Uint8Array, readonly intensities: Uint8Array }
  | { readonly type: 'test-bits', readonly burst: number, readonly count: number, readonly bits: Uint8Array }
  | { readonly type: 'test-errors', readonly burst: number, readonly errors: readonly number[] }

/** Bits of an intensity in a message and in a block. */
export const INTENSITY_BITS = 2

const refuse = (what: string): never => { throw new KmeError('PROTOCOL', `sifting: ${what}`) }

const countOf = (what: string, n: number): void => {
  if (!Number.isSafeInteger(n) || n < 0) refuse(`${what} must be a whole number, got ${n}`)
}

const fits = (what: string, bytes: Uint8Array, fields: number, bits: 1 | 2): void => {
  if (!(bytes instanceof Uint8Array) || bytes.length !== packedBytes(fields * bits)) refuse(`${what} must have ${packedBytes(fields * bits)} bytes for ${fields} detections`)
}

/**
 * Checks the form of a message that came from outside.
 *
 * @throws KmeError `PROTOCOL` saying what is wrong.
 */
export const checkMessage = (m: SiftMessage): void => {
  countOf('burst', m.burst)
  switch (m.type) {
    case 'detections':
      countOf('slots', m.slots)
      countOf('count', m.count)
      fits('bases', m.bases, m.count, 1)
      return
    case 'sifting':
      countOf('count', m.count)
      fits('keep', m.keep, m.count, 1)
      return fits('intensities', m.intensities, m.count, 2)
    case 'test-bits':
      countOf('count', m.count)
      return fits('bits', m.bits, m.count, 1)
    case 'test-errors':
      if (!Array.isArray(m.errors) || m.errors.length > 3) refuse('errors must be a list of at most 3 numbers')
      return m.errors.forEach((n) => { countOf('an error count', n) })
    default:
      refuse(`unknown message type ${String((m as { type?: unknown }).type)}`)
  }
}
