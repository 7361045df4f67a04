import { createHash } from 'node:crypto'
import t from 'tap'
import { SimRandom } from '../../sim/random.js'
import { AMPLIFY_BITS_MAX, amplify, amplifySeedBytes, amplifyWays } from '../../src/post/amplify.js'
import { bitAt, packedBytes } from '../../src/post/bits.js'

/** The definition, bit by bit. */
const naive = (x: Uint8Array, n: number, s: Uint8Array, m: number): Uint8Array => {
  const y = new Uint8Array(packedBytes(m))
  for (let i = 0; i < m; i++) {
    let bit = bitAt(x, n - m + i)
    for (let j = 0; j < n - m; j++) bit ^= bitAt(s, i + n - m - 1 - j) & bitAt(x, j)
    y[i >> 3]! |= bit << (i & 7)
  }
  return y
}

/** SHA-256 of name0, name1, … one after the other. */
const stream = (name: string, bytes: number): Uint8Array => {
  const parts: Buffer[] = []
  for (let k = 0; parts.length * 32 < bytes; k++) parts.push(createHash('sha256').update(`${name}${k}`).digest())
  return new Uint8Array(Buffer.concat(parts).subarray(0, bytes))
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('plain Toeplitz vectors: the part of the identity is zero', async t => {
  for (const [n, m, y] of [[16, 8, 'e5'], [256, 128, '8b68d4c407b50ba537c9a741d5d655ec']] as const) {
    const x = new Uint8Array((n + m) / 8)
    x.set(stream('qkd-x', n / 8))
    for (const way of amplifyWays()) t.equal(hex(amplify(x, n + m, stream('qkd-s', packedBytes(n + m - 1)), m, way)), y, way)
  }
})

t.test('every way gives the bits of the definition', async t => {
  t.ok(amplifyWays().includes('portable'))
  const random = new SimRandom(7)
  for (const [n, m] of [[2, 1], [77, 76], [130, 64], [1_000, 1], [2_049, 1_024], [5_003, 1_777]] as const) {
    const x = random.bytes(packedBytes(n)), s = random.bytes(amplifySeedBytes(n)), expected = naive(x, n, s, m)
    for (const way of amplifyWays()) t.same(amplify(x, n, s, m, way), expected, `${n} to ${m}, ${way}`)
  }
})

t.test('it is linear in the input and in the seed, over the tiles of the transform too', async t => {
  const random = new SimRandom(8), n = 2_500_001, m = 1_100_007
  const xor = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((v, i) => v ^ b[i]!)
  const a = random.bytes(packedBytes(n)), b = random.bytes(packedBytes(n)), s = random.bytes(amplifySeedBytes(n))
  t.equal(Buffer.compare(amplify(xor(a, b), n, s, m), xor(amplify(a, n, s, m), amplify(b, n, s, m))), 0)
  const one = new Uint8Array(packedBytes(n))
  one[0] = 1
  // The first input bit alone picks the window of the seed that begins at n - m - 1.
  const y = amplify(one, n, s, m)
  for (const i of [0, 1, 63, 64, 1_000_000, m - 1]) t.equal(bitAt(y, i), bitAt(s, i + n - m - 1))
})

t.test('lengths that do not fit are refused', async t => {
  const x = new Uint8Array(16), s = new Uint8Array(16)
  for (const [bits, n, seed, m] of [[x, 128, s, 0], [x, 128, s, 128], [x, 128, s, 1.5], [x, 1, s, 1], [x, 127.5, s, 1], [x, AMPLIFY_BITS_MAX + 1, s, 1],
    [x, 120, s, 1], [x, 129, s, 1], [x, 128, s.subarray(1), 1]] as const) t.throws(() => amplify(bits, n, seed, m), { code: 'BAD_REQUEST' })
  t.throws(() => amplify(x, 128, s, 1, 'magic'), /invariant/)
})
