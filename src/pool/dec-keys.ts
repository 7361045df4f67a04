import { KEY_ID_FIELDS } from '../device/native.js'
import type { SaeId } from '../kernel/ids.js'
import { keyMembers } from './describe.js'
import { BlockFetch, GrantFetch, type Fetch } from './fetch.js'
import { common } from './hops.js'
import { usableBytes, type EpochRow } from './rows.js'
import type { KeyPool } from './key-pool.js'
import { Rate } from './rate.js'
import { refusals } from './refusals.js'
import type { DecKeysRequest, KeyReply, Refusal } from './service.js'
import type { ServiceDeps } from './service-ports.js'
import { areSameTraits } from './traits.js'

const WAITING_MAX = 4_096
/** A flush waits for the one under way, and then for the next turn of the loop while each brings more, up to so many requests and so long. */
const GATHERED_MAX = 128
const GATHER_MS = 2
/** An answer whose claims are on disk waits for room in the arena. */
const ANSWER_ATTEMPTS = 50
const ANSWER_RETRY_MS = 20

/** What was found of a request's IDs so far; `left` IDs open under no key that was tried. */
interface Search {
  readonly request: DecKeysRequest, readonly ids: string, readonly places: (Fetch | undefined)[]
  left: number, isMissing: boolean, isAsked: boolean, isUnauthorized: boolean
}
interface Waiting { readonly request: DecKeysRequest, readonly reply: KeyReply, readonly places: Fetch[] }

/**
 * Get key with key IDs (014 V1.1.1 clause 5.4): the slave's side. Place and association are in the ID itself; a claim is set
 * in memory, flushed together with those of the requests that came at the same time, and then the answer is written.
 */
export class DecKeys {
  private readonly out: Uint8Array
  private readonly fields: Uint32Array
  /** Of the answer being written: handles of blocks, places and lengths in bytes. */
  private readonly handles: Uint32Array
  private readonly offsets: Uint32Array
  private readonly lengths: Uint32Array
  private queue: Waiting[] = []
  private waiting = 0
  /** Of the queue: how many there were when its turn ended last, and since when the first waits. */
  private gathered = 0
  private gatheredSinceMs = 0
  private flushing = 0
  private readonly foreign = new Map<SaeId, Rate>()

  constructor (private readonly deps: ServiceDeps) {
    const { maxPerRequest, maxBits } = deps.sizes
    this.out = new Uint8Array(maxPerRequest * (Math.ceil(maxBits / 24) * 4 + 160) + 256)
    this.fields = new Uint32Array(maxPerRequest * KEY_ID_FIELDS)
    this.handles = new Uint32Array(maxPerRequest)
    this.offsets = new Uint32Array(maxPerRequest)
    this.lengths = new Uint32Array(maxPerRequest)
  }

  handle (request: DecKeysRequest, reply: KeyReply): void {
    if (this.waiting >= WAITING_MAX) { reply.refuse(refusals.busy); return }
    const places = this.resolve(request)
    if (!Array.isArray(places)) { reply.refuse(places); return }
    for (const p of places) p.take()
    this.waiting++
    const length = this.queue.push({ request, reply, places })
    if (this.flushing === 0 ? length === 1 : length === GATHERED_MAX) this.begin()
  }

  private begin (): void {
    this.gathered = 0
    this.gatheredSinceMs = this.deps.clock.monoMs()
    this.deps.soon(this.gather)
  }

  /**
   * At the end of a turn. A flush costs the processor as much as several requests do, and a fast disk has it done after two or
   * three of them: so it begins only when a turn brings no more. With nobody else asking that is the very next one. Who comes during a
   * flush shares the next: it would not be on disk any sooner for being sent now.
   */
  private readonly gather = (): void => {
    const { length } = this.queue
    if (length === 0) return // They went with a flush that was full.
    const isOver = length === this.gathered || length >= GATHERED_MAX || this.deps.clock.monoMs() - this.gatheredSinceMs >= GATHER_MS
    this.gathered = length
    if (isOver) this.flush()
    else this.deps.soon(this.gather)
  }

  // --- what the IDs name ---------------------------------------------------------------------------------------

  private resolve (request: DecKeysRequest): Fetch[] | Refusal {
    const { keyIds } = request, count = keyIds.length
    const search: Search = {
      request, ids: count === 1 ? keyIds[0]! : keyIds.join(''), places: new Array<undefined>(count), left: count, isMissing: false, isAsked: false, isUnauthorized: false,
    }
    this.tryPools(search)
    if (search.isUnauthorized) return refusals.unauthorized // One foreign ID makes the whole request a 401 (A8).
    if (search.isMissing || search.left > 0) return refusals.notFound
    const places = search.places as Fetch[]
    if (search.isAsked || places.some((p) => !p.pool.core.isServing)) return refusals.blocked('SUSPENDED')
    return this.checkClaims(request, places)
  }

  /** Pools that should know the IDs, then the others within a budget: they tell 401 from 400. */
  private tryPools (search: Search): void {
    const { request } = search
    const first = this.poolsOf(request)
    for (const pool of first) if (this.isDoneWith(search, pool)) return
    for (const pool of this.deps.pools()) {
      if (first.includes(pool)) continue
      if (!this.mayTryOthers(request.caller, request.keyIds.length) || this.isDoneWith(search, pool)) return
    }
  }

  /** Those that the master's KME shares with us. If that is ourselves, also those out of whose lanes the master's keys went to SAEs elsewhere and to this one. */
  private poolsOf ({ caller, master }: DecKeysRequest): readonly KeyPool[] {
    const { deps } = this, kme = deps.policy.whereIs(master)
    if (kme === undefined) return []
    const pools = deps.poolsWith(kme)
    return kme === deps.self ? [...pools, ...[...deps.pools()].filter((pool) => pool.associations.isBeside(master, caller) && !pools.includes(pool))] : pools
  }

  /** Opens what it can of the IDs with the keys of one pool. @returns whether no other pool needs to be tried. */
  private isDoneWith (search: Search, pool: KeyPool): boolean {
    const { request, places } = search, { fields } = this
    const isTheirs = this.deps.policy.whereIs(request.master) === pool.core.deps.remote
    const granted = this.granted(request, pool, places, isTheirs)
    if (granted === 'unauthorized') return search.isUnauthorized = true
    search.left -= granted
    if (granted > 0 && pool.voids.asksOpen > 0) search.isAsked = true // Nobody here knows which of them are void.
    const { epochs, handles } = pool.epochs.openers()
    if (epochs.length === 0 || this.deps.vault.openKeyIds(handles, search.ids, places.length, fields) === 0) return search.left === 0
    for (let i = 0; i < places.length; i++) {
      const at = i * KEY_ID_FIELDS
      if (places[i] !== undefined || fields[at] === 0) continue
      search.left--
      const found = this.locate(request, pool, epochs[fields[at]! - 1]!, at, isTheirs)
      if (found === 'unauthorized') return search.isUnauthorized = true
      if (found === 'missing') search.isMissing = true
      else if (found === 'asked') search.isAsked = true
      else places[i] = found
    }
    return search.left === 0
  }

  /**
   * Named grants of the pool's peer, by their IDs alone: whose master is served there, and nobody else's, so that no KME can speak for
   * another's SAEs. @returns how many are the caller's.
   */
  private granted (request: DecKeysRequest, pool: KeyPool, places: (Fetch | undefined)[], isTheirs: boolean): number | 'unauthorized' {
    const { named } = pool
    if (named === undefined || named.keys.size === 0) return 0
    let found = 0
    for (const [i, id] of request.keyIds.entries()) {
      const key = places[i] === undefined ? named.keys.find(id) : undefined
      if (key === undefined) continue
      const slave = key.grant.slaves.indexOf(request.caller)
      if (slave < 0) return 'unauthorized'
      if (!isTheirs || key.grant.master !== request.master) continue
      places[i] = new GrantFetch(pool, named, key, slave)
      found++
    }
    return found
  }

  private mayTryOthers (sae: SaeId, count: number): boolean {
    let rate = this.foreign.get(sae)
    if (rate === undefined) {
      if (this.foreign.size >= 4_096) this.foreign.clear()
      this.foreign.set(sae, rate = new Rate(this.deps.clock, 1_000))
    }
    if (rate.perSecond() + count > this.deps.sizes.foreignIdsPerS) return false
    rate.add(count)
    return true
  }

  /** @param isTheirs The pool's peer serves the path's master. Of its lane there are keys of its own masters only: it cannot speak for another's SAEs. */
  private locate (request: DecKeysRequest, pool: KeyPool, row: EpochRow, at: number, isTheirs: boolean): Fetch | 'unauthorized' | 'missing' | 'asked' {
    const { epoch } = row, number = pool.epochs.blockOf(row, this.fields[at + 1]!), place = this.fields[at + 2]!, length = this.fields[at + 3]!, associated = this.fields[at + 4]!
    const block = pool.core.blocks.get(number)
    // The association tells who may ask, even when the block is gone: the audience outlives the key (A8).
    const association = block === undefined
      ? pool.associations.ofKey('in', epoch, associated) ?? pool.associations.ofKey('out', epoch, associated)
      : pool.associations.ofKey(block.owner === 'mine' ? 'out' : 'in', epoch, associated)
    if (association === undefined) return 'missing'
    const slaves = association.local.length > 0 || block?.owner === 'mine' || pool.kind === 'local' ? association.local : association.slaves
    const slave = slaves.indexOf(request.caller)
    if (slave < 0 || association.state === 'removed') return 'unauthorized'
    if (association.master !== request.master || block === undefined || association.state === 'void') return 'missing'
    if (block.owner === 'theirs' && !isTheirs) return 'missing'
    const end = place * 8 + length
    if (block.epoch !== epoch || block.purpose !== 'app' || end > usableBytes(block)) return 'missing'
    const named = block.owner === 'mine' || block.state === 'closed' ? end <= block.spent : block.state === 'open'
    if (!named) return 'missing'
    const verdict = pool.voids.judge(block, place * 8, end)
    if (verdict !== '') return verdict === 'void' ? 'missing' : 'asked'
    return new BlockFetch(pool, block, place, length, association, slave, slaves.length)
  }

  private checkClaims (request: DecKeysRequest, places: Fetch[]): Fetch[] | Refusal {
    for (let i = 0; i < places.length; i++) {
      const p = places[i]!
      const result = p.check()
      if (result === 'taken') return refusals.notFound
      if (result === 'overlap' || this.overlapsEarlier(places, i)) return this.alarm(p)
      const handle = p.reach() // Now, so that a bad record or a full arena consumes nothing.
      if (handle === 'full') return refusals.busy
      if (handle === 'damaged') return this.lost(request, p)
      p.leave()
    }
    return places
  }

  /** The key is in a record that does not open: nobody can have it any more, and no other key is cut there. */
  private lost (request: DecKeysRequest, p: Fetch): Refusal {
    p.damaged()
    this.deps.audit.record({
      kind: 'refused', caller: request.caller, other: request.master, association: p.association, block: p.block, place: p.place,
      sizeBytes: p.length, number: 1,
    })
    return refusals.notFound
  }

  private overlapsEarlier (places: Fetch[], i: number): boolean {
    for (let j = 0; j < i; j++) if (places[j]!.overlaps(places[i]!)) return true
    return false
  }

  /** Two IDs that name the same bytes: somebody who holds the ID keys lies. The pool stops (design 3.7). */
  private alarm (p: Fetch): Refusal {
    const what = `block ${p.block}, place ${p.place}: two key IDs name the same bytes`
    this.deps.security('integrity.overlap', what)
    p.pool.suspend(what)
    return refusals.blocked('SUSPENDED')
  }

  // --- durable, then the answer -----------------------------------------------------------------------------------

  private flush (): void {
    const batch = this.queue
    this.queue = []
    this.flushing++
    const pools = new Set<KeyPool>()
    try {
      this.deps.kv.transact((tx) => {
        for (const { request, places } of batch) {
          for (const p of places) {
            p.write(tx)
            pools.add(p.pool)
          }
          const first = places[0]!
          this.deps.audit.recordIn(tx, {
            kind: 'dec', caller: request.caller, other: request.master, association: first.association, block: first.block,
            place: first.place, sizeBytes: first.length, number: places.length,
          })
        }
        for (const { core } of pools) core.putAccount(tx)
      })
    } catch (error) { this.deps.fatal(error); return }
    this.deps.kv.flushed().then(() => {
      if (--this.flushing === 0 && this.queue.length > 0) this.begin()
      for (const waiting of batch) this.answer(waiting)
    }).catch((error: unknown) => { this.deps.fatal(error) })
  }

  private answer (waiting: Waiting, attempt = 1): void {
    const { request, reply, places } = waiting
    const handles = this.reachAll(places)
    if (handles === 'full' && attempt < ANSWER_ATTEMPTS) { this.deps.clock.after(ANSWER_RETRY_MS, () => { this.answer(waiting, attempt + 1) }); return }
    this.waiting--
    try {
      if (typeof handles === 'string') reply.refuse(refusals.busy) // The claim is durable: a failed answer counts as delivered.
      else this.write(request, reply, places, handles)
    } finally {
      if (typeof handles !== 'string') for (const p of places) p.leave()
      for (const p of places) p.letGo()
    }
  }

  /** The plaintext of all places at once, by handles that are valid until the next answer. 'gone': the pool was voided, or a record does not open any more. */
  private reachAll (places: readonly Fetch[]): Uint32Array | 'full' | 'gone' {
    const { handles } = this
    for (let i = 0; i < places.length; i++) {
      const handle = places[i]!.reach()
      if (typeof handle !== 'string') { handles[i] = handle; continue }
      for (const p of places.slice(0, i)) p.leave()
      return handle === 'full' ? 'full' : 'gone'
    }
    if (places.length === 1 || places.every((p) => p.isOpen())) return handles
    for (const p of places) p.leave()
    return 'full'
  }

  private write (request: DecKeysRequest, reply: KeyReply, places: readonly Fetch[], handles: Uint32Array): void {
    const { offsets, lengths } = this
    for (let i = 0; i < places.length; i++) {
      offsets[i] = places[i]!.offset
      lengths[i] = places[i]!.length
    }
    const { traits } = places[0]!
    // One text for all keys of an answer: where they came different ways it says nothing rather than something false.
    const members = places.every((p) => areSameTraits(p.traits, traits)) ? keyMembers(this.deps.details, traits, this.deps.details.keys === 'wayAndAge' ? oldestMs(places) : undefined, traits.route === 'relayed' ? common(places.map((p) => p.hops)) : 0) : ''
    const length = this.deps.vault.serve(places.length, places.length === 1 ? request.keyIds[0]! : request.keyIds.join(''), handles, offsets, lengths, members, '', this.out)
    if (length < 0) throw new Error('invariant violated: the answer buffer holds the largest answer')
    const json = this.out.subarray(0, length)
    try { reply.keys(json, 0) } finally { this.deps.vault.wipe(json) }
  }
}

/** Age of the oldest block of an answer; undefined if one of its keys came under a grant, which does not tell. */
const oldestMs = (places: readonly Fetch[]): number | undefined => {
  let oldest = 0
  for (const { bornMs, pool } of places) {
    if (bornMs === undefined) return undefined
    oldest = Math.max(oldest, pool.core.deps.ageMs() - bornMs)
  }
  return oldest
}
