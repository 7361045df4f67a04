/** The relay through one node between, as real processes. */
import type { Sample } from '../sim/network/live.js'
import { ProcessNetwork } from '../sim/network/processes.js'
import type { Scenario } from '../sim/network/scenario.js'
import { stayAlive, systemClock } from '../src/kernel/system-clock.js'
import { valueFigure, type Figure } from './figures.js'

const SLICE_MS = 1_500
const SLICES_MAX = 6
/** What the relayed pool would like to have: more than it can get. */
const STOCK_BYTES = 1_500_000_000
const LINK_STOCK_BYTES = 40_000_000, FILL_MS = 35_000
/** So much is relayed before anything is measured: a KME that has just started spends an eighth of its processor time on the compiler of V8. */
const WARM_BYTES = 60_000_000
/** Below, a slice would measure an empty lane. */
const LANE_BYTES_MIN = 4_000_000
/** Tags need fresh key. */
const SLOW = '3M'
const SETTLE_LOOKS = 20, SETTLE_MS = 400, SETTLED_BYTES = 600_000

const scenario: Scenario = {
  name: 'bench', about: '', mode: 'processes', seconds: 1, seed: 1, kmes: ['a', 'b', 'c'], automatic: undefined, faults: [], load: { perSecond: 0, keys: 1, between: [] },
  links: [{ between: ['a', 'b'], rateBps: 400e6, qber: 0.02 }, { between: ['b', 'c'], rateBps: 400e6, qber: 0.02 }],
  relayed: [{ between: ['a', 'c'], paths: 1, hybrid: false, stockBytes: STOCK_BYTES }],
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => { const letGo = stayAlive(); systemClock.after(ms, () => { letGo(); resolve() }) })

/** A member of the account of one pool of a KME, in bytes. */
export const booked = (samples: readonly Sample[], kme: string, pool: string, what: string): number => samples.find((s) => s.kme === kme)?.pools[pool]?.[what] ?? 0

/** The least that any KME could deliver from its own lane of a link. */
const leastStock = (samples: readonly Sample[]): number =>
  Math.min(...samples.flatMap(({ stock }) => Object.entries(stock).filter(([pool]) => !pool.startsWith('relay')).map(([, bytes]) => bytes)))

const ingested = (samples: readonly Sample[]): number =>
  samples.reduce((sum, { pools }) => sum + Object.entries(pools).reduce((all, [pool, account]) => pool.startsWith('relay') ? all : all + (account['ingested'] ?? 0), 0), 0)

/** The links' lanes get stock while the relay warms up; then the devices bring only what tags of messages need, and what they brought before is agreed on, so that the cores are the relay's. */
const fill = async (network: ProcessNetwork): Promise<void> => {
  for (const endMs = systemClock.monoMs() + FILL_MS; systemClock.monoMs() < endMs; await pause(500)) {
    const samples = await network.sample()
    if (leastStock(samples) >= LINK_STOCK_BYTES && booked(samples, 'c', 'relay:kme-a', 'ingested') >= WARM_BYTES) break
  }
  for (const { between: [a, b] } of scenario.links) await network.fault({ slow: [a, b], rate: SLOW, at: 0 })
  let before = -Infinity
  for (let looks = 0; looks < SETTLE_LOOKS; looks++) {
    await pause(SETTLE_MS)
    const now = ingested(await network.sample())
    if (now - before < SETTLED_BYTES) return
    before = now
  }
}

/** End-to-end key per second into the relayed pool of A and C over B, all three and both devices on this machine's cores. */
export const relay = async ({ pairs }: { readonly pairs: number }): Promise<Figure[]> => {
  const network = await ProcessNetwork.start(scenario, { isDirect: true, keepAliveMs: 5_000 })
  try {
    await network.ready()
    await fill(network)
    const rates: number[] = [], burns: number[] = []
    let before = await network.sample(), beforeMs = systemClock.monoMs()
    while (rates.length < Math.min(pairs, SLICES_MAX) && (rates.length === 0 || leastStock(before) >= LANE_BYTES_MIN)) {
      await pause(SLICE_MS)
      const after = await network.sample(), afterMs = systemClock.monoMs()
      const grown = (kme: string, pool: string, what: string): number => booked(after, kme, pool, what) - booked(before, kme, pool, what)
      const came = grown('c', 'relay:kme-a', 'ingested')
      rates.push(came * 8 / (afterMs - beforeMs) / 1_000)
      // Both ends take blocks on their way, so each link carries both: half of what stands at its two ends together.
      const pads = (grown('a', 'kme-b', 'relay') + grown('b', 'kme-a', 'relay')) / 2 + (grown('b', 'kme-c', 'relay') + grown('c', 'kme-b', 'relay')) / 2
      if (came > 0) burns.push(pads / (came - grown('c', 'relay:kme-a', 'confirmation')) / 2)
      before = after
      beforeMs = afterMs
    }
    if (burns.length === 0) throw new Error('nothing was relayed')
    return [
      valueFigure('relay through one node between', 'Mbit/s', rates, { atLeast: 150 }, `three KMEs from stock, devices at ${SLOW}bit/s; slices ${rates.map((rate) => Math.round(rate)).join(', ')}`),
      valueFigure('relay: bits burned per delivered bit and hop', 'bits', burns, { atMost: 1.02 }, '2 hops, tags and confirmation included'),
    ]
  } finally { await network.stop() }
}
