import { describeFault } from './faults.js'
import type { LiveNetwork, Outcome, Sample } from './live.js'
import type { Scenario } from './scenario.js'

const STEP_MS = 100
const SAMPLE_MS = 1_000

export interface Moment { readonly atS: number, readonly delivered: number, readonly failed: number, readonly samples: readonly Sample[] }
export interface PairResult { readonly from: string, readonly to: string, asked: number, keys: number, failed: number, readonly why: Record<string, number>, slowestMs: number }
export interface RunResult {
  readonly scenario: Scenario
  readonly moments: readonly Moment[]
  readonly pairs: readonly PairResult[]
  readonly events: readonly { readonly atS: number, readonly what: string }[]
  readonly hops: Readonly<Record<string, number>>
  /** Keys that the two SAEs got differently: must be none. */
  readonly unequal: number
  /** Bits of accounts that do not add up, over all KMEs at the end: must be 0. */
  readonly differenceBits: number
}

/** Runs load and faults of a scenario on a network that is ready. `tell` hears of events as they happen. */
export const runScenario = async (scenario: Scenario, network: LiveNetwork, tell: (line: string) => void): Promise<RunResult> => {
  const pairs = scenario.load.between.flatMap(([a, b]) => [[a, b], [b, a]] as const)
    .map(([from, to]): PairResult => ({ from, to, asked: 0, keys: 0, failed: 0, why: {}, slowestMs: 0 }))
  const moments: Moment[] = [], events: { atS: number, what: string }[] = [], open = new Set<Promise<void>>()
  const startMs = network.nowMs(), faults = [...scenario.faults]
  let delivered = 0, failed = 0, turn = 0, due = 0, nextSampleMs = 0, askedMs = -STEP_MS, hops: Readonly<Record<string, number>> = {}
  const book = (pair: PairResult, outcome: Outcome): void => {
    pair.slowestMs = Math.max(pair.slowestMs, outcome.wholeMs)
    if (outcome.why === '') { pair.keys += outcome.keys; delivered += outcome.keys; return }
    pair.failed++
    failed++
    pair.why[outcome.why] = (pair.why[outcome.why] ?? 0) + 1
  }
  const ask = (): void => {
    const pair = pairs[turn++ % pairs.length]!
    pair.asked++
    const done: Promise<void> = network.exchange(pair.from, pair.to, scenario.load.keys).then((outcome) => { book(pair, outcome) }).finally(() => { open.delete(done) })
    open.add(done)
  }
  for (let ms = 0; ms < scenario.seconds * 1_000; ms = network.nowMs() - startMs) {
    while (faults.length > 0 && faults[0]!.at * 1_000 <= ms) {
      const fault = faults.shift()!
      events.push({ atS: ms / 1_000, what: describeFault(fault) })
      tell(`${(ms / 1_000).toFixed(1).padStart(7)} s  ${describeFault(fault)}`)
      await network.fault(fault)
    }
    // By the time that passed: on a busy machine a step takes longer than it should.
    for (due += scenario.load.perSecond * (ms - askedMs) / 1_000; due >= 1; due--) if (pairs.length > 0 && open.size < 1_000) ask()
    askedMs = ms
    if (ms >= nextSampleMs) {
      nextSampleMs += SAMPLE_MS
      moments.push({ atS: ms / 1_000, delivered, failed, samples: await network.sample() })
      hops = { ...hops, ...await network.hops() }
    }
    await network.wait(STEP_MS)
  }
  while (open.size > 0) await Promise.race([...open, network.wait(STEP_MS)])
  await network.wait(1_000)
  const samples = await network.sample()
  moments.push({ atS: (network.nowMs() - startMs) / 1_000, delivered, failed, samples })
  return {
    scenario, moments, pairs, events, hops, unequal: pairs.reduce((sum, p) => sum + (p.why['the keys differ'] ?? 0), 0),
    differenceBits: samples.reduce((sum, s) => sum + Math.abs(s.differenceBits), 0),
  }
}
