/** Privacy amplification: corrected bits become fewer bits that nobody else knows anything of. */
import { KmeError, invariant } from '../kernel/errors.js'
import { packedBytes } from './bits.js'
import { loadPost } from './native.js'

/** Bits of one input at most. */
export const AMPLIFY_BITS_MAX = 2 ** 28

/** Names of the ways to multiply that this processor has, the slowest first; the last one is taken. */
export const amplifyWays = (): readonly string[] => loadPost().amplifyWays.filter((name) => name !== null)

/** Bytes of seed that `amplify` needs for `lengthBits` bits: lengthBits - 1 bits. */
export const amplifySeedBytes = (lengthBits: number): number => packedBytes(lengthBits - 1)

/**
 * Hashes `bits` down to `keyBits` bits with the modified Toeplitz matrix (T | I): y = x_high xor T x_low, where x_low is
 * the first lengthBits - keyBits bits, x_high the last keyBits, and T[i][j] = s[i - j + lengthBits - keyBits - 1].
 * All bits are packed, the least significant first. Blocks the thread: about 1 ms for a megabit, a few hundred for 10^8 bits.
 *
 * @param bits  lengthBits of them, packed; bits behind the last are ignored. The caller's, who wipes them. 2 to 2^28.
 * @param seed  lengthBits - 1 bits, packed, drawn from a true random source after `bits` were fixed. Public; used once.
 * @param keyBits  1 to lengthBits - 1.
 * @param way  A name of `amplifyWays`; by default the fastest. All give the same bits.
 * @returns ceil(keyBits / 8) fresh bytes with zeros behind the last bit. Secret: the caller wipes them.
 * @throws KmeError `BAD_REQUEST` for lengths that do not fit each other. The addon wipes all its working memory in any case.
 * @see Hayashi and Tsurumaru, IEEE Trans. Inf. Theory 62, 2213 (2016), section III; Krawczyk, CRYPTO 1994.
 */
export const amplify = (bits: Uint8Array, lengthBits: number, seed: Uint8Array, keyBits: number, way?: string): Uint8Array => {
  const refuse = (why: string): never => { throw new KmeError('BAD_REQUEST', `privacy amplification: ${why}`) }
  if (!Number.isInteger(lengthBits) || lengthBits < 2 || lengthBits > AMPLIFY_BITS_MAX) refuse(`takes 2 to 2^28 bits, got ${lengthBits}`)
  if (!Number.isInteger(keyBits) || keyBits < 1 || keyBits >= lengthBits) refuse(`gives 1 to ${lengthBits - 1} of ${lengthBits} bits, not ${keyBits}`)
  if (bits.length !== packedBytes(lengthBits)) refuse(`${lengthBits} bits have ${packedBytes(lengthBits)} bytes, got ${bits.length}`)
  if (seed.length !== amplifySeedBytes(lengthBits)) refuse(`a seed for ${lengthBits} bits has ${amplifySeedBytes(lengthBits)} bytes, got ${seed.length}`)
  const post = loadPost()
  const number = way === undefined ? post.amplifyWays.findLastIndex((name) => name !== null) : post.amplifyWays.indexOf(way)
  invariant(number >= 0, 'a way to multiply that this processor has')
  return post.amplify(bits, lengthBits, seed, keyBits, number)
}
