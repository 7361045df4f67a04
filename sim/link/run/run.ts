import { KmeError } from '../../../src/kernel/errors.js'
import { sum } from '../../../src/post/counts.js'
import type { FiniteKey, Security } from '../../../src/post/counts.js'
import { Xoshiro } from '../chance/xoshiro.js'
import { estimateKey } from '../../../src/post/key-length.js'
import { assumedLeakBits, naiveKeyBits } from '../party/estimate.js'
import { addEvidence, clickAlarms, expectClicks, noEvidence } from '../physics/alarm.js'
import type { Alarm, Evidence } from '../physics/alarm.js'
import { checkConfig, totalLossDb } from '../physics/config.js'
import type { LinkConfig } from '../physics/config.js'
import { drift, drifted, noDrift } from '../physics/drift.js'
import type { DriftConfig } from '../physics/drift.js'
import { drawHistogram } from '../physics/draw.js'
import { setUpAttack } from '../physics/eve.js'
import type { Eve } from '../physics/eve.js'
import { slotLaw } from '../physics/law.js'
import { addTally, emptyTally, tally } from '../physics/tally.js'
import type { Tally } from '../physics/tally.js'
import { emptyAccount } from './account.js'
import type { BitAccount } from './account.js'

/** From `fromS` (inclusive) to `toS`, in seconds of the run. */
export interface Interval { readonly fromS: number, readonly toS: number }

export interface RunOptions {
  readonly config: LinkConfig
  readonly security: Security
  /** Assumed of error correction: leak / (n h(E)). */
  readonly correctionEfficiency: number
  /** Sifted key-basis bits per block; a block ends with the step that fills it. */
  readonly blockBits: number
  readonly durationS: number, readonly stepS: number
  readonly seed: number
  readonly drift?: DriftConfig
  readonly cuts?: readonly Interval[]
  readonly attacks?: readonly (Interval & { readonly eve: Eve })[]
  /** QBER from which the link is given up, for instance 0.08. */
  readonly qberAbort: number
  /** `naive`: believe the QBER alone. NOT secure, to show what decoys are for. */
  readonly estimate: 'decoys' | 'naive'
}

/** One step of the run. Rates are averages over the step, in bit/s. */
export interface RunStep {
  readonly timeS: number
  /** Of all sifted bits, and of each basis; NaN without detections. */
  readonly qber: number, readonly qberKey: number, readonly qberTest: number
  readonly detectionsPerS: number, readonly siftedBps: number
  /** Key of blocks that ended in this step. */
  readonly keyBits: number
  readonly misalignment: number, readonly lossDb: number
  readonly eve: Eve['kind'] | undefined, readonly cut: boolean
  readonly alarms: readonly Alarm[]
}

/** A block that ended. `key` is absent if an alarm stopped it before the estimate, and for `naive`. */
export interface RunBlock {
  readonly timeS: number, readonly tally: Tally, readonly keyBits: number
  readonly key?: FiniteKey, readonly reason?: string, readonly leakBits: number
}

export interface RunResult { readonly steps: readonly RunStep[], readonly blocks: readonly RunBlock[], readonly account: BitAccount }

const within = (t: number, i: Interval): boolean => t >= i.fromS && t < i.toS
const ratio = (errors: readonly number[], detections: readonly number[]): number => sum(errors) / sum(detections)

const checkOptions = (o: RunOptions): void => {
  checkConfig(o.config)
  const refuse = (why: string): never => { throw new KmeError('BAD_REQUEST', `link run: ${why}`) }
  if (!(o.stepS > 0 && o.durationS >= o.stepS)) refuse('the step must be above 0 and not longer than the run')
  if (o.durationS / o.stepS > 1e6) refuse('at most a million steps')
  if (o.stepS * o.config.source.pulseRateHz > 2 ** 52) refuse('a step has at most 2^52 pulses')
  if (!(o.blockBits >= 1)) refuse('a block needs at least 1 bit')
  if (!(o.qberAbort > 0 && o.qberAbort <= 0.5)) refuse('the QBER limit must be above 0 and at most 0.5')
  for (const a of o.attacks ?? []) setUpAttack(o.config, a.eve)
}

/** A block on its way: its counts, what an honest link would have shown, and the alarms of its steps. */
interface OpenBlock { readonly tally: Tally, readonly expected: Evidence, readonly alarms: readonly Alarm[] }

const closeBlock = (o: RunOptions, timeS: number, open: OpenBlock): RunBlock => {
  const { tally: block } = open, leakBits = assumedLeakBits(block.sifted, o.correctionEfficiency)
  // Small steps may hide what the whole block shows, so both are looked at.
  const kinds = new Set([...open.alarms, ...clickAlarms(block, open.expected, o.qberAbort)].map((a) => a.kind))
  if (kinds.size > 0) return { timeS, tally: block, keyBits: 0, reason: [...kinds].join(', '), leakBits }
  if (o.estimate === 'naive') return { timeS, tally: block, keyBits: naiveKeyBits(block.sifted, leakBits), leakBits }
  const key = estimateKey(o.config.source, block.sifted, leakBits, o.security)
  return { timeS, tally: block, keyBits: key.bits, key, leakBits, ...(key.noKey === undefined ? {} : { reason: key.noKey }) }
}

const accountFor = (account: BitAccount, o: RunOptions, block: RunBlock): BitAccount => {
  const bits = sum(block.tally.sifted.key.detections)
  if (block.keyBits === 0) return { ...account, discarded: account.discarded + bits }
  const verification = Math.min(bits - block.keyBits, Math.ceil(Math.log2(2 / o.security.correctness) + 6 * Math.log2(21 / o.security.secrecy)))
  const leaked = Math.min(bits - block.keyBits - verification, Math.ceil(block.leakBits))
  return {
    ...account, net: account.net + block.keyBits, leaked: account.leaked + leaked, verification: account.verification + verification,
    compressed: account.compressed + bits - block.keyBits - leaked - verification,
  }
}

/**
 * Runs a link over time, by counts: each step costs microseconds however many pulses it has. Alarms are
 * looked for in each step and again over each block; a block in which one was raised gives no key.
 *
 * @returns A generator of steps, whose return value is the whole result. Deterministic in `seed`.
 * @throws KmeError `BAD_REQUEST` if an option makes no sense.
 */
export const runLink = function * (o: RunOptions): Generator<RunStep, RunResult> {
  checkOptions(o)
  const chance = Xoshiro.seeded(o.seed), walk = chance.split(), receiver = { deadSlots: 0 }
  const levels = o.config.source.intensities.length, slots = Math.round(o.stepS * o.config.source.pulseRateHz)
  const steps: RunStep[] = [], blocks: RunBlock[] = []
  const fresh: OpenBlock = { tally: emptyTally(levels), expected: noEvidence, alarms: [] }
  let state = noDrift, open = fresh, account = emptyAccount
  for (let i = 0; i < Math.floor(o.durationS / o.stepS + 1e-9); i++) {
    const timeS = i * o.stepS
    if (o.drift !== undefined) state = drift(walk, state, o.drift, o.stepS)
    const cut = (o.cuts ?? []).some((c) => within(timeS, c)), attack = (o.attacks ?? []).find((a) => within(timeS, a))
    const now = drifted(o.config, state, cut)
    // Eve prepares for the link as it is; without light there is nothing to attack.
    const law = slotLaw(now, attack === undefined || cut ? undefined : setUpAttack(now, attack.eve))
    const seen = tally(drawHistogram(chance, slots, law, receiver), slots, levels)
    // Slots lost to dead time are not live: counted in, dark counts would seem to be missing.
    const expected = expectClicks(o.config, seen, slots - seen.detections * law.deadSlots)
    const alarms = clickAlarms(seen, expected, o.qberAbort)
    open = { tally: addTally(open.tally, seen), expected: addEvidence(open.expected, expected), alarms: [...open.alarms, ...alarms].slice(-16) }
    const { key, test } = seen.sifted, sifted = sum(key.detections) + sum(test.detections)
    let keyBits = 0
    if (sum(open.tally.sifted.key.detections) >= o.blockBits) {
      const block = closeBlock(o, timeS + o.stepS, open)
      blocks.push(block)
      account = accountFor(account, o, block)
      keyBits = block.keyBits
      open = fresh
    }
    account = {
      ...account, detections: account.detections + seen.detections, mismatched: account.mismatched + sum(seen.mismatched),
      test: account.test + sum(test.detections), waiting: sum(open.tally.sifted.key.detections),
    }
    const step: RunStep = {
      timeS, keyBits, cut, eve: cut ? undefined : attack?.eve.kind,
      qber: (sum(key.errors) + sum(test.errors)) / sifted,
      qberKey: ratio(key.errors, key.detections), qberTest: ratio(test.errors, test.detections),
      detectionsPerS: seen.detections / o.stepS, siftedBps: sifted / o.stepS,
      misalignment: now.receiver.misalignment, lossDb: totalLossDb(now),
      alarms,
    }
    steps.push(step)
    yield step
  }
  return { steps, blocks, account }
}

/** Runs to the end. */
export const runToEnd = (o: RunOptions): RunResult => {
  const run = runLink(o)
  for (;;) {
    const next = run.next()
    if (next.done === true) return next.value
  }
}
