/**
 * Where the time of a KME goes under load: `node dist/bench/profile.js <enc|enc-local|dec|status|ingest> [seconds] [half]` prints the functions
 * with the most time of their own (V8's sampling profiler; native code counts for whoever called it). `ingest`: the link brings 115.8 Mbit/s,
 * and nobody asks for anything. Turns of the loop above a millisecond are listed besides; with `half` the load is half of the greatest, at a fixed rate.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createKeyIds, get, requestsPerS, type SliceResult } from './load.js'
import { collectIds } from './rows-rest.js'
import { BenchSite, LOAD_CORE, SERVER_CORE } from './site.js'
import { longTurns, nameOf, type Profile } from './turns.js'

const SHOWN = 40
const LONG_TURN_US = 1_000
/** V8 stamps its samples with the monotonic clock. */
const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n)

const paths: Readonly<Record<string, string>> = {
  enc: '/api/v1/keys/sae-b-1/enc_keys', 'enc-local': '/api/v1/keys/sae-a-2/enc_keys', status: '/api/v1/keys/sae-b-1/status',
}

const ingest = async (site: BenchSite, durationMs: number): Promise<Driven> => {
  await site.deviceAt('115.8M')
  await sleep(durationMs) // Warms up.
  const fromUs = nowUs()
  await sleep(durationMs)
  return { window: [fromUs, nowUs()], result: undefined }
}

interface Driven { readonly window: readonly [number, number], readonly result: SliceResult | undefined }

const drive = async (site: BenchSite, what: string, durationMs: number, isHalf: boolean): Promise<Driven> => {
  if (what === 'ingest') return ingest(site, durationMs)
  if (what !== 'dec') {
    const load = site.load('a', 32), requests = [get(paths[what] ?? '')]
    let most: SliceResult | undefined
    for (let i = 0; i < (isHalf ? 4 : 1); i++) most = await load.slice({ requests, durationMs: 1_000 }) // Warms up.
    const fromUs = nowUs(), result = await load.slice({ requests, durationMs, ...(isHalf ? { mode: 'open', ratePerS: requestsPerS(most!) / 2 } as const : {}) })
    return { window: [fromUs, nowUs()], result }
  }
  const ids = createKeyIds(), load = site.load('b', 32)
  await collectIds(site, ids, 50 * durationMs)
  site.kmes!.a.moveTo(LOAD_CORE)
  site.kmes!.b.moveTo(SERVER_CORE)
  const fromUs = nowUs()
  const result = await load.slice({ requests: ['GET /api/v1/keys/sae-a-1/dec_keys?key_ID='], suffix: ' HTTP/1.1\r\nHost: localhost\r\n\r\n', take: ids, durationMs })
  return { window: [fromUs, nowUs()], result }
}

/** Own time by function within a window, in parts of one. */
const ownTime = (profile: Profile, [fromUs, toUs]: readonly [number, number]): [string, number][] => {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  const own = new Map<string, number>()
  let atUs = profile.startTime, sum = 0
  profile.samples.forEach((id, i) => {
    const delta = profile.timeDeltas[i] ?? 0
    atUs += delta
    if (atUs < fromUs || atUs > toUs) return
    const name = names.get(id) ?? '?'
    own.set(name, (own.get(name) ?? 0) + delta)
    sum += delta
  })
  return [...own].map(([name, us]): [string, number] => [name, us / sum]).sort((a, b) => b[1] - a[1])
}

const main = async (what: string, seconds: number, isHalf: boolean): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-profile-'))
  const site = await BenchSite.start({ node: ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=250'] })
  try {
    if (what !== 'ingest') await site.fill(500_000)
    const { window, result } = await drive(site, what, seconds * 1_000, isHalf)
    const { pid } = site.kmes![what === 'dec' ? 'b' : 'a']
    await site.stop()
    // Threads write profiles of their own: the main thread's file says thread 0.
    const file = readdirSync(folder).find((name) => name.includes(`.${pid}.0.`))
    if (file === undefined) throw new Error(`no profile of process ${pid} in ${readdirSync(folder).join(', ')}`)
    if (result !== undefined) process.stdout.write(`${what}: ${Math.round(requestsPerS(result))} requests/s, p99 ${Math.round(result.p99Us)} us, ${JSON.stringify(result.statuses)}\n`)
    const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Profile
    for (const [name, part] of ownTime(profile, window).slice(0, SHOWN)) process.stdout.write(`${(part * 100).toFixed(1).padStart(6)} %  ${name}\n`)
    for (const turns of longTurns(profile, window, LONG_TURN_US).slice(0, SHOWN)) process.stdout.write(`${`${turns.count}`.padStart(6)} turns above 1 ms, longest ${(turns.longestUs / 1_000).toFixed(1)} ms: ${turns.what}\n`)
  } finally {
    await site.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main(process.argv[2] ?? 'enc', Number(process.argv[3] ?? 3), process.argv[4] === 'half')
