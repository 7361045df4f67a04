import { timingSafeEqual } from 'node:crypto'
import type { KmeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import type { Body } from '../peer/messages.js'
import { hopsOfJob } from '../pool/hops.js'
import type { RelayCounters } from './counters.js'
import type { DeskPorts, RelayedPool } from './ports.js'
import { bytesIn, examine, isPassing, partsOfBytes, type Joined, type Share } from './share.js'
import { hopsOfWays, jobName } from './source.js'

interface Arriving { readonly id: Uint8Array, readonly bytes: number, readonly paths: readonly (readonly KmeId[])[], readonly shares: (Share | undefined)[], readonly cancel: Cancel, agreed: { readonly expected: Uint8Array[][], readonly joined: Joined } | undefined }

const areTags = (tags: readonly Uint8Array[], expected: readonly Uint8Array[]): boolean =>
  tags.length === expected.length && tags.every((tag, part) => timingSafeEqual(tag, expected[part]!))

/** The far end of jobs to one relayed pool: gathers shares, shows them to the source, and takes the block into stock when both have agreed. */
export class RelaySink {
  private readonly arriving = new Map<string, Arriving>()
  constructor (private readonly p: DeskPorts, private readonly pool: RelayedPool, private readonly counters: RelayCounters) {}

  /** Jobs with sealed shares in memory. */
  get sealedJobs (): number { return [...this.arriving.values()].filter((e) => e.agreed !== undefined || e.shares.some((s) => s !== undefined)).length }

  /** The source names a job and its paths: only shares that come over these are taken, each once. */
  onPlan (body: Body<'relayPlan'>): void {
    const { p, pool } = this, name = jobName(body.job)
    const ends = body.paths.every((path) => path[0] === pool.remote && path.at(-1) === p.self)
    const inner = body.paths.flatMap((path) => path.slice(1, -1))
    const awaited = ends && hopsOfJob(name) === hopsOfWays(body.paths) && new Set(inner).size === inner.length && body.paths.length === pool.paths && !this.arriving.has(name) &&
      this.parts + partsOfBytes(body.bytes) <= p.limits.arrivingMax && pool.hasRoom && !pool.hasJob(body.job)
    if (awaited) {
      const cancel = p.clock.after(p.limits.jobMs, () => { this.drop(name) })
      this.arriving.set(name, { id: Uint8Array.from(body.job), bytes: body.bytes, paths: body.paths, shares: new Array<Share | undefined>(body.paths.length).fill(undefined), agreed: undefined, cancel })
    }
    pool.send('relayPlanned', { job: body.job, awaited })
  }

  /** Parts that are under way or here: what they hold of memory is bounded. */
  private get parts (): number {
    let parts = 0
    for (const { bytes } of this.arriving.values()) parts += partsOfBytes(bytes)
    return parts
  }

  /** Whether a share of so many bytes would be taken: it was planned so, and is not here yet. */
  mayTake (job: Uint8Array, share: number, path: readonly KmeId[], bytes: number): boolean {
    const entry = this.arriving.get(jobName(job)), planned = entry?.paths[share]
    return entry !== undefined && planned !== undefined && bytes <= entry.bytes && entry.agreed === undefined && entry.shares[share] === undefined &&
      planned.length === path.length && planned.every((node, i) => node === path[i])
  }

  /** A share that `mayTake` allowed. */
  add (job: Uint8Array, index: number, share: Share): void {
    const entry = this.arriving.get(jobName(job))
    if (entry === undefined) return
    entry.shares[index] = share
    this.counters.arrivedBytes += bytesIn(share.frames)
    if (entry.shares.every((s) => s !== undefined)) this.complete(entry, entry.shares as Share[])
  }

  private complete (entry: Arriving, shares: Share[]): void {
    const { p, pool } = this
    const exchange = pool.hybrid ? p.hybrid?.current(pool.remote) : null
    if (exchange === undefined) { this.refuse(entry, 'no hybrid exchange'); return }
    try {
      const challenge = p.random.bytes(16), { tags, expected, joined } = examine(p, pool, entry.id, shares, exchange, challenge, 1)
      entry.agreed = { expected, joined }
      this.giveShares(entry)
      if (!pool.send('relayArrived', { job: entry.id, tags, exchange, challenge })) this.drop(jobName(entry.id))
    } catch (error) {
      if (!isPassing(error)) throw error
      this.refuse(entry, 'no room for the shares, or one does not open')
    }
  }

  /** The source has the same bits, and shows it. */
  onJoin (body: Body<'relayJoin'>): void {
    const entry = this.arriving.get(jobName(body.job))
    if (entry?.agreed === undefined) return // Too late: what is joined there finds no match here, and both sides burn it.
    const { expected, joined } = entry.agreed
    entry.agreed = undefined
    this.drop(jobName(body.job))
    if (body.tags.length !== expected.length || body.tags.some((tags, i) => !areTags(tags, expected[i]!))) {
      this.p.security('relay.confirmation', this.pool.remote, 'the source of a job confirmed it with a wrong tag')
      return
    }
    this.counters.arrivedJobs++
    this.pool.ingest(joined.records, joined.meta, joined.count, () => {})
    this.p.memory.give(joined.records)
  }

  /** A share that was planned will not come, say the nodes of its way; without it there is no block. */
  onCancel ({ job, share, path }: Body<'relayCancel'>): void { if (this.mayTake(job, share, path, 0)) this.drop(jobName(job)) }

  onRefused (body: Body<'relayRefused'>): void {
    if (body.wrong.length > 0) this.p.security('relay.lyingPath', this.pool.remote, `the source of a job says that ${body.wrong.length} of its paths changed bits`)
    this.drop(jobName(body.job))
  }

  private refuse (entry: Arriving, reason: string): void {
    this.pool.send('relayRefused', { job: entry.id, wrong: [], reason })
    this.drop(jobName(entry.id))
  }

  private drop (name: string): void {
    const entry = this.arriving.get(name)
    if (entry === undefined) return
    entry.cancel()
    this.arriving.delete(name)
    this.giveShares(entry)
    if (entry.agreed !== undefined) this.p.memory.give(entry.agreed.joined.records)
  }

  private giveShares (entry: Arriving): void {
    for (const share of entry.shares) if (share !== undefined) this.p.memory.give(share.memory)
    entry.shares.fill(undefined)
  }

  stop (): void { for (const name of [...this.arriving.keys()]) this.drop(name) }
}
