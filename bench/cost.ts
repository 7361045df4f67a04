/**
 * CPU time per request: what counts on a machine that does other work, too. `node dist/bench/cost.js [row...] [--pairs n]`
 * loads a KME and the bare server in turn and prints microseconds of CPU (all threads, user and system) per request of
 * each, by the kernel's own account: the median, and the tenth that other work disturbed least. A ratio of 0.8 is a
 * throughput of 0.8 on a core of its own.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { quantile } from './figures.js'
import { createKeyIds, get, type Load, type SliceOptions } from './load.js'
import { collectIds } from './rows-rest.js'
import { BenchSite, LOAD_CORE, SERVER_CORE } from './site.js'

/** Time on a processor of all threads of a process, in microseconds. */
const cpuUs = (pid: number): number => readdirSync(`/proc/${pid}/task`)
  .reduce((sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1_000, 0)

interface Job {
  readonly connections: number
  readonly server: 'a' | 'b'
  readonly bare: 'bare' | 'bareStatus'
  readonly options: Partial<SliceOptions>
  readonly bareOptions?: Partial<SliceOptions>
  readonly keys: number
}

const dec = (connections: number): Job => ({
  connections, server: 'b', bare: 'bare', keys: 200_000,
  options: { requests: ['GET /api/v1/keys/sae-a-1/dec_keys?key_ID='], suffix: ' HTTP/1.1\r\nHost: localhost\r\n\r\n' },
  bareOptions: { requests: [get('/api/v1/keys/sae-a-1/dec_keys?key_ID=550e8400-e29b-41d4-a716-446655440000')] },
})
const enc = (connections: number, path = 'sae-b-1/enc_keys', keys = 200_000): Job =>
  ({ connections, server: 'a', bare: 'bare', keys, options: { requests: [get(`/api/v1/keys/${path}`)] } })

const jobs: Readonly<Record<string, Job>> = {
  enc: enc(32), enc128: enc(128), 'enc-local': enc(32, 'sae-a-2/enc_keys', 0), enc128keys: enc(32, 'sae-b-1/enc_keys?number=128', 1_500_000),
  dec32: dec(32), dec128: dec(128), status: { ...enc(32, 'sae-b-1/status'), bare: 'bareStatus' },
  connect: { ...enc(16), options: { requests: [get('/api/v1/keys/sae-b-1/enc_keys')], mode: 'connect' } },
}

const SLICES_MAX = 20

const measure = async (site: BenchSite, name: string, pairs: number): Promise<string> => {
  const job = jobs[name]!, sliceMs = 300, takes = name.startsWith('dec'), answersMin = name === 'enc128keys' ? 400 : name === 'connect' ? 200 : 3_000
  const server = site.kmes![job.server], bare = site.barePart(job.bare), ids = createKeyIds()
  const loads = { ours: site.load(job.server, job.connections), bare: site.load(job.bare, job.connections) }
  const slice = async (load: Load, pid: number, options: Partial<SliceOptions>, warm = false): Promise<number> => {
    const before = cpuUs(pid)
    let answers = 0, good = 0
    // Of few answers what the process does besides would be most.
    for (let i = 0; i < SLICES_MAX && answers < answersMin; i++) {
      const result = await load.slice({ durationMs: sliceMs, ...options })
      answers += result.answers
      good += result.statuses['200'] ?? 0
    }
    if (!warm && (answers - good) * 100 > answers) throw new Error(`${name}: ${answers - good} of ${answers} answers are not good`)
    return (cpuUs(pid) - before) / answers
  }
  const ours = async (warm = false): Promise<number> => {
    await site.fill(job.keys)
    if (takes) await collectIds(site, ids, 40 * sliceMs)
    return slice(loads.ours, server.pid, takes ? { ...job.options, take: ids } : job.options, warm)
  }
  const other = (): Promise<number> => slice(loads.bare, bare.pid, job.bareOptions ?? job.options)
  if (job.server === 'b') { site.kmes!.a.moveTo(LOAD_CORE); server.moveTo(SERVER_CORE) }
  await ours(true)
  await other()
  const found: { ours: number, bare: number }[] = []
  for (let i = 0; i < pairs; i++) found.push({ ours: await ours(), bare: await other() })
  if (job.server === 'b') { site.kmes!.a.moveTo(SERVER_CORE); server.moveTo(LOAD_CORE) }
  for (const load of Object.values(loads)) load.close()
  const of = (side: 'ours' | 'bare', part: number): number => quantile(found.map((f) => f[side]), part)
  const show = (part: number): string => `${of('ours', part).toFixed(1).padStart(7)} bare ${of('bare', part).toFixed(1).padStart(6)} ratio ${(of('bare', part) / of('ours', part)).toFixed(3)}`
  return `${name.padEnd(10)} us/request: least disturbed ${show(0.1)}   median ${show(0.5)}`
}

const given = process.argv.slice(2), at = given.indexOf('--pairs')
const pairs = at === -1 ? 15 : Number(given.splice(at, 2)[1])
const names = given.length > 0 ? given : Object.keys(jobs)
const site = await BenchSite.start()
try {
  for (const name of names) process.stdout.write(`${await measure(site, name, pairs)}\n`)
} finally { await site.stop() }
