/** Networks of real processes: keys of a relayed pool against those of a direct one, and how soon key comes another way when a line breaks. */
import { ProcessNetwork } from '../sim/network/processes.js'
import type { Scenario } from '../sim/network/scenario.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { ratioFigure, runPairs, valueFigure, type Figure } from './figures.js'
import { faultOf, get, Load, requestsPerS } from './load.js'
import { booked, pause } from './rows-relay.js'

const empty = { about: '', mode: 'processes', seconds: 1, seed: 1, automatic: undefined, faults: [], load: { perSecond: 0, keys: 1, between: [] } } as const

// --- enc_keys over a relayed pool ----------------------------------------------------------------------------------------

const LINK_BYTES = 16_000_000, RELAYED_BYTES = 10_000_000
/** More than the links can bring: the relay takes all that the far one has, and rests then. */
const WANTED_BYTES = 1_500_000_000
const ENC_CONNECTIONS = 32
const FILL_MS = 30_000, REST_MS = 60_000
const MEETINGS_MAX = 20
/** What tags of messages need: lanes are opened and leased with the other KME's word. */
const SLOW = '200k', SETTLED_BYTES = 200_000
/** The far link brings no more than the relay takes: nothing is left to relay once its device is slow. */
const FAR_BPS = 20e6

const line: Scenario = {
  ...empty, name: 'bench line', kmes: ['a', 'b', 'c'],
  links: [{ between: ['a', 'b'], rateBps: 400e6, qber: 0.02 }, { between: ['b', 'c'], rateBps: FAR_BPS, qber: 0.02 }],
  relayed: [{ between: ['a', 'c'], paths: 1, hybrid: false, stockBytes: WANTED_BYTES }],
}

/** The first keys of two SAEs, which open their association: the two KMEs agree on it. */
const meet = async (network: ProcessNetwork, from: string, to: string): Promise<void> => {
  for (let left = MEETINGS_MAX; ; left--) {
    const { why } = await network.exchange(from, to, 1)
    if (why === '') return
    if (left === 0) throw new Error(`keys of ${from} for ${to}: ${why}`)
    await pause(500)
  }
}

/** Until hardly anything more is relayed: the far link has no key left, and no KME relays. Then the delivery alone is measured, of both pools by the same processes. */
const relayIsOver = async (network: ProcessNetwork): Promise<void> => {
  let before = -1
  for (const endMs = systemClock.monoMs() + REST_MS; systemClock.monoMs() < endMs;) {
    await pause(1_000)
    const now = booked(await network.sample(), 'a', 'relay:kme-c', 'ingested')
    if (now - before < SETTLED_BYTES) return
    before = now
  }
  throw new Error(`the relay did not come to rest within ${REST_MS / 1_000} s`)
}

/** One key a request, from the pool with C over B against the pool with B, in one run. */
export const encRelayed = async ({ pairs, sliceMs }: { readonly pairs: number, readonly sliceMs: number }): Promise<Figure> => {
  const network = await ProcessNetwork.start(line, { isDirect: true, keepAliveMs: 5_000 })
  const loads: Load[] = []
  try {
    await network.ready()
    for (const endMs = systemClock.monoMs() + FILL_MS; systemClock.monoMs() < endMs; await pause(500)) {
      const stock = (await network.sample()).find(({ kme }) => kme === 'a')?.stock ?? {}
      if ((stock['kme-b'] ?? 0) >= LINK_BYTES && (stock['relay:kme-c'] ?? 0) >= RELAYED_BYTES) break
    }
    for (const to of ['c', 'b']) await meet(network, 'a', to)
    for (const { between: [a, b] } of line.links) await network.fault({ slow: [a, b], rate: SLOW, at: 0 })
    await relayIsOver(network)
    const [relayed, direct] = ['c', 'b'].map((slave) => {
      const load = new Load({ ...network.door('a'), connections: ENC_CONNECTIONS, core: -1 }), requests = [get(`/api/v1/keys/sae-${slave}/enc_keys`)]
      loads.push(load)
      return async (durationMs: number): Promise<number> => {
        const result = await load.slice({ requests, durationMs }), fault = faultOf(result), good = result.statuses['200'] ?? 0
        if (good * 100 < result.answers * 99 || good === 0) throw new Error(`keys for ${slave}: ${fault === '' ? 'no answers' : fault}`)
        return requestsPerS(result)
      }
    }) as [(durationMs: number) => Promise<number>, (durationMs: number) => Promise<number>]
    for (const slice of [relayed, direct]) await slice(sliceMs) // The first requests wait until the association is open, and the compiler for them.
    const out = await runPairs(pairs, () => relayed(sliceMs), () => direct(sliceMs))
    return ratioFigure('enc_keys, one key, relayed', 'requests/s', out, 0.95, `${ENC_CONNECTIONS} connections; baseline: the pool of a link in the same run`)
  } finally {
    for (const load of loads) load.close()
    await network.stop()
  }
}

// --- another way ---------------------------------------------------------------------------------------------------------

const LOOK_MS = 20
const STEADY_MS = 3_000, OUTAGE_MS = 15_000, HEALED_MS = 15_000
/** What decides how soon a dead line is found. */
const KEEP_ALIVE_MS = 250
const CUTS_MAX = 2
const ASK_MS = 25

/** Little enough for six KMEs and their devices on two cores: a relay that waits for a processor rests without any cut. */
const RING_BPS = 1.5e6

const ring: Scenario = {
  ...empty, name: 'bench ring', kmes: ['a', 'b', 'c', 'd', 'e', 'f'],
  links: (['ab', 'bc', 'cd', 'de', 'ef', 'fa'] as const).map((pair) => ({ between: [pair[0]!, pair[1]!], rateBps: RING_BPS, qber: 0.02 })),
  relayed: [{ between: ['a', 'c'], paths: 1, hybrid: false, stockBytes: 200_000_000 }],
}

/** Follows the relayed pool at A for `leastMs`, then until something has come again, at most `mostMs`. @returns its longest rest, in ms. */
const longestRest = async (network: ProcessNetwork, leastMs: number, mostMs: number): Promise<number> => {
  const look = async (): Promise<number> => booked(await network.sample(['a']), 'a', 'relay:kme-c', 'ingested')
  const startMs = systemClock.monoMs()
  let before = await look(), sinceMs = startMs, restMs = 0
  for (let nowMs = startMs; nowMs - startMs < mostMs;) {
    await pause(LOOK_MS)
    const now = await look()
    nowMs = systemClock.monoMs()
    if (now === before) continue
    restMs = Math.max(restMs, nowMs - sinceMs)
    before = now
    sinceMs = nowMs
    if (nowMs - startMs >= leastMs) return restMs
  }
  throw new Error(`nothing was relayed within ${mostMs} ms`)
}

/** @returns milliseconds from a cut of B - C until A has a block that came round the other side of the ring. */
const freshAfterCut = async (network: ProcessNetwork, mostMs: number): Promise<number> => {
  const look = async (): Promise<{ over: number, came: number }> => {
    const samples = await network.sample(['a', 'e'])
    return { over: booked(samples, 'e', 'kme-d', 'relay') + booked(samples, 'e', 'kme-f', 'relay'), came: booked(samples, 'a', 'relay:kme-c', 'ingested') }
  }
  const first = await look(), startMs = systemClock.monoMs()
  await network.fault({ partition: ['b', 'c'], at: 0 })
  for (let before = first, isOver = false; systemClock.monoMs() - startMs < mostMs;) {
    await pause(LOOK_MS)
    const now = await look()
    isOver ||= now.over > first.over
    if (isOver && now.came > before.came) return systemClock.monoMs() - startMs
    before = now
  }
  throw new Error(`nothing came another way within ${mostMs} ms`)
}

/** Two SAEs exchange keys all the time. @returns stops that, and says how many there were and what failed. */
const exchanges = (network: ProcessNetwork): (() => Promise<{ asked: number, failures: string[] }>) => {
  const open = new Set<Promise<void>>(), failures: string[] = []
  const startMs = systemClock.monoMs()
  let asked = 0, isOver = false
  const ask = async (from: string, to: string): Promise<void> => {
    asked++
    const { why } = await network.exchange(from, to, 1)
    if (why !== '') failures.push(`${from} to ${to} after ${Math.round((systemClock.monoMs() - startMs) / 100) / 10} s: ${why}`)
  }
  const run = async (): Promise<void> => {
    for (; !isOver; await pause(ASK_MS)) {
      const [from, to] = asked % 2 === 0 ? ['a', 'c'] as const : ['c', 'a'] as const
      const done: Promise<void> = ask(from, to).finally(() => { open.delete(done) })
      open.add(done)
    }
  }
  const running = run()
  return async () => {
    isOver = true
    await running
    await Promise.all(open)
    return { asked, failures }
  }
}

/** Until blocks go over B again: another cut of that line would break nothing before. */
const wayBack = async (network: ProcessNetwork): Promise<void> => {
  for (const endMs = systemClock.monoMs() + HEALED_MS; systemClock.monoMs() < endMs; await pause(250)) {
    if ((await network.hops())['a c'] === 2) return
  }
}

/** The line under the way of the blocks goes dead; they go round the other side of the ring. */
export const reroute = async ({ pairs }: { readonly pairs: number }): Promise<Figure[]> => {
  const network = await ProcessNetwork.start(ring, { keepAliveMs: KEEP_ALIVE_MS })
  let stop: ReturnType<typeof exchanges> = async () => ({ asked: 0, failures: [] })
  try {
    await network.ready()
    await Promise.all([meet(network, 'a', 'c'), meet(network, 'c', 'a')])
    stop = exchanges(network)
    const steadyMs = await longestRest(network, STEADY_MS, OUTAGE_MS)
    const rests: number[] = []
    for (let i = 0; i < Math.min(pairs, CUTS_MAX); i++) {
      rests.push(await freshAfterCut(network, OUTAGE_MS))
      await network.fault({ heal: ['b', 'c'], at: 0 })
      if (rests.length < pairs) await wayBack(network)
    }
    const { asked, failures } = await stop()
    return [
      valueFigure('reroute: from a cut to fresh key over another way', 'ms', rests, { atMost: 1_000 }, `ring of six, signs of life every ${KEEP_ALIVE_MS} ms; before, blocks came at most ${Math.round(steadyMs)} ms apart`),
      valueFigure('reroute: failed requests', 'requests', [failures.length], { atMost: 0 }, `of ${asked}, enc_keys and dec_keys each${failures.length === 0 ? '' : `: ${[...new Set(failures)].slice(0, 3).join('; ')}`}`),
    ]
  } finally {
    await stop()
    await network.stop()
  }
}
