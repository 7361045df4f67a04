import t from 'tap'
import { AliasTable } from '../../../sim/link/chance/alias.js'
import { binomial, geometric, logBinomial, multinomial, poissonDraw } from '../../../sim/link/chance/binomial.js'
import { bitAt } from '../../../src/post/bits.js'
import { popcount, siftedPair } from '../../../sim/link/chance/bits.js'
import { Xoshiro } from '../../../sim/link/chance/xoshiro.js'
import { pearson } from './stats.js'

/** A test of chance fails when its tail probability is absurd on either side: too bad, or too good. */
const plausible = (t: { ok: (x: boolean, m: string) => unknown }, tail: number, what: string): void => {
  t.ok(tail > 1e-4 && tail < 1 - 1e-4, `${what}: tail probability ${tail}`)
}

t.test('xoshiro128** gives the published words, and jumps as published', async t => {
  const random = new Xoshiro([1, 2, 3, 4])
  t.same(Array.from({ length: 10 }, () => random.word()),
    [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804])
  const jumped = new Xoshiro([0x964D4A0C, 0xD40AB895, 0xAD7FDECB, 0x3006F0F0])
  t.same(jumped.split().state(), [0x964D4A0C, 0xD40AB895, 0xAD7FDECB, 0x3006F0F0])
  t.same(jumped.state(), [0x2A6DD50D, 0x01177499, 0xD7EB7D01, 0xDDC48284])
  t.throws(() => new Xoshiro([0, 0, 0, 0]), { code: 'BAD_REQUEST' })
  t.throws(() => Xoshiro.seeded(-1), { code: 'BAD_REQUEST' })
})

t.test('filling is the same as drawing word by word', async t => {
  const a = Xoshiro.seeded(5), b = Xoshiro.seeded(5), words = new Uint32Array(1000)
  a.fillWords(words)
  t.same(Array.from(words), Array.from({ length: 1000 }, () => b.word()))
  t.equal(a.word(), b.word())
  t.not(Xoshiro.seeded(5).word(), Xoshiro.seeded(6).word())
})

t.test('uniform integers have no bias, also for bounds near a power of two', async t => {
  const random = Xoshiro.seeded(1), n = 60_000
  for (const bound of [3, 7, 3 * 2 ** 30, 3 * 2 ** 40]) {
    const thirds = [0, 0, 0]
    for (let i = 0; i < n; i++) thirds[Math.floor(random.below(bound) / bound * 3)]! += 1
    const edge = bound === 7 ? [3, 2, 2].map((x) => x / 7 * n) : [n / 3, n / 3, n / 3]
    plausible(t, pearson(thirds, edge), `below ${bound}`)
  }
})

/** Binomial probabilities by their recurrence: independent of the sampler's own formula. */
const exactBinomial = (n: number, p: number, from: number, to: number): number[] => {
  let log = 0
  for (let k = 0; k < from; k++) log += Math.log((n - k) / (k + 1))
  let value = Math.exp(log + from * Math.log(p) + (n - from) * Math.log1p(-p))
  const out = []
  for (let k = from; k <= to; k++) { out.push(value); value *= (n - k) / (k + 1) * p / (1 - p) }
  return out
}

t.test('binomial numbers follow their law, for small and large means', async t => {
  const random = Xoshiro.seeded(2), draws = 40_000
  for (const [n, p] of [[10, 0.3], [50, 0.1], [40, 0.25], [100, 0.5], [1000, 0.02], [400, 0.9], [1e6, 3e-5], [20, 0.99]] as const) {
    const mean = n * p, spread = Math.sqrt(n * p * (1 - p))
    const from = Math.max(0, Math.floor(mean - 6 * spread)), to = Math.min(n, Math.ceil(mean + 6 * spread))
    const counts = new Array<number>(to - from + 1).fill(0)
    for (let i = 0; i < draws; i++) {
      const k = binomial(random, n, p)
      if (k >= from && k <= to) counts[k - from]! += 1
    }
    plausible(t, pearson(counts, exactBinomial(n, p, from, to).map((x) => x * draws)), `binomial ${n}, ${p}`)
  }
})

t.test('binomial numbers of 1e13 trials have the right mean and spread', async t => {
  const random = Xoshiro.seeded(3), draws = 20_000
  for (const [n, p] of [[1e13, 1e-6], [1e10, 0.3], [2 ** 52, 1e-14]] as const) {
    let sum = 0, squares = 0
    for (let i = 0; i < draws; i++) {
      const z = (binomial(random, n, p) - n * p) / Math.sqrt(n * p * (1 - p))
      sum += z
      squares += z * z
    }
    t.ok(Math.abs(sum / Math.sqrt(draws)) < 4, `mean of ${n}, ${p}`)
    t.ok(Math.abs((squares - draws) / Math.sqrt(2 * draws)) < 4, `variance of ${n}, ${p}`)
  }
  t.ok(Math.abs(logBinomial(3, 10, 0.3) - Math.log(0.266827932)) < 1e-9)
  t.equal(binomial(random, 0, 0.5), 0)
  t.equal(binomial(random, 7, 1), 7)
  t.throws(() => binomial(random, 1.5, 0.5))
})

t.test('multinomial, geometric, Poisson and alias draws follow their laws', async t => {
  const random = Xoshiro.seeded(4), weights = new Float64Array(64), counts = new Float64Array(64)
  weights.set([0.5, 0, 0.3, 0.1, 1e-3], 3)
  const total = weights.reduce((a, b) => a + b), n = 2e5
  multinomial(random, n, weights, counts)
  plausible(t, pearson(Array.from(counts), Array.from(weights, (w) => w / total * n)), 'multinomial')
  t.equal(counts[4], 0, 'a category of weight 0 stays empty')
  const drawn = new Uint8Array(n), histogram = new Array<number>(64).fill(0)
  new AliasTable(weights).fill(random, drawn)
  for (const x of drawn) histogram[x]! += 1
  plausible(t, pearson(histogram, Array.from(weights, (w) => w / total * n)), 'alias')
  t.equal(histogram[4], 0)
  const waits = new Array<number>(40).fill(0), photons = new Array<number>(10).fill(0)
  for (let i = 0; i < 50_000; i++) {
    const wait = geometric(random, 0.2)
    if (wait <= 40) waits[wait - 1]! += 1
    const k = poissonDraw(random, 0.7)
    if (k < 10) photons[k]! += 1
  }
  plausible(t, pearson(waits, waits.map((_, i) => 50_000 * 0.2 * 0.8 ** i)), 'geometric')
  let p = Math.exp(-0.7)
  plausible(t, pearson(photons, photons.map((_, i) => { const e = 50_000 * p; p *= 0.7 / (i + 1); return e })), 'Poisson')
  t.equal(geometric(random, 0), Infinity)
})

t.test('an alias table asks for a second word where 26 bits cannot decide', async t => {
  const weights = new Float64Array(64)
  weights[0] = 1
  weights[1] = 2 ** -34 // a quarter of the least step of the first comparison
  const draw = (second: number): number => {
    const random = { fillWords: (out: Uint32Array) => out.fill(1 << 26), word: () => second } as unknown as Xoshiro, out = new Uint8Array(1)
    new AliasTable(weights).fill(random, out)
    return out[0]!
  }
  t.same([draw(0), draw(2 ** 30 - 2), draw(2 ** 30), draw(2 ** 32 - 1)], [1, 1, 0, 0])
})

t.test('sifted pairs differ in exactly the drawn number of places, spread evenly', async t => {
  const random = Xoshiro.seeded(6), eighths = new Array<number>(8).fill(0)
  for (const [bits, errors] of [[8000, 160], [8001, 4000], [1000, 990], [64, 0], [13, 13]] as const) {
    const { alice, bob } = siftedPair(random, bits, errors)
    t.equal(popcount(alice.map((a, i) => a ^ bob[i]!)), errors)
    t.equal(alice.length, Math.ceil(bits / 8))
    for (let i = bits; i < alice.length * 8; i++) t.equal(bitAt(alice, i) + bitAt(bob, i), 0, 'unused bits are 0')
  }
  for (let run = 0; run < 50; run++) {
    const { alice, bob } = siftedPair(random, 8000, 160)
    for (let i = 0; i < 8000; i++) if (bitAt(alice, i) !== bitAt(bob, i)) eighths[Math.floor(i / 1000)]! += 1
  }
  plausible(t, pearson(eighths, eighths.map(() => 1000)), 'places of errors')
})

