/** Rows of the post-processing: Cascade alone. */
import { siftedPair } from '../sim/link/chance/bits.js'
import { Xoshiro } from '../sim/link/chance/xoshiro.js'
import { invariant } from '../src/kernel/errors.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { equalBytes } from '../src/post/bits.js'
import { binaryEntropy } from '../src/post/entropy.js'
import { CASCADE_VARIANTS, loadPost } from '../src/post/native.js'
import type { CascadeVariant } from '../src/post/options.js'
import { median, valueFigure, type Figure } from './figures.js'

interface Runs { readonly pairs: number }

const FRAME_BITS = 100_000, FRAMES = 64

const cascadeOnce = (variant: CascadeVariant, qber: number, seed: number): { efficiency: number, mbps: number } => {
  const bits = FRAME_BITS * FRAMES, errors = Math.round(bits * qber), random = Xoshiro.seeded(seed)
  const { alice, bob } = siftedPair(random, bits, errors), shared = random.fill(new Uint8Array(32)), { Cascade } = loadPost()
  const startMs = systemClock.monoMs(), number = CASCADE_VARIANTS.indexOf(variant), ppm = Math.round(qber * 1e6)
  const a = new Cascade(number, bits, FRAME_BITS, ppm, shared, alice), b = new Cascade(number, bits, FRAME_BITS, ppm, shared, bob)
  for (let fromA = a.message(); fromA !== undefined; fromA = a.message()) {
    a.receive(b.message()!)
    b.receive(fromA)
  }
  b.correct(bob)
  const seconds = (systemClock.monoMs() - startMs) / 1_000, { leakedBits } = a.stats()
  a.close()
  b.close()
  invariant(equalBytes(alice, bob), 'Cascade corrects every error')
  return { efficiency: leakedBits / (bits * binaryEntropy(qber)), mbps: bits / seconds / 1e6 }
}

/** f and speed of yanetal, both parties in one thread. */
export const cascade = async ({ pairs }: Runs): Promise<Figure[]> => {
  const at = (variant: CascadeVariant, qber: number): ReturnType<typeof cascadeOnce>[] => Array.from({ length: pairs }, (_, i) => cascadeOnce(variant, qber, i + 1))
  const slow = at('yanetal', 0.02), best = at('option8', 0.02)
  const f = (runs: ReturnType<typeof cascadeOnce>[]): number[] => runs.map(({ efficiency }) => efficiency)
  const note = `${FRAMES} frames of 10^5 bits, checks of frames counted`
  return [
    valueFigure('Cascade yanetal, f at 1 %', '', f(at('yanetal', 0.01)), { atMost: 1.065 }, note),
    valueFigure('Cascade yanetal, f at 2 %', '', f(slow), { atMost: 1.065 }, note),
    valueFigure('Cascade yanetal, f at 3 %', '', f(at('yanetal', 0.03)), { atMost: 1.065 }, note),
    valueFigure('Cascade yanetal, f at 5 %', '', f(at('yanetal', 0.05)), { atMost: 1.075 }, note),
    valueFigure('Cascade yanetal at 2 %', 'Mbit/s', slow.map(({ mbps }) => mbps), { atLeast: 12 }, 'both parties in one thread'),
    valueFigure('Cascade option 8 at 2 %', 'Mbit/s', best.map(({ mbps }) => mbps), { atLeast: 12 }, `both parties in one thread; f ${median(f(best)).toFixed(4)}`),
  ]
}
