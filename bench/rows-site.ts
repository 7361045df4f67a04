/** Rows of a whole site under stress: a link that is ingested, a client that never reads, many SAEs and much stock. */
import { median, ratioFigure, runPairs, valueFigure, type Figure } from './figures.js'
import { faultOf, get, requestsPerS, type Load, type SliceResult } from './load.js'
import type { BenchContext } from './rows-rest.js'
import { BenchSite } from './site.js'

const MIB = 2 ** 20
const FLOOD_REQUESTS = 40_000
const OTHERS_PER_S = 2_000
const enc = get('/api/v1/keys/sae-b-1/enc_keys')

const good = (result: SliceResult): SliceResult => {
  const fault = faultOf(result)
  if ((result.statuses['200'] ?? 0) < result.answers * 0.99 || result.answers === 0) throw new Error(fault || 'no answers')
  return result
}

/** Full load with and without a device at the rate of the record link. Peer and device share the core of the load. */
export const ingestUnderLoad = async ({ site, pairs, sliceMs }: BenchContext): Promise<Figure> => {
  const load = site.load('a', 32)
  const slice = async (): Promise<number> => requestsPerS(good(await load.slice({ requests: [enc], durationMs: sliceMs })))
  await site.fill(400_000)
  await load.slice({ requests: [enc], durationMs: sliceMs })
  const found = await runPairs(pairs, async () => {
    await site.deviceAt('115.8M')
    try { return await slice() } finally { await site.stopDevice(); await site.settle() }
  }, async () => { await site.fill(400_000); return slice() })
  load.close()
  return ratioFigure('enc_keys beside 115.8 Mbit/s', 'requests/s', found, 0.92, 'baseline: the same without a device; the other KME and the device take from the core of the load')
}

/** One client pipelines and never reads; another one asks at a fixed rate. */
export const neverReads = async ({ site, pairs, sliceMs }: BenchContext): Promise<Figure[]> => {
  await site.fill(400_000)
  const other = site.load('a', 8, 'sae-a-2')
  const { a } = site.kmes!
  const calm = async (): Promise<number> => good(await other.slice({ requests: [enc], mode: 'open', ratePerS: OTHERS_PER_S, durationMs: sliceMs })).p99Us / 1_000
  await other.slice({ requests: [enc], durationMs: sliceMs })
  const grownMib: number[] = [], fallenMib: number[] = [], requests: number[] = []
  const flood = async (flooder: Load): Promise<void> => {
    requests.push((await flooder.slice({ requests: [enc], mode: 'flood', requestsMax: FLOOD_REQUESTS, durationMs: sliceMs })).sent)
  }
  for (let i = 0; i < 3; i++) {
    const before = a.memoryBytes(), stock = await site.stockBytes(), flooder = site.load('a', 1)
    await flood(flooder)
    grownMib.push((a.memoryBytes() - before) / MIB)
    fallenMib.push((stock - await site.stockBytes()) / MIB)
    flooder.close()
  }
  const found = await runPairs(pairs, async () => {
    const flooder = site.load('a', 1)
    const [p99] = await Promise.all([calm(), flood(flooder)])
    flooder.close()
    return p99
  }, calm)
  other.close()
  const ratio = ratioFigure('  p99 of another SAE', 'ms', found, 2, `${OTHERS_PER_S} requests/s; baseline: without the first client`)
  const note = `${Math.round(median(requests))} requests written of ${FLOOD_REQUESTS}`
  return [
    valueFigure('never reads: memory grows', 'MiB', grownMib, { atMost: 32 }, note),
    valueFigure('  stock falls', 'MiB', fallenMib, { atMost: 1 }, note),
    { ...ratio, target: 'ratio <= 2', reached: (ratio.ratio ?? Infinity) <= 2 },
  ]
}

const MASTERS = 16
const SLAVES_EACH = 63

/** Opens the associations of many masters with many slaves at the other site. */
const associate = async (site: BenchSite): Promise<void> => {
  for (let m = 0; m < MASTERS; m++) {
    const id = `sae-a-more-${m}`
    await site.issueSae(id)
    const load = site.load('a', 1, id)
    const requests = Array.from({ length: SLAVES_EACH }, (_, n) => get(`/api/v1/keys/sae-b-more-${m * SLAVES_EACH + n}/enc_keys`))
    good(await load.slice({ requests, durationMs: 1_000 }))
    load.close()
  }
}

/** A site with much of everything against a small one; both run, one is asked at a time. */
export const much = (keys: number) => async ({ pairs, sliceMs }: BenchContext): Promise<Figure> => {
  const sites: BenchSite[] = []
  try {
    const big = await BenchSite.start({ moreSaes: 5_000, maxKeyCount: keys * 2.2 }), small = await BenchSite.start()
    sites.push(big, small)
    await small.fill(400_000)
    await big.fill(keys, 900_000)
    await associate(big)
    const loads = [big.load('a', 32), small.load('a', 32)] as const
    const slice = async (load: Load): Promise<number> => requestsPerS(good(await load.slice({ requests: [enc], durationMs: sliceMs })))
    for (const load of loads) await load.slice({ requests: [enc], durationMs: sliceMs })
    const found = await runPairs(pairs, () => slice(loads[0]), async () => { await small.fill(400_000); return slice(loads[1]) })
    return ratioFigure('10,000 SAEs and much stock', 'requests/s', found, 0.9, `${MASTERS * SLAVES_EACH} associations, ${keys} keys in the lane; baseline: 4 SAEs, a small stock`)
  } finally { await Promise.all(sites.map((site) => site.stop())) }
}

const GIB_KEYS = 2 ** 30 / 32
const MINUTES = 5

/** Anonymous and locked memory of a KME with a GiB of key in stock, at the start of a load and over its minutes. */
export const memory = async (): Promise<Figure[]> => {
  const site = await BenchSite.start({ maxKeyCount: GIB_KEYS * 1.1 })
  try {
    await site.fill(GIB_KEYS / 2 * 0.98, 1_800_000)
    const load = site.load('a', 32), usedMib: number[] = []
    for (let s = 0; s < MINUTES * 60; s += 10) {
      good(await load.slice({ requests: [enc], durationMs: 10_000 }))
      usedMib.push(site.kmes!.a.memoryBytes() / MIB)
    }
    const half = usedMib.length / 2, growth = median(usedMib.slice(half)) - median(usedMib.slice(0, half))
    const note = `about a GiB of key in both lanes, ${MINUTES} minutes of enc_keys; RssAnon plus VmLck`
    return [valueFigure('memory with 1 GiB of key', 'MiB', usedMib, { atMost: 250 }, note), valueFigure('  growth, second half of the load', 'MiB', [growth], { atMost: 10 }, note)]
  } finally { await site.stop() }
}
