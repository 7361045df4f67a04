import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'

/** Samples tested before the first use; SP 800-90B, clause 4.3, wants at least 1024. */
export const healthSampleBytes = 4096

interface Limits { readonly what: string, readonly window: number, readonly repetitionMax: number, readonly proportionMax: number }

/** Cut-offs at a false-alarm rate of 2^-40: H = 8 per byte (window 512), H = 1 per bit (window 1024). */
const byteLimits: Limits = { what: 'byte', window: 512, repetitionMax: 6, proportionMax: 19 }
const bitLimits: Limits = { what: 'bit', window: 1024, repetitionMax: 41, proportionMax: 625 }

/**
 * Start-up health test of the system's random source: repetition count and adaptive proportion over whole bytes,
 * and over each of the eight bit positions, so that one stuck line is seen as well as a stuck source.
 *
 * It proves only that the source is not grossly broken; key material does not come from it unless a local pool is used.
 *
 * @throws KmeError `RANDOM_FAILED` naming the test that failed. Never retried: a source that fails once is not used.
 * @see NIST SP 800-90B, clauses 4.3, 4.4.1 and 4.4.2
 */
export const checkRandomSource = (random: Random): void => {
  const samples = random.bytes(healthSampleBytes)
  if (samples.length !== healthSampleBytes) throw failure(`it gave ${samples.length} bytes instead of ${healthSampleBytes}`)
  test(samples, byteLimits)
  for (let position = 0; position < 8; position++) {
    test(samples.map((byte) => (byte >> position) & 1), { ...bitLimits, what: `bit ${position}` })
  }
  samples.fill(0)
}

const failure = (why: string): KmeError =>
  new KmeError('RANDOM_FAILED', `the system's random source failed its start-up health test: ${why}; do not use this machine for keys until it is found why`)

const test = (samples: Uint8Array, limits: Limits): void => {
  const repetitions = longestRun(samples)
  if (repetitions >= limits.repetitionMax) throw failure(`the same ${limits.what} came ${repetitions} times in a row`)
  for (let start = 0; start + limits.window <= samples.length; start += limits.window) {
    const same = occurrences(samples.subarray(start, start + limits.window))
    if (same >= limits.proportionMax) throw failure(`the same ${limits.what} came ${same} times among ${limits.window}`)
  }
}

const longestRun = (samples: Uint8Array): number => {
  let longest = 0, run = 0, last = -1
  for (const sample of samples) {
    run = sample === last ? run + 1 : 1
    last = sample
    if (run > longest) longest = run
  }
  return longest
}

/** How often the window's first sample occurs in it, itself included. */
const occurrences = (window: Uint8Array): number => {
  let count = 0
  for (const sample of window) if (sample === window[0]) count++
  return count
}
