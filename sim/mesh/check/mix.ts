import type { KmeId } from '../../../src/kernel/ids.js'
import { SHARE_FRAMES_MAX } from '../../../src/peer/messages.js'
import type { PoolLimits } from '../../../src/pool/ports.js'
import type { RelayLimits } from '../../../src/relay/limits.js'
import { randomNetwork } from '../../flood/world.js'
import { SimRandom } from '../../random.js'
import { isTwofold } from '../graph.js'
import { LIES, type Lie } from './lies.js'

/** Everything that may happen in a step, with its weight when it is in the mix. */
const weights = {
  ask: 24, askMany: 4, fetch: 20, refetch: 3, steal: 2, frames: 10, wait: 22,
  kill: 2, power: 2, stop: 2, failDisk: 1, slowDisk: 1, partition: 2, oneWay: 2, isolate: 1, losses: 1, disorder: 1, slowLine: 1, device: 2,
  noise: 1, lie: 3, silence: 1, copy: 2, restore: 2, cast: 6, demand: 4, void: 2, hold: 1,
} as const
export type Action = keyof typeof weights
const always: readonly Action[] = ['ask', 'fetch', 'frames', 'wait']

export interface RelayedPair { readonly between: readonly [KmeId, KmeId], readonly paths: number, readonly hybrid: boolean }

/** One run's own network and trouble (swarm testing). */
export interface MeshMix {
  readonly links: readonly (readonly [KmeId, KmeId])[]
  readonly relayed: readonly RelayedPair[]
  readonly actions: readonly { readonly action: Action, readonly weight: number }[]
  readonly lies: readonly Lie[]
  readonly limits: Partial<PoolLimits>
  readonly relayLimits: Partial<RelayLimits>
  readonly flushMs: number, readonly delayMs: number, readonly jitterMs: number
  readonly wall: readonly { readonly aheadMs: number, readonly driftPpm: number }[]
  /** Payload of a frame, a multiple of 8. */
  readonly frameBytes: number
  readonly stockBytes: number
  /** Of a link's frames, so many times as many: where key is plentiful, jobs have several parts. */
  readonly plenty: number
  /** After calm, all of its time passes, though everything is in order before. */
  readonly isPatient: boolean
  /** How long a dead node stays down, at most. */
  readonly downMs: number
}

/** The mix of a run of this seed. */
export const mixOf = (seed: number, nodes: number): MeshMix => drawMix(new SimRandom(seed), nodes)

/** Takes from `random` as much as the mix needs. */
export const drawMix = (random: SimRandom, nodes: number): MeshMix => {
  const links = drawLinks(random, nodes)
  const actions = (Object.keys(weights) as Action[]).filter((a) => always.includes(a) || random.chance(0.35)).map((action) => ({ action, weight: weights[action] * random.pick([1, 1, 2]) }))
  const plenty = random.pick([1, 1, 4])
  return {
    plenty, isPatient: random.chance(0.25), links, relayed: drawRelayed(random, links), actions, lies: random.chance(0.5) ? LIES.filter(() => random.chance(0.5)) : [random.pick(LIES)], // One lie hides what another would show.
    limits: {
      keyTtlMs: random.pick([30_000, 600_000, 600_000]), fetchTtlMs: random.pick([8_000, 60_000]), runwayMs: random.pick([1_000, 60_000]),
      leaseMinBytes: random.pick([64, 1_024]), missingFrameMs: random.pick([2_000, 5_000]), authReserveBytes: random.pick([4_096, 8_192]),
      authFloorBytes: 512, associationsPerEpoch: random.pick([5, 60_000, 60_000]), maxStockBytes: plenty * 262_144,
    },
    relayLimits: { reserveBytes: random.pick([1_024, 4_096]), jobMs: 4_000, passMs: 1_000, framesPerJob: plenty > 1 ? SHARE_FRAMES_MAX : random.pick([2, 16]), sparePart: 1, jobsMax: random.pick([2, 8]), avoidMs: 500, avoidMaxMs: 4_000 },
    flushMs: random.pick([0, 3, 3, 20]), delayMs: random.pick([1, 2, 20]), jitterMs: random.pick([0, 3, 40]),
    wall: Array.from({ length: nodes }, () => ({ aheadMs: random.pick([0, 0, 3_600_000, -3_600_000]), driftPpm: random.pick([0, 200, -5_000]) })),
    frameBytes: random.pick([1_984, 3_968, 3_968]), stockBytes: plenty * random.pick([16_384, 32_768]), downMs: random.pick([500, 3_000, 12_000]),
  }
}

/** A line, a ring, or a ring with links across. */
const drawLinks = (random: SimRandom, count: number): (readonly [KmeId, KmeId])[] => {
  const { nodes, links } = randomNetwork(random, count, random.pick([2, 2, 2.4, 2.8]))
  const names = new Map(nodes.map((node, i) => [node, String.fromCharCode(65 + i)]))
  const named = links.map(([a, b]) => [names.get(a)!, names.get(b)!] as const)
  return random.chance(0.25) ? named.slice(1) : named // Without its first link a ring is a line.
}

const drawRelayed = (random: SimRandom, links: readonly (readonly [KmeId, KmeId])[]): RelayedPair[] => {
  const nodes = [...new Set(links.flat())].sort()
  const pairs = nodes.flatMap((a, i) => nodes.slice(i + 1).map((b) => [a, b] as const)).filter((pair) => !links.some((link) => pair.every((kme) => link.includes(kme))) || random.chance(0.1))
  const chosen: RelayedPair[] = [], isHybrid = random.chance(0.3)
  for (let left = random.pick([1, 2, 2, 3]); left > 0 && pairs.length > 0; left--) {
    const [between] = pairs.splice(random.integer(pairs.length), 1) as [readonly [KmeId, KmeId]]
    chosen.push({ between, paths: isTwofold(links, ...between) && random.chance(0.35) ? 2 : 1, hybrid: isHybrid && random.chance(0.6) })
  }
  return chosen
}
