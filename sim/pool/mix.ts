import type { PoolLimits } from '../../src/pool/ports.js'
import type { SimRandom } from '../random.js'

/** Everything that may happen in a step, with its weight when it is in the mix. */
const weights = {
  ask: 26, askLocal: 3, askMany: 4, drain: 2, fetch: 22, refetch: 3, steal: 2, frames: 12, wait: 24, longWait: 2,
  kill: 2, power: 2, stop: 3, failDisk: 1, partition: 2, oneWay: 2, losses: 1, slowDisk: 1,
  copy: 1, restore: 2, restoreBoth: 1, newStore: 1, twin: 1, voidPool: 1, disorder: 1, noise: 1,
} as const
export type Action = keyof typeof weights

/** What every run does; the rest is drawn. */
const always: readonly Action[] = ['ask', 'askMany', 'fetch', 'frames', 'wait']
/** Trouble that takes stock away for good: only with `restores`. */
const losing: readonly Action[] = ['copy', 'restore', 'restoreBoth', 'newStore', 'twin', 'voidPool']

/** One run's own mix (swarm testing, Groce et al. 2012): a run that does little of many things finds what a run of everything hides. */
export interface Mix {
  readonly actions: readonly { readonly action: Action, readonly weight: number }[]
  readonly limits: Partial<PoolLimits>
  readonly flushMs: number
  readonly delayMs: number
  readonly jitterMs: number
  /** Wall clocks: what the second node is ahead, and how much faster it runs. */
  readonly wallAheadMs: number
  readonly wallDriftPpm: number
  readonly shortFrames: boolean
  /** How long a dead node stays down, at most. */
  readonly downMs: number
}

export const drawMix = (random: SimRandom, restores: boolean): Mix => {
  const chosen = (Object.keys(weights) as Action[]).filter((a) => always.includes(a) || (losing.includes(a) ? restores && random.chance(0.5) : random.chance(0.4)))
  const actions = chosen.map((action) => ({ action, weight: weights[action] * random.pick([1, 1, 2]) }))
  return {
    actions,
    limits: {
      keyTtlMs: random.pick([20_000, 600_000, 600_000]), fetchTtlMs: random.pick([10_000, 60_000]),
      associationsPerEpoch: random.pick([3, 5, 60_000, 60_000]), authReserveBytes: random.pick([4_096, 16_384]),
      runwayMs: random.pick([1_000, 60_000]), leaseMinBytes: random.pick([64, 1_024]), missingFrameMs: random.pick([3_000, 30_000]),
      epochBlocksMax: random.pick([4, 2 ** 30, 2 ** 30]),
    },
    flushMs: random.pick([0, 3, 3, 20]), delayMs: random.pick([1, 2, 20]), jitterMs: random.pick([0, 3, 40]),
    wallAheadMs: random.pick([0, 3_600_000, -3_600_000]), wallDriftPpm: random.pick([0, 200, -5_000]),
    shortFrames: random.chance(0.3), downMs: random.pick([500, 5_000, 40_000]),
  }
}

/** One action, by weight. */
export const pickAction = <A>(random: SimRandom, actions: readonly { readonly action: A, readonly weight: number }[]): A => {
  let left = random.integer(actions.reduce((sum, a) => sum + a.weight, 0))
  for (const { action, weight } of actions) {
    left -= weight
    if (left < 0) return action
  }
  throw new Error('invariant violated: the weights of a mix add up')
}
