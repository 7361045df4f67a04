import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Body, MessageName, RelayFailure } from '../peer/messages.js'
import type { PeerPart } from '../peer/parts.js'
import { sumOf } from '../pool/pad-places.js'
import type { RelayAccess } from '../pool/relay-access.js'
import { Allotment } from './allotment.js'
import { createRelayCounters, type RelayCounters } from './counters.js'
import { RelayHop } from './hop.js'
import { FrameMemory } from './memory.js'
import { removePads } from './pads.js'
import { Post } from './post.js'
import type { DeskPorts, RelayPorts, RelayedPool } from './ports.js'
import { bytesIn, isPassing, PART_BYTES_MIN, partOf, partsIn, type Share } from './share.js'
import { RelaySink } from './sink.js'
import { RelaySource } from './source.js'

interface Ends { readonly pool: RelayedPool, readonly source: RelaySource, readonly sink: RelaySink }

const failureOf = (taker: Ends | RelayFailure): RelayFailure | undefined => typeof taker === 'string' ? taker : undefined

/** The relay of one KME (design 6): its parts on the channels of neighbours and of far ends, and the pools that it fills. */
export class RelayDesk {
  readonly counters: RelayCounters = createRelayCounters()
  private readonly allotment: Allotment
  private readonly hop: RelayHop
  /** By the pool's name. */
  private readonly ends = new Map<string, Ends>()

  private readonly post: Post
  /** Neighbours of which the log has told, in this connection, that messages to them waited too long. */
  private readonly slow = new Set<KmeId>()
  private readonly p: DeskPorts

  constructor (ports: RelayPorts) {
    const post = this.post = new Post(ports.clock, (kme, messages) => { this.onAged(kme, messages) })
    const p = this.p = {
      ...ports, memory: new FrameMemory(),
      neighbour: (kme) => {
        const lane = ports.neighbour(kme)
        return lane === undefined ? undefined : post.lane(kme, lane)
      },
    }
    this.allotment = new Allotment(p)
    this.hop = new RelayHop(p, this.allotment, this.counters)
  }

  /** Begins to fill a relayed pool. */
  add (pool: RelayedPool): void {
    this.ends.set(pool.poolId, { pool, source: new RelaySource(this.p, pool, this.allotment, this.counters), sink: new RelaySink(this.p, pool, this.counters) })
  }

  /** Ends that. */
  remove (poolId: string, why: string): void {
    const ends = this.ends.get(poolId)
    this.ends.delete(poolId)
    ends?.source.stop(why)
    ends?.sink.stop()
  }

  private with (remote: KmeId): Ends[] { return [...this.ends.values()].filter((e) => e.pool.remote === remote) }

  /** Looks for work; call it a few times a second. */
  tick (): void {
    this.post.flush()
    this.p.vault.sweepRecent()
    for (const { source } of this.ends.values()) source.tick()
  }

  /** The network has changed: jobs over ways that are broken make room for others at once. */
  rerouted (): void {
    for (const { source } of this.ends.values()) source.rerouted()
    for (const neighbour of this.allotment.promises.neighbours) if (this.p.routes.isBroken([neighbour, this.p.self])) this.severed(neighbour)
  }

  /**
   * The line with a neighbour is cut. Who is next to the cut knows what did not come over it in time, and tells it along the ways, behind what
   * did: so nobody keeps key for a job until its time is over, on either side.
   */
  private severed (neighbour: KmeId): void {
    for (const { job, share, path } of this.hop.severed(neighbour)) {
      const hop = path.indexOf(this.p.self), next = path[hop + 1]!
      if (next === neighbour) this.refuse(path[hop - 1]!, { job, share, path: [...path], hop }, 'unroutable')
      else this.p.neighbour(next)?.send('relayCancel', { job, share, path: [...path], hop: hop + 1 })
    }
  }

  /** Bytes of our lane with a neighbour that are set aside for jobs under way. */
  promisedBytes (next: KmeId): number { return this.allotment.promises.of(next) }

  /** Sealed shares are in memory: their key slots must stay. */
  get isBusy (): boolean { return [...this.ends.values()].some((e) => e.source.sealedJobs + e.sink.sealedJobs > 0) }

  /** Why the pool of that name gets nothing, or ''. */
  note (poolId: string): string { return this.ends.get(poolId)?.source.note ?? '' }

  stop (why: string): void {
    for (const { source, sink } of this.ends.values()) { source.stop(why); sink.stop() }
    this.hop.stop()
    this.allotment.stop()
  }

  /** On the channel of a neighbour. */
  part (neighbour: KmeId): PeerPart {
    return {
      names: ['relayAsk', 'relayReady', 'relayCancel', 'relay', 'relayFailed'],
      onMessage: (name: MessageName, body: unknown) => {
        if (name === 'relayAsk') this.onAsk(neighbour, body as Body<'relayAsk'>)
        else if (name === 'relayReady') this.onReady(neighbour, body as Body<'relayReady'>)
        else if (name === 'relayCancel') this.onCancel(neighbour, body as Body<'relayCancel'>)
        else if (name === 'relay') this.onRelay(neighbour, body as Body<'relay'>)
        else this.onFailed(neighbour, body as Body<'relayFailed'>)
      },
      onReady: () => {}, onClosed: () => { this.severed(neighbour); this.post.drop(neighbour); this.slow.delete(neighbour) }, onWritable: () => { this.post.flush(neighbour) },
    }
  }

  /** Among the messages of the relayed pool of that name. */
  controlPart (poolId: string): PeerPart {
    return {
      names: ['relayPlan', 'relayPlanned', 'relayArrived', 'relayJoin', 'relayRefused'],
      onMessage: (name: MessageName, body: unknown) => {
        const ends = this.ends.get(poolId)
        if (ends === undefined) return
        if (name === 'relayPlan') ends.sink.onPlan(body as Body<'relayPlan'>)
        else if (name === 'relayPlanned') ends.source.onPlanned(body as Body<'relayPlanned'>)
        else if (name === 'relayArrived') ends.source.onArrived(body as Body<'relayArrived'>)
        else if (name === 'relayJoin') ends.sink.onJoin(body as Body<'relayJoin'>)
        else { ends.source.onRefused(body as Body<'relayRefused'>); ends.sink.onRefused(body as Body<'relayRefused'>) }
      },
      onReady: () => {}, onClosed: (reason) => { this.ends.get(poolId)?.source.stop(reason); this.ends.get(poolId)?.sink.stop() },
    }
  }

  private onAged (kme: KmeId, messages: number): void {
    this.counters.agedMessages += messages
    if (this.slow.has(kme)) return
    this.slow.add(kme)
    this.p.log.warn('messages of the relay waited too long for pads or for room, and were dropped; told once per connection', { kme, messages })
  }

  // --- messages of neighbours ---------------------------------------------------------------------------------------

  private onAsk (from: KmeId, body: Body<'relayAsk'>): void {
    this.checkPath(from, body)
    if (body.hop === body.path.length - 1) { this.answer(from, body); return }
    const mayPass = this.p.neighbour(from)?.access.isReady === true && this.p.routes.mayForward(body.path) === ''
    const bytes = mayPass ? this.hop.ask(body) : 'forbidden'
    if (typeof bytes === 'string') { this.refuse(from, body, bytes); return }
    if (this.p.neighbour(body.path[body.hop + 1]!)?.send('relayAsk', { ...body, hop: body.hop + 1, bytes }) === true) return
    this.hop.cancel(body, from)
    this.refuse(from, body, 'unroutable')
  }

  private answer (from: KmeId, body: Body<'relayAsk'>): void {
    const cannot = failureOf(this.taker(body, body.bytes))
    if (cannot !== undefined) this.refuse(from, body, cannot)
    else this.p.neighbour(from)?.send('relayReady', { job: body.job, path: body.path, hop: body.hop - 1, share: body.share, bytes: body.bytes })
  }

  private onReady (from: KmeId, body: Body<'relayReady'>): void {
    const { path, hop } = body
    if (path[hop] !== this.p.self || path[hop + 1] !== from) throw new KmeError('PROTOCOL', `${from}: an answer of the relay that was not under way to here`)
    if (hop === 0) { for (const { source } of this.with(path.at(-1)!)) source.onReady(body); return }
    const bytes = this.hop.promised(body, body.bytes)
    if (bytes > 0 && this.p.neighbour(path[hop - 1]!)?.send('relayReady', { ...body, hop: hop - 1, bytes }) !== true) this.hop.cancel(body, path[hop - 1]!)
  }

  /** The source has given a job up, or its way is cut before here: nobody keeps anything for it. */
  private onCancel (from: KmeId, body: Body<'relayCancel'>): void {
    this.checkPath(from, body)
    if (body.hop === body.path.length - 1) { for (const { sink } of this.with(body.path[0]!)) sink.onCancel(body) } else if (this.hop.cancel(body, from)) this.p.neighbour(body.path[body.hop + 1]!)?.send('relayCancel', { ...body, hop: body.hop + 1 })
  }

  private onRelay (from: KmeId, body: Body<'relay'>): void {
    this.check(from, body)
    const access = this.p.neighbour(from)?.access
    if (access === undefined) return
    const refuse = (cause: RelayFailure): void => { this.refuse(from, body, cause) }
    // Spent they are whatever becomes of the job: the sender never names them again.
    const wrong = access.claim(body.pads)
    if (wrong !== '') throw new KmeError('PROTOCOL', `${from}: a relayed block whose pads are not there: ${wrong}`)
    access.store(body.pads, () => {
      if (access.isReady && body.hop === body.path.length - 1) { this.arrive(access, body, refuse); return }
      if (access.isReady && this.p.routes.mayForward(body.path) === '') { this.hop.pass(access, body, refuse); return }
      access.letGo(body.pads)
      refuse('forbidden')
    })
  }

  private arrive (access: RelayAccess, body: Body<'relay'>, refuse: (cause: RelayFailure) => void): void {
    const ends = this.taker(body, sumOf(body.pads))
    if (typeof ends === 'string') {
      access.letGo(body.pads)
      refuse(ends)
      return
    }
    const data = body.hop === 1 ? new Uint8Array(sumOf(body.pads)) : body.data
    const share = this.unpad(access, body, ends.pool, data)
    access.letGo(body.pads)
    if (share === undefined) refuse('damaged')
    else ends.sink.add(body.job, body.share, share)
  }

  private unpad (access: RelayAccess, body: Body<'relay'>, pool: RelayedPool, data: Uint8Array): Share | undefined {
    try {
      return removePads(this.p, access, body.pads, pool, body.job, body.path, body.frames, data)
    } catch (error) {
      if (isPassing(error)) return undefined
      throw error
    }
  }

  /** The pool whose source has planned this share. */
  private taker (body: Pick<Body<'relay'>, 'path' | 'job' | 'share'>, bytes: number): Ends | RelayFailure {
    const those = this.with(body.path[0]!)
    return those.find((e) => e.sink.mayTake(body.job, body.share, body.path, bytes)) ?? (those.length === 0 ? 'unknown' : 'busy')
  }

  /** What no honest neighbour sends ends its connection. */
  private check (from: KmeId, body: Body<'relay'>): void {
    this.checkPath(from, body)
    const { hop, frames, pads, data } = body
    const bits = bytesIn(frames)
    for (let part = 0; part < partsIn(frames); part++) {
      const bytes = bytesIn(partOf(frames, part))
      if (bytes < PART_BYTES_MIN) throw new KmeError('PROTOCOL', `${from}: a relayed block of ${bytes} bytes holds nothing but its confirmation`)
    }
    if (sumOf(pads) !== bits || data.length !== (hop === 1 ? 0 : bits)) throw new KmeError('PROTOCOL', `${from}: frames, pads and data of a relayed block differ in length`)
  }

  private checkPath (from: KmeId, { path, hop, share, shares = share + 1 }: Pick<Body<'relayCancel'>, 'path' | 'hop' | 'share'> & { shares?: number }): void {
    const fault = path[hop] !== this.p.self || path[hop - 1] !== from ? 'its path does not lead from the sender to here'
      : new Set(path).size !== path.length ? 'its path is a circle'
        : share >= shares ? 'a share beyond the number of shares' : ''
    if (fault !== '') throw new KmeError('PROTOCOL', `${from}: a relayed block is wrong: ${fault}`)
  }

  private refuse (to: KmeId, body: Pick<Body<'relay'>, 'path' | 'job' | 'share' | 'hop'>, cause: RelayFailure): void {
    this.counters.refused[cause]++
    this.p.neighbour(to)?.send('relayFailed', { job: body.job, path: body.path, hop: body.hop - 1, share: body.share, at: this.p.self, cause })
  }

  private onFailed (from: KmeId, body: Body<'relayFailed'>): void {
    const { path, hop } = body
    if (path[hop] !== this.p.self || path[hop + 1] !== from || !path.includes(body.at)) throw new KmeError('PROTOCOL', `${from}: a relay failure that was not under way to here`)
    const wasUnderWay = this.hop.forget(body)
    if (hop === 0) { for (const { source } of this.with(path.at(-1)!)) source.onFailed(body); return }
    if (wasUnderWay) this.p.neighbour(path[hop - 1]!)?.send('relayFailed', { ...body, hop: hop - 1 })
  }
}
