/** Rows of the post-processing kernels: privacy amplification and LDPC. Processor time, so that what else runs counts little. */
import { SimRandom } from '../sim/random.js'
import { amplify, amplifySeedBytes, amplifyWays } from '../src/post/amplify.js'
import { packedBytes } from '../src/post/bits.js'
import { LdpcAlice, LdpcBob, ldpcPlan } from '../src/post/ldpc.js'
import { valueFigure, type Figure } from './figures.js'

interface Kernels { readonly pairs: number, readonly sliceMs: number }

/** Milliseconds of this process's processors that `work` takes. */
const costMs = (work: () => void): number => {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}

const amplifyMs = (repeats: number, lengthBits: number, keyBits: number, way: string): number[] => {
  const random = new SimRandom(1), bits = random.bytes(packedBytes(lengthBits)), seed = random.bytes(amplifySeedBytes(lengthBits))
  return Array.from({ length: repeats }, () => costMs(() => { amplify(bits, lengthBits, seed, keyBits, way) }))
}

export const amplification = async ({ pairs }: Kernels): Promise<Figure[]> => {
  const ways = amplifyWays(), best = ways[ways.length - 1]!
  const megabit = ways.filter((way) => way !== 'portable').map((way) =>
    valueFigure('privacy amplification, 2^20 to 2^19', 'ms', amplifyMs(20 * pairs, 2 ** 20, 2 ** 19, way), { atMost: way.includes('avx512') ? 2 : 4 }, way))
  return [
    ...megabit,
    valueFigure('privacy amplification, 2^24 to 2^23', 's', amplifyMs(pairs, 2 ** 24, 2 ** 23, best).map((ms) => ms / 1_000), { atMost: 0.5 }, best),
    valueFigure('privacy amplification, 10^8 to 5 10^7', 'Mbit/s', amplifyMs(Math.min(3, pairs), 1e8, 5e7, best).map((ms) => 1e5 / ms), { atLeast: 60 }, `${best}; bits of input`),
  ]
}

const entropy = (e: number): number => -e * Math.log2(e) - (1 - e) * Math.log2(1 - e)

/** Wrong bits drawn one by one, each with the same probability: the number of errors varies as it does in the field. */
const received = (random: SimRandom, bits: Uint8Array, lengthBits: number, errorRate: number): Uint8Array => {
  const out = bits.slice(), scale = Math.log1p(-errorRate)
  for (let place = -1; ;) {
    place += 1 + Math.floor(Math.log((random.integer(2 ** 48) + 1) / 2 ** 48) / scale)
    if (place >= lengthBits) return out
    out[place >> 3]! ^= 1 << (place & 7)
  }
}

/** One error rate: a frame that needed a second round counts as a frame error. */
const campaign = (errorRate: number, efficiencyMax: number, frames: number): Figure[] => {
  const lengthBits = 1_000_000, o = { lengthBits, errorPpm: Math.round(errorRate * 1e6) }, random = new SimRandom(o.errorPpm)
  let again = 0, undetected = 0, leakedBits = 0
  const ms: number[] = []
  for (let n = 0; n < frames; n++) {
    const bits = random.bytes(lengthBits / 8), other = received(random, bits, lengthBits, errorRate)
    const alice = new LdpcAlice(o, bits, random), bob = new LdpcBob(lengthBits, other)
    ms.push(costMs(() => {
      for (let message = alice.next(); message !== undefined; message = alice.next()) {
        bob.receive(message)
        alice.receive(bob.next()!)
      }
      bob.correct(other)
    }))
    if (bob.result().rounds > 1) again++
    if (bob.decoding.failed === 0 && Buffer.compare(bits, other) !== 0) undetected++
    leakedBits += alice.result().leakedBits
    alice.close()
    bob.close()
  }
  const at = `QBER ${(errorRate * 100).toFixed(1)} %`, first = ldpcPlan(o).leakedBits / lengthBits / entropy(errorRate), all = leakedBits / frames / lengthBits / entropy(errorRate)
  return [
    valueFigure(`LDPC f, ${at}`, '', [first], { atMost: efficiencyMax }, `of the first message; ${all.toFixed(4)} with all rounds`),
    valueFigure(`LDPC frame error rate, ${at}`, '', [again / frames], { atMost: 1e-3 }, `${again} of ${frames} frames of 10^6 bits took a second round; ${undetected} undetected`),
    valueFigure(`LDPC speed, ${at}`, 'Mbit/s', ms.map((one) => lengthBits / 1_000 / one), { atLeast: 10 }, 'both parties in one thread'),
  ]
}

/** A few frames by default; `ldpc-fer` takes 5,000 of each, which shows a frame error rate of 10^-3. */
export const ldpc = (framesPerPair: number) => async ({ pairs }: Kernels): Promise<Figure[]> =>
  [...campaign(0.03, 1.15, framesPerPair * pairs), ...campaign(0.095, 1.11, framesPerPair * pairs)]
