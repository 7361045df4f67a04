import { timingSafeEqual } from 'node:crypto'
import type { KmeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import type { Body, RelayFailure } from '../peer/messages.js'
import { markHops } from '../pool/hops.js'
import type { PadPlace } from '../pool/relay-access.js'
import { nameOf, type Allotment } from './allotment.js'
import { Avoid } from './avoid.js'
import type { RelayCounters } from './counters.js'
import { takeShare } from './pads.js'
import type { DeskPorts, NeighbourLane, RelayedPool } from './ports.js'
import { bytesIn, examine, FRAME_BYTES_MAX, isPassing, PART_BYTES_MIN, partsOfBytes, type Share, type Verdict } from './share.js'
import { JobWindow } from './window.js'

/** Less is not worth its confirmation. */
const JOB_BYTES_MIN = 4_096
const REASON_MAX = 200
/** A job whose way broke behind its bits may still be confirmed, over the channel between the two ends, for so long. */
const STRANDED_MS = 500
interface Job {
  readonly id: Uint8Array
  readonly paths: readonly (readonly KmeId[])[]
  /** Of each share: what every node of every path can give. */
  bytes: number
  /** Empty until the leases are there. */
  readonly shares: Share[]
  /** The other end awaits it. */
  isPlanned: boolean
  /** Nodes keep something for it. */
  isAsked: boolean
  /** Paths on which every node has said that the job may come. */
  readonly ready: Set<number>
  /** Its way broke after its bits had gone: it holds no place among the jobs under way. */
  isStranded: boolean
  cancel: Cancel
}

export const jobName = (id: Uint8Array): string => Buffer.from(id).toString('hex')

/** Links of the longest of the ways of a job. */
export const hopsOfWays = (paths: readonly (readonly KmeId[])[]): number => Math.max(...paths.map((path) => path.length - 1))

const samePath = (a: readonly KmeId[] | undefined, b: readonly KmeId[]): boolean => a !== undefined && a.length === b.length && a.every((node, i) => node === b[i])

/**
 * Fills one relayed pool from this end: takes bits out of our lanes with neighbours, sends them on their ways, and takes them into
 * stock when the other end has confirmed each share. A job whose fate is uncertain is burned; its bits never go out again.
 */
export class RelaySource {
  private readonly jobs = new Map<string, Job>()
  private readonly avoid: Avoid
  private readonly window: JobWindow
  /** Why nothing is relayed just now, for operators; '' if nothing is wrong. */
  note = ''

  constructor (private readonly p: DeskPorts, private readonly pool: RelayedPool, private readonly allotment: Allotment, private readonly counters: RelayCounters) {
    this.avoid = new Avoid(p.clock, p.limits)
    this.window = new JobWindow(p.clock, p.limits.jobsMax)
  }

  /** Jobs with sealed shares in memory. */
  get sealedJobs (): number { return [...this.jobs.values()].filter((job) => job.shares.length > 0).length }

  /** Begins jobs while the pool wants more than is under way. */
  tick (): void {
    const { limits } = this.p
    let underWay = 0, parts = 0
    for (const { bytes, isStranded } of this.jobs.values()) {
      if (isStranded) continue
      underWay += bytes
      parts += partsOfBytes(bytes)
    }
    while (this.pool.isReady && parts < this.window.parts) {
      const lacking = this.pool.wantedBytes() - underWay
      if (lacking <= 0) { if (this.jobs.size === 0) this.note = ''; return }
      const bytes = this.begin(Math.min(limits.framesPerJob * FRAME_BYTES_MAX, Math.max(JOB_BYTES_MIN, lacking)))
      if (bytes === 0) return
      underWay += bytes
      parts += partsOfBytes(bytes)
    }
  }

  /** @returns bytes of the job that was begun, or 0. */
  private begin (bytesMax: number): number {
    const { p, pool } = this
    if (this.window.isResting) return 0
    const paths = p.routes.paths(pool.remote, { disjoint: pool.paths, excludeHops: this.avoid.excludedHops, avoid: this.avoid.avoided })
    if (typeof paths === 'string') { this.note = paths; return 0 }
    if (pool.hybrid && p.hybrid?.current(pool.remote) === undefined) { this.note = `no hybrid exchange with ${pool.remote} yet`; return 0 }
    const bytes = Math.min(...paths.map((path) => this.allotment.offer(p.self, path[1]!, path, bytesMax)))
    if (bytes < JOB_BYTES_MIN) { this.note = 'too little key with the first node of the way'; return 0 }
    const id = markHops(p.random.bytes(16), hopsOfWays(paths))
    const job: Job = { id, paths, bytes, shares: [], isPlanned: false, isAsked: false, ready: new Set(), isStranded: false, cancel: p.clock.after(p.limits.jobMs, () => { this.late(id) }) }
    this.jobs.set(jobName(id), job)
    paths.forEach((path, share) => { this.allotment.promises.make(nameOf({ job: id, share, path }), '', path[1]!, bytes) })
    this.counters.jobs++
    this.note = ''
    if (!pool.send('relayPlan', { job: id, bytes, paths: paths.map((path) => [...path]) })) this.fail(job, `the channel to ${pool.remote} takes nothing now`)
    return this.jobs.has(jobName(id)) ? bytes : 0
  }

  /** The other end awaits the job over these paths, and over no others. */
  onPlanned (body: Body<'relayPlanned'>): void {
    const job = this.jobs.get(jobName(body.job))
    if (job === undefined || job.isPlanned) return
    job.isPlanned = true
    if (body.awaited) this.ask(job)
    else this.fail(job, `${this.pool.remote} takes no block now`, [], true)
  }

  /** Nothing is spent before every node of every path has set its part aside. */
  private ask (job: Job): void {
    job.isAsked = true
    for (const [share, path] of job.paths.entries()) {
      const sent = this.laneOf(path)?.send('relayAsk', { job: job.id, path: [...path], hop: 1, share, shares: job.paths.length, bytes: job.bytes }) === true
      if (!sent) { this.fail(job, `${path[1]!} takes no job now`); return }
    }
  }

  onReady (body: Body<'relayReady'>): void {
    const job = this.jobs.get(jobName(body.job))
    if (job === undefined || !samePath(job.paths[body.share], body.path) || job.shares.length > 0 || job.ready.has(body.share)) return
    job.bytes = Math.min(job.bytes, body.bytes)
    if (job.bytes < PART_BYTES_MIN) { this.fail(job, `${body.path[1]!} has nothing to give`); return }
    job.ready.add(body.share)
    if (job.ready.size === job.paths.length) this.lease(job)
  }

  private laneOf (path: readonly KmeId[]): NeighbourLane | undefined { return this.p.neighbour(path[1]!) }

  /** Waits until each first lane has leased the job's bytes; the job's time bounds it. */
  private lease (job: Job): void {
    if (!this.jobs.has(jobName(job.id)) || job.shares.length > 0) return
    for (const path of job.paths) {
      const lane = this.laneOf(path)
      if (lane?.access.isReady !== true) { this.fail(job, `${path[1]!} is not connected`); return }
      if (lane.access.leasedBytes >= job.bytes) continue
      lane.access.lease(job.bytes, () => { this.lease(job) })
      return
    }
    this.send(job)
  }

  private send (job: Job): void {
    const { p, pool } = this
    const messages: { lane: NeighbourLane, pads: PadPlace[], path: readonly KmeId[], share: Share }[] = []
    try {
      for (const path of job.paths) {
        const lane = this.laneOf(path)!
        const { share, pads } = takeShare(p, lane.access, pool, job.id, path, job.bytes)
        this.allotment.promises.end(nameOf({ job: job.id, share: job.shares.length, path }))
        this.allotment.used(p.self, path[1]!, path, job.bytes)
        job.shares.push(share)
        messages.push({ lane, pads, path, share })
      }
    } catch (error) {
      if (!isPassing(error)) throw error
      this.fail(job, 'no room for the shares')
      return
    }
    for (const [index, { lane, pads, path, share }] of messages.entries()) {
      if (lane.send('relay', this.message(job, index, path, share, pads))) continue
      this.fail(job, `${path[1]!} takes no job now`)
      return
    }
  }

  private message (job: Job, index: number, path: readonly KmeId[], share: Share, pads: PadPlace[]): Body<'relay'> {
    return { job: job.id, path: [...path], hop: 1, share: index, shares: job.paths.length, frames: [...share.frames], pads: pads.map((pad) => ({ ...pad })), data: new Uint8Array(0) }
  }

  // --- what comes back ----------------------------------------------------------------------------------------------

  /** The other end has all shares, and shows by its tags that they are ours. */
  onArrived (body: Body<'relayArrived'>): void {
    const job = this.jobs.get(jobName(body.job))
    if (job === undefined || job.shares.length !== body.tags.length) { this.pool.send('relayRefused', { job: body.job, wrong: [], reason: 'no such job, or not any more' }); return }
    const verdict = this.examine(job, body)
    if (verdict === undefined) return
    if (body.tags.some((tags, i) => tags.length !== verdict.expected[i]!.length)) { this.fail(job, 'the two ends have shares of different length'); return }
    const wrong = body.tags.flatMap((tags, i) => tags.every((tag, part) => timingSafeEqual(tag, verdict.expected[i]![part]!)) ? [] : [i])
    if (wrong.length > 0) { this.onLie(job, wrong); return }
    this.end(job)
    this.window.went(partsOfBytes(job.bytes))
    for (const path of job.paths) this.avoid.forgive(path)
    const { records, meta, count } = verdict.joined
    // Before our proposals: the other end must have the frames when it sees them named.
    if (!this.pool.send('relayJoin', { job: job.id, tags: verdict.tags })) { this.lose(job, 'the confirmation could not be sent'); return }
    this.counters.jobsDone++
    this.pool.ingest(records, meta, count, () => { this.tick() })
    this.p.memory.give(records)
  }

  private examine (job: Job, { exchange, challenge }: Body<'relayArrived'>): Verdict | undefined {
    const { p, pool } = this
    if ((exchange !== null) !== pool.hybrid || (exchange !== null && p.hybrid?.has(pool.remote, exchange) !== true)) {
      this.fail(job, 'the two ends do not agree on the hybrid exchange')
      return undefined
    }
    try {
      return examine(p, pool, job.id, job.shares, exchange, challenge, 2)
    } catch (error) {
      if (!isPassing(error)) throw error
      this.fail(job, 'no room for the shares, or one does not open')
      return undefined
    }
  }

  /** A node of these paths changed bits: the job is given up, and the paths are named. */
  private onLie (job: Job, wrong: number[]): void {
    for (const i of wrong) this.accuse(job.paths[i]!)
    this.fail(job, 'shares differ', wrong)
  }

  /** The other end says that it gives the job up. */
  onRefused (body: Body<'relayRefused'>): void {
    const job = this.jobs.get(jobName(body.job))
    if (job !== undefined) this.fail(job, body.reason, [], true)
  }

  private accuse (path: readonly KmeId[]): void {
    this.counters.lyingPaths++
    for (const node of path.slice(1, -1)) this.avoid.node(node)
    this.avoid.hop(path[0]!, path[1]!)
    this.p.security('relay.lyingPath', this.pool.remote, `bits were changed on the way ${path.join(' - ')}; none of them became key`)
  }

  /** A node on the way could not. */
  onFailed (body: Body<'relayFailed'>): void {
    const job = this.jobs.get(jobName(body.job))
    const path = job?.paths[body.share]
    if (job === undefined || path === undefined || !samePath(path, body.path)) return
    this.blame(path, body.at, body.cause)
    if (body.cause === 'unroutable') this.giveUp(job, `${body.at}: ${body.cause}`) // That link is left out for a while: it is no shortage.
    else this.fail(job, `${body.at}: ${body.cause}`)
  }

  private blame (path: readonly KmeId[], at: KmeId, cause: RelayFailure): void {
    const i = path.indexOf(at)
    if (i < 0) return
    const next = path[i + 1]
    if (cause === 'stock' || cause === 'busy') { // The way is good, and full: fewer jobs, and elsewhere if there is an elsewhere.
      if (next !== undefined) this.avoid.node(at)
      return
    }
    if (cause === 'unroutable' && next !== undefined) this.avoid.hop(at, next)
    else if (i > 0 && next === undefined) this.avoid.hop(path[i - 1]!, at)
    else this.avoid.node(at)
  }

  /**
   * The network has changed. A job over a way that is broken now is given up before any bit of it is spent; one whose bits have gone has a
   * moment left, because they may have arrived. Either way what comes later finds no such job, and its bits are used by nobody.
   */
  rerouted (): void {
    for (const job of [...this.jobs.values()]) {
      const broken = job.isStranded ? undefined : job.paths.find((path) => this.p.routes.isBroken(path))
      if (broken === undefined) continue
      const why = `the way ${broken.join(' - ')} is broken`
      if (job.shares.length === 0) { this.giveUp(job, why); continue }
      job.cancel()
      job.isStranded = true
      job.cancel = this.p.clock.after(STRANDED_MS, () => { this.giveUp(job, why) })
    }
    this.tick()
  }

  private late (id: Uint8Array): void {
    const job = this.jobs.get(jobName(id))
    if (job === undefined) return
    // Somebody is silent: on the paths that gave no answer, or, when all did, on any of them.
    const silent = job.shares.length > 0 ? job.paths : job.isPlanned ? job.paths.filter((_, share) => !job.ready.has(share)) : []
    for (const path of silent) for (const node of path.slice(1, -1)) this.avoid.node(node)
    this.fail(job, 'no answer in time')
  }

  /** Gives a job up that found too little, or nobody: there are to be fewer at once. @param isTold The other end has said so itself. */
  private fail (job: Job, why: string, wrong: number[] = [], isTold = false): void {
    this.window.fell()
    this.giveUp(job, why, wrong, isTold)
  }

  /** Tells everybody who keeps something for a job that it is over. */
  private giveUp (job: Job, why: string, wrong: number[] = [], isTold = false): void {
    if (!this.end(job)) return
    if (!isTold) this.pool.send('relayRefused', { job: job.id, wrong, reason: why.slice(0, REASON_MAX) })
    if (job.isAsked && job.shares.length === 0) job.paths.forEach((path, share) => { this.laneOf(path)?.send('relayCancel', { job: job.id, path: [...path], hop: 1, share }) })
    this.lose(job, why)
  }

  private lose (job: Job, why: string): void {
    if (job.shares.length === 0) this.counters.jobsRefused++
    else this.counters.jobsFailed++
    for (const share of job.shares) this.counters.lostBytes += bytesIn(share.frames)
    this.note = why
  }

  private end (job: Job): boolean {
    job.cancel()
    job.paths.forEach((path, share) => { this.allotment.promises.end(nameOf({ job: job.id, share, path })) })
    if (!this.jobs.delete(jobName(job.id))) return false
    for (const { memory } of job.shares) this.p.memory.give(memory)
    return true
  }

  /** The pool's channel is gone, or the process stops: nothing of what is under way will be confirmed. */
  stop (why: string): void { for (const job of [...this.jobs.values()]) this.fail(job, why) }
}
