import { timingSafeEqual } from 'node:crypto'
import { KmeError } from '../kernel/errors.js'
import type { Cancel } from '../kernel/time.js'
import type { Body } from '../peer/messages.js'
import type { RelayCounters } from './counters.js'
import type { RelayPorts, RelayedPool } from './ports.js'
import { examine, type Joined, type Share } from './share.js'
import { jobName } from './source.js'

interface Arriving { readonly id: Uint8Array, readonly shares: (Share | undefined)[], readonly cancel: Cancel, agreed: { readonly expected: Uint8Array[], readonly joined: Joined } | undefined }

/** The far end of jobs to one relayed pool: gathers shares, shows them to the source, and takes the block into stock when both have agreed. */
export class RelaySink {
  private readonly arriving = new Map<string, Arriving>()
  constructor (private readonly p: RelayPorts, private readonly pool: RelayedPool, private readonly counters: RelayCounters) {}

  get jobsUnderWay (): number { return this.arriving.size }

  /** Whether a share would be taken. Asked before its pads are spent. */
  mayTake (job: Uint8Array, share: number, shares: number): boolean {
    const known = this.arriving.get(jobName(job))
    if (!this.pool.isReady || shares !== this.pool.paths || this.pool.hasJob(job)) return false
    return known === undefined ? this.arriving.size < this.p.limits.arrivingMax : known.shares.length === shares && known.shares[share] === undefined
  }

  add (job: Uint8Array, index: number, shares: number, share: Share): void {
    const name = jobName(job)
    let entry = this.arriving.get(name)
    if (entry === undefined) {
      const id = Uint8Array.from(job)
      entry = { id, shares: new Array<Share | undefined>(shares).fill(undefined), agreed: undefined, cancel: this.p.clock.after(this.p.limits.jobMs, () => { this.drop(name) }) }
      this.arriving.set(name, entry)
    }
    entry.shares[index] = share
    this.counters.arrivedBytes += share.frames.reduce((sum, n) => sum + n, 0)
    if (entry.shares.every((s) => s !== undefined)) this.complete(entry, entry.shares as Share[])
  }

  private complete (entry: Arriving, shares: Share[]): void {
    const { p, pool } = this
    const exchange = pool.hybrid ? p.hybrid?.current(pool.remote) : null
    if (exchange === undefined) { this.refuse(entry, 'no hybrid exchange'); return }
    try {
      const { tags, expected, joined } = examine(p, pool, entry.id, shares, exchange, 1)
      entry.agreed = { expected, joined }
      entry.shares.fill(undefined)
      if (!pool.send('relayArrived', { job: entry.id, tags, exchange })) this.drop(jobName(entry.id))
    } catch (error) {
      if (!(error instanceof KmeError)) throw error
      this.refuse(entry, error.code === 'ARENA_FULL' ? 'no room for the shares' : 'a share does not open')
    }
  }

  /** The source has the same bits, and shows it. */
  onJoin (body: Body<'relayJoin'>): void {
    const entry = this.arriving.get(jobName(body.job))
    if (entry?.agreed === undefined) return // Too late: what is joined there finds no match here, and both sides burn it.
    const { expected, joined } = entry.agreed
    this.drop(jobName(body.job))
    if (body.tags.length !== expected.length || body.tags.some((tag, i) => !timingSafeEqual(tag, expected[i]!))) {
      this.p.security('relay.confirmation', this.pool.remote, 'the source of a job confirmed it with a wrong tag')
      return
    }
    this.counters.arrivedJobs++
    this.pool.ingest(joined.records, joined.meta, joined.count, () => {})
  }

  onRefused (body: Body<'relayRefused'>): void {
    if (body.wrong.length > 0) this.p.security('relay.lyingPath', this.pool.remote, `the source of a job says that ${body.wrong.length} of its paths changed bits`)
    this.drop(jobName(body.job))
  }

  private refuse (entry: Arriving, reason: string): void {
    this.pool.send('relayRefused', { job: entry.id, wrong: [], reason })
    this.drop(jobName(entry.id))
  }

  private drop (name: string): void {
    this.arriving.get(name)?.cancel()
    this.arriving.delete(name)
  }

  stop (): void { for (const name of [...this.arriving.keys()]) this.drop(name) }
}
