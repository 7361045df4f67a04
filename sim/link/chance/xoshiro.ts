import { KmeError } from '../../../src/kernel/errors.js'

const MASK64 = (1n << 64n) - 1n

/** SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): only expands a seed into a state. */
const splitMix64 = function * (seed: bigint): Generator<bigint, never> {
  let state = seed & MASK64
  for (;;) {
    state = (state + 0x9e3779b97f4a7c15n) & MASK64
    let z = state
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK64
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK64
    yield z ^ (z >> 31n)
  }
}

/** Steps of 2^64 (Blackman and Vigna, xoshiro128starstar.c). */
const JUMP = [0x8764000b, 0xf542d2d3, 0x6fa035c3, 0x77f2db5b]

/**
 * xoshiro128** 1.1 (Blackman and Vigna, ACM TOMS 47, 36, 2021): 32-bit words, period 2^128 - 1, passes
 * BigCrush. Chosen over its 64-bit sister because JavaScript has fast 32-bit and no fast 64-bit integers.
 * Not for secrets: bits drawn here are simulated key, the same for the same seed.
 */
export class Xoshiro {
  /** Typed, because V8 keeps a number field that outgrows 31 bits in a box. */
  private readonly words: Int32Array

  /** @throws KmeError `BAD_REQUEST` if all words are 0 (the one state that never changes). */
  constructor (words: readonly [number, number, number, number]) {
    this.words = Int32Array.from(words, (w) => w | 0)
    if (this.words.every((w) => w === 0)) throw new KmeError('BAD_REQUEST', 'the random state must not be all zero')
  }

  /** @param seed  A whole number from 0 to 2^53 - 1. */
  static seeded (seed: number): Xoshiro {
    if (!Number.isSafeInteger(seed) || seed < 0) throw new KmeError('BAD_REQUEST', `a seed is a whole number from 0 to 2^53-1, got ${seed}`)
    const source = splitMix64(BigInt(seed)), a = source.next().value, b = source.next().value
    const half = (x: bigint, shift: bigint): number => Number((x >> shift) & 0xffffffffn)
    return new Xoshiro([half(a, 0n), half(a, 32n), half(b, 0n), half(b, 32n)])
  }

  /** 32 fresh bits, 0 to 2^32 - 1. */
  word (): number {
    const s = this.words, s1 = s[1]!, scaled = Math.imul(s1, 5)
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9)
    const s2 = s[2]! ^ s[0]!, s3 = s[3]! ^ s1
    s[1] = s1 ^ s2
    s[0] = s[0]! ^ s3
    s[2] = s2 ^ (s1 << 9)
    s[3] = (s3 << 11) | (s3 >>> 21)
    return result >>> 0
  }

  /** Fills with words: the same as calling `word` for each, several times faster. */
  fillWords (out: Uint32Array): void {
    let [s0, s1, s2, s3] = this.words as unknown as [number, number, number, number]
    for (let i = 0; i < out.length; i++) {
      const scaled = Math.imul(s1, 5), shifted = s1 << 9
      out[i] = Math.imul((scaled << 7) | (scaled >>> 25), 9)
      s2 ^= s0
      s3 ^= s1
      s1 ^= s2
      s0 ^= s3
      s2 ^= shifted
      s3 = (s3 << 11) | (s3 >>> 21)
    }
    this.words.set([s0, s1, s2, s3])
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform (): number {
    return ((this.word() >>> 5) * 0x4000000 + (this.word() >>> 6)) / 0x20000000000000
  }

  /** Uniform integer in [0, bound), without bias: draws above the last whole multiple are repeated. `bound` up to 2^53. */
  below (bound: number): number {
    const span = bound <= 0x100000000 ? 0x100000000 : 0x20000000000000
    const limit = span - span % bound
    for (;;) {
      const draw = span === 0x100000000 ? this.word() : (this.word() >>> 5) * 0x4000000 + (this.word() >>> 6)
      if (draw < limit) return draw % bound
    }
  }

  /** Standard normal (Marsaglia's polar method; the second value is dropped, so that the state is only the words). */
  normal (): number {
    for (;;) {
      const u = 2 * this.uniform() - 1, v = 2 * this.uniform() - 1, s = u * u + v * v
      if (s > 0 && s < 1) return u * Math.sqrt(-2 * Math.log(s) / s)
    }
  }

  /** Fills with random bytes and returns them. */
  fill (bytes: Uint8Array): Uint8Array {
    const words = new Uint32Array(Math.min(4096, (bytes.length + 3) >>> 2)), view = new Uint8Array(words.buffer)
    for (let at = 0; at < bytes.length; at += view.length) {
      this.fillWords(words)
      bytes.set(view.subarray(0, bytes.length - at), at)
    }
    return bytes
  }

  /** A generator 2^64 words ahead; this one is moved there too, so that successive calls give disjoint streams. */
  split (): Xoshiro {
    const child = new Xoshiro(this.state())
    let next: [number, number, number, number] = [0, 0, 0, 0]
    for (const mask of JUMP) {
      for (let bit = 0; bit < 32; bit++) {
        if ((mask & (1 << bit)) !== 0) next = next.map((w, i) => w ^ this.state()[i]!) as typeof next
        this.word()
      }
    }
    this.words.set(next)
    return child
  }

  /** The four words, 0 to 2^32 - 1. */
  state (): [number, number, number, number] {
    const [a, b, c, d] = this.words
    return [a! >>> 0, b! >>> 0, c! >>> 0, d! >>> 0]
  }
}
