import type { Random } from '../src/kernel/random.js'

/**
 * Repeatable chance: xoshiro128** (Blackman and Vigna 2018), its state filled from the seed by SplitMix32. Not for keys.
 */
export class SimRandom implements Random {
  private readonly state = new Uint32Array(4)

  constructor (seed: number) {
    let x = seed >>> 0
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0
      let z = x
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      this.state[i] = (z ^ (z >>> 16)) >>> 0
    }
  }

  /** 32 fresh bits. */
  next (): number {
    const s = this.state as unknown as [number, number, number, number]
    const scrambled = Math.imul(rotl(Math.imul(s[1], 5), 7), 9) >>> 0
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotl(s[3], 11)
    return scrambled
  }

  /** Uniform in [0, 1). */
  fraction (): number { return this.next() / 2 ** 32 }

  bytes (length: number): Uint8Array {
    const out = new Uint8Array(length)
    for (let i = 0; i < length; i++) out[i] = this.next() >>> 24
    return out
  }

  integer (bound: number): number {
    if (bound <= 1) return 0
    const wide = bound > 2 ** 32
    const span = wide ? 2 ** 53 : 2 ** 32
    const limit = span - span % bound
    for (;;) {
      const value = wide ? (this.next() >>> 11) * 2 ** 32 + this.next() : this.next()
      if (value < limit) return value % bound
    }
  }

  chance (probability: number): boolean { return this.fraction() < probability }

  pick<T> (items: readonly T[]): T {
    if (items.length === 0) throw new Error('nothing to pick from')
    return items[this.integer(items.length)] as T
  }

  /** An independent stream, so that one part's draws do not shift another's. */
  fork (): SimRandom { return new SimRandom(this.next()) }
}

const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0
