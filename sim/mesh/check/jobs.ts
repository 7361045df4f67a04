import type { KmeId } from '../../../src/kernel/ids.js'
import type { Body, MessageName } from '../../../src/peer/messages.js'
import type { Fault } from '../../pool/invariants.js'

interface Way { readonly from: KmeId, readonly pads: Body<'relay'>['pads'] }
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/**
 * What the ends of a job and the nodes between say of it, against the rules of the relay: a job that was given up is not confirmed, shares
 * are taken over planned paths only, and a node takes the bits of a neighbour's lane once.
 */
export class JobWatch {
  private readonly plans = new Map<string, readonly string[]>()
  /** By job and share, at their last node: the paths that they named. */
  private readonly came = new Map<string, Set<string>>()
  /** By job, share and node: how it came there. */
  private readonly ways = new Map<string, Way>()
  private readonly givenUp = new Set<string>()
  /** By lane and block: stretches that were taken. */
  private readonly taken = new Map<string, (readonly [number, number])[]>()

  /** @param isTrusted Whether a KME says what it does: its store is its own, and it does not lie. */
  constructor (private readonly fault: Fault, private readonly isTrusted: (kme: KmeId) => boolean) {}

  /** A store is replaced: its numbers may come again. */
  forget (kme: KmeId): void { for (const place of this.taken.keys()) if (place.split(' ').includes(kme)) this.taken.delete(place) }

  /** A message that went out. */
  said (from: KmeId, to: KmeId, name: MessageName, body: object): void {
    if (name === 'relay') this.onRelay(from, to, body as Body<'relay'>)
    else if (name === 'relayPlan') this.plans.set(hex((body as Body<'relayPlan'>).job), (body as Body<'relayPlan'>).paths.map((path) => path.join(' - ')))
    else if (name === 'relayRefused') this.givenUp.add(`${from} ${hex((body as Body<'relayRefused'>).job)}`)
    else if (name === 'relayJoin') this.onConfirmed(from, hex((body as Body<'relayJoin'>).job))
    else if (name === 'relayArrived') this.onArrived(from, hex((body as Body<'relayArrived'>).job))
  }

  private onRelay (from: KmeId, to: KmeId, { job, share, path, hop, pads }: Body<'relay'>): void {
    const name = `${hex(job)} ${share}`
    if (this.isTrusted(from) && hop > 1) this.take(name, from)
    this.ways.set(`${name} ${to}`, { from, pads })
    if (path.at(-1) !== to) return
    const came = this.came.get(name) ?? new Set()
    this.came.set(name, came.add(path.join(' - ')))
  }

  private onConfirmed (by: KmeId, job: string): void {
    if (this.isTrusted(by) && this.givenUp.has(`${by} ${job}`)) this.fault(`${by} confirms job ${job}, which it gave up before`)
  }

  private onArrived (at: KmeId, job: string): void {
    if (!this.isTrusted(at)) return
    this.onConfirmed(at, job)
    for (const [share, path] of this.plans.get(job)?.entries() ?? []) {
      if (this.came.get(`${job} ${share}`)?.has(path) !== true) this.fault(`${at} takes share ${share} of job ${job}, which did not come over ${path}`)
      this.take(`${job} ${share}`, at)
    }
  }

  /** This node made use of what came. */
  private take (name: string, node: KmeId): void {
    const way = this.ways.get(`${name} ${node}`)
    this.ways.delete(`${name} ${node}`)
    for (const { block, offset, length } of way?.pads ?? []) {
      const lane = `${way!.from} ${node} ${block}`, taken = this.taken.get(lane) ?? []
      if (taken.some(([begin, end]) => offset < end && begin < offset + length)) this.fault(`${node} takes bits ${offset} to ${offset + length} of block ${block} of ${way!.from}'s lane twice`)
      this.taken.set(lane, [...taken, [offset, offset + length]])
    }
  }
}
