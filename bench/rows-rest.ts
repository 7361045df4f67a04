/** Rows of the REST side against the bare server. KME A serves; its peer, the device and the load share the other core. */
import { ratioFigure, runPairs, valueFigure, median, type Figure } from './figures.js'
import { createKeyIds, faultOf, get, requestsPerS, type KeyIds, type Load, type SliceOptions, type SliceResult } from './load.js'
import { stolenMs } from './process.js'
import { LOAD_CORE, SERVER_CORE, type BenchSite } from './site.js'

export interface BenchContext {
  readonly site: BenchSite
  readonly pairs: number
  readonly sliceMs: number
}

export type Row = (bench: BenchContext) => Promise<Figure>

const encPath = '/api/v1/keys/sae-b-1/enc_keys'
const localPath = '/api/v1/keys/sae-a-2/enc_keys'
const enc = get(encPath)

/** Slices before the first pair: a KME in service has long compiled what a request runs, and compiling takes its core for seconds. */
const WARM_SLICES = 5

/** Collects answers that were not 200: they are told in the row's note, and a row with many of them fails. */
class Faults {
  private readonly seen: string[] = []
  private bad = 0
  private all = 0

  check (result: SliceResult): SliceResult {
    const fault = faultOf(result)
    this.all += result.answers
    this.bad += result.answers - (result.statuses['200'] ?? 0)
    if (fault !== '') this.seen.push(fault)
    if (this.bad * 100 > this.all || result.answers === 0) throw new Error(`more than 1 % of the answers are not good: ${this.seen.join('; ') || 'no answers'}`)
    return result
  }

  get note (): string { return this.seen.length === 0 ? '' : `; not all good: ${this.seen.slice(0, 3).join('; ')}` }
}

/** Pairs of slices on two sets of connections, each warmed up first. */
const pairsOf = async (bench: BenchContext, ours: Load, bare: Load, options: Partial<SliceOptions>, faults: Faults, prepare: () => Promise<void> = async () => {}) => {
  const slice = async (load: Load, durationMs: number): Promise<number> => requestsPerS(faults.check(await load.slice({ ...options, durationMs })))
  // Not judged: the first requests wait until the association is open, too.
  for (let i = 0; i < WARM_SLICES; i++) {
    await prepare()
    for (const load of [ours, bare]) await load.slice({ ...options, durationMs: bench.sliceMs })
  }
  const out = await runPairs(bench.pairs, async () => {
    await prepare()
    return slice(ours, bench.sliceMs)
  }, () => slice(bare, bench.sliceMs))
  for (const load of [ours, bare]) load.close()
  return out
}

const encRow = (name: string, path: string, stock: string): Row => async (bench) => {
  const { site } = bench, faults = new Faults()
  const local = path === localPath
  const pairs = await pairsOf(bench, site.load('a', 32), site.load('bare', 32), { requests: [get(path)] }, faults, () => local ? Promise.resolve() : site.fill(200_000))
  return ratioFigure(name, 'requests/s', pairs, 0.75, `32 connections, ${stock}${faults.note}`)
}

export const encOne = encRow('enc_keys, one key', encPath, 'stock of the link')
export const encOneLocal = encRow('enc_keys, one key, local pool', localPath, 'local pool')

/** Fills a queue of IDs that SAE B may fetch. */
export const collectIds = async (site: BenchSite, ids: KeyIds, wanted: number): Promise<void> => {
  const load = site.load('a', 4)
  try {
    for (let i = 0; i < 100 && ids.size() < wanted; i++) {
      await site.fill(200_000)
      const result = await load.slice({ requests: [get(`${encPath}?number=64`)], durationMs: 100, collect: ids })
      if (result.answers === 0) throw new Error('no keys to collect')
    }
  } finally { load.close() }
}

const decRow = (connections: number, target: number): Row => async (bench) => {
  const { site } = bench, faults = new Faults(), ids = createKeyIds()
  const { a, b } = site.kmes!
  const options = { requests: ['GET /api/v1/keys/sae-a-1/dec_keys?key_ID='], suffix: ' HTTP/1.1\r\nHost: localhost\r\n\r\n', take: ids }
  const bareIds = get('/api/v1/keys/sae-a-1/dec_keys?key_ID=550e8400-e29b-41d4-a716-446655440000')
  const ours = site.load('b', connections), bare = site.load('bare', connections)
  a.moveTo(LOAD_CORE)
  b.moveTo(SERVER_CORE)
  try {
    const need = Math.ceil(40 * bench.sliceMs)
    const slice = async (durationMs: number): Promise<number> => {
      await collectIds(site, ids, need)
      return requestsPerS(faults.check(await ours.slice({ ...options, durationMs })))
    }
    const fixed = async (durationMs: number): Promise<number> => requestsPerS(faults.check(await bare.slice({ requests: [bareIds], durationMs })))
    for (let i = 0; i < WARM_SLICES; i++) {
      await slice(bench.sliceMs)
      await fixed(bench.sliceMs)
    }
    const pairs = await runPairs(bench.pairs, () => slice(bench.sliceMs), () => fixed(bench.sliceMs))
    return ratioFigure(`dec_keys, one key, ${connections} connections`, 'requests/s', pairs, target, `stock of the link, KME B serves, each ID once${faults.note}`)
  } finally {
    ours.close()
    bare.close()
    a.moveTo(SERVER_CORE)
    b.moveTo(LOAD_CORE)
  }
}

export const decOne32 = decRow(32, 0.4)
export const decOne128 = decRow(128, 0.5)

/** Short slices, because each second takes 19 MB of key. */
export const encMany: Row = async ({ site, pairs, sliceMs }) => {
  const faults = new Faults(), load = site.load('a', 32), requests = [get(`${encPath}?number=128`)]
  const values: number[] = []
  for (let i = 0; i <= pairs; i++) {
    await site.fill(1_000_000)
    const result = faults.check(await load.slice({ requests, durationMs: sliceMs / 2 }))
    if (i > 0) values.push(requestsPerS(result) * 128)
  }
  load.close()
  return valueFigure('enc_keys, 128 keys', 'keys/s', values, { atLeast: 600_000 }, `32 connections, stock of the link${faults.note}`)
}

export const status: Row = async (bench) => {
  const faults = new Faults()
  await bench.site.fill(200_000)
  const pairs = await pairsOf(bench, bench.site.load('a', 32), bench.site.load('bareStatus', 32), { requests: [get('/api/v1/keys/sae-b-1/status')] }, faults)
  return ratioFigure('status', 'requests/s', pairs, 0.85, `32 connections${faults.note}`)
}

export const encConnect: Row = async (bench) => {
  const faults = new Faults()
  await bench.site.fill(200_000)
  const pairs = await pairsOf(bench, bench.site.load('a', 16), bench.site.load('bare', 16), { requests: [enc], mode: 'connect' }, faults)
  return ratioFigure('enc_keys, new TLS connection', 'requests/s', pairs, 0.9, `16 at a time, whole handshakes${faults.note}`)
}

/**
 * The maximum is measured first; then a fixed rate of half of it, for the KME and for the bare server in turn. Latency counts from when a
 * request was due. The bare server's own p99, and what the hypervisor took meanwhile, tell how much of it is the machine's.
 */
export const halfLoad: Row = async ({ site, pairs, sliceMs }) => {
  const faults = new Faults(), load = site.load('a', 32), bare = site.load('bare', 32)
  const most: number[] = []
  let stolen = 0
  await site.fill(200_000)
  for (const each of [load, bare]) await each.slice({ requests: [enc], durationMs: sliceMs })
  for (let i = 0; i < 5; i++) {
    await site.fill(200_000)
    most.push(requestsPerS(faults.check(await load.slice({ requests: [enc], durationMs: sliceMs }))))
  }
  const ratePerS = median(most) / 2
  const p99Ms = async (which: Load): Promise<number> => {
    const before = stolenMs()
    const result = faults.check(await which.slice({ requests: [enc], mode: 'open', ratePerS, durationMs: sliceMs }))
    stolen += stolenMs() - before
    return result.p99Us / 1_000
  }
  const found = await runPairs(pairs, async () => {
    await site.fill(200_000)
    return p99Ms(load)
  }, () => p99Ms(bare))
  for (const each of [load, bare]) each.close()
  const figure = valueFigure('enc_keys, p99 at half load', 'ms', found.map(({ value }) => value), { atMost: 2 },
    `${Math.round(ratePerS)} requests/s, 32 connections; baseline: the bare server at that rate; ${Math.round(stolen / found.length / 2)} ms of processor stolen per slice${faults.note}`)
  return { ...figure, baseline: median(found.map(({ baseline }) => baseline)) }
}
