import { KEY_ID_FIELDS } from '../device/native.js'
import type { SaeId } from '../kernel/ids.js'
import { KmeError } from '../kernel/errors.js'
import { accountKey, putRow, usableBytes, type AssociationRow, type BlockRow } from './rows.js'
import { localMembers } from './enc-keys.js'
import type { KeyPool } from './key-pool.js'
import { Rate } from './rate.js'
import { refusals } from './refusals.js'
import type { DecKeysRequest, KeyReply, Refusal } from './service.js'
import type { ServiceDeps } from './service-ports.js'

const WAITING_MAX = 4_096

interface Place { readonly pool: KeyPool, readonly block: BlockRow, readonly place: number, readonly length: number, readonly association: AssociationRow, readonly slave: number, readonly slaves: number }
interface Waiting { readonly request: DecKeysRequest, readonly reply: KeyReply, readonly places: Place[] }

/**
 * Get key with key IDs (014 V1.1.1 clause 5.4): the slave's side. Place and association are in the ID itself; a claim is set
 * in memory, flushed together with those of the requests that came at the same time, and then the answer is written.
 */
export class DecKeys {
  private readonly out: Uint8Array
  private readonly fields: Uint32Array
  private queue: Waiting[] = []
  private waiting = 0
  private readonly foreign = new Map<SaeId, Rate>()

  constructor (private readonly deps: ServiceDeps) {
    const { maxPerRequest, maxBits } = deps.sizes
    this.out = new Uint8Array(maxPerRequest * (Math.ceil(maxBits / 24) * 4 + 160) + 256)
    this.fields = new Uint32Array(maxPerRequest * KEY_ID_FIELDS)
  }

  handle (request: DecKeysRequest, reply: KeyReply): void {
    if (this.waiting >= WAITING_MAX) { reply.refuse(refusals.busy); return }
    const places = this.resolve(request)
    if (!Array.isArray(places)) { reply.refuse(places); return }
    for (const p of places) p.pool.claims.take(p.block, p.place, p.length, p.association.number, p.slave, p.slaves)
    this.waiting++
    if (this.queue.push({ request, reply, places }) === 1) this.deps.soon(() => { this.flush() })
  }

  // --- what the IDs name ---------------------------------------------------------------------------------------

  private resolve (request: DecKeysRequest): Place[] | Refusal {
    const ids = request.keyIds.length === 1 ? request.keyIds[0]! : request.keyIds.join('')
    const places: (Place | undefined)[] = new Array<Place | undefined>(request.keyIds.length)
    let left = request.keyIds.length
    let missing = false
    for (const pool of this.candidates(request)) {
      if (left === 0) break
      const epochs = pool.epochs.live()
      if (epochs.length === 0) continue
      const handles = Uint32Array.from(epochs, (e) => pool.epochs.key(e.epoch))
      if (this.deps.vault.openKeyIds(handles, ids, request.keyIds.length, this.fields) === 0) continue
      for (let i = 0; i < request.keyIds.length; i++) {
        const at = i * KEY_ID_FIELDS
        if (places[i] !== undefined || this.fields[at] === 0) continue
        left--
        const found = this.locate(request, pool, epochs[this.fields[at]! - 1]!.epoch, at)
        if (found === 'unauthorized') return refusals.unauthorized // One foreign ID makes the whole request a 401 (A8).
        if (found === 'missing') missing = true
        else places[i] = found
      }
    }
    if (missing || left > 0) return refusals.notFound
    if (places.some((p) => p!.pool.core.meta.suspended !== '')) return refusals.blocked('SUSPENDED')
    return this.checkClaims(places as Place[])
  }

  /** The pool that the master's KME shares with us, then the others within a budget: they tell 401 from 400. */
  private * candidates (request: DecKeysRequest): Iterable<KeyPool> {
    const kme = this.deps.policy.whereIs(request.master)
    const first = kme === undefined ? undefined : this.deps.pool(kme)
    if (first !== undefined) yield first
    for (const pool of this.deps.pools()) {
      if (pool === first) continue
      if (!this.mayTryOthers(request.caller, request.keyIds.length)) return
      yield pool
    }
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

  private locate (request: DecKeysRequest, pool: KeyPool, epoch: number, at: number): Place | 'unauthorized' | 'missing' {
    const number = this.fields[at + 1]!, place = this.fields[at + 2]!, length = this.fields[at + 3]!, associated = this.fields[at + 4]!
    const block = pool.core.blocks.get(number)
    // The association tells who may ask, even when the block is gone: the audience outlives the key (A8).
    const association = block === undefined
      ? pool.associations.ofKey('in', epoch, associated) ?? pool.associations.ofKey('out', epoch, associated)
      : pool.associations.ofKey(block.owner === 'mine' ? 'out' : 'in', epoch, associated)
    if (association === undefined) return 'missing'
    const slaves = association.local.length > 0 || block?.owner === 'mine' || pool.kind === 'local' ? association.local : association.slaves
    const slave = slaves.indexOf(request.caller)
    if (slave < 0 || association.state === 'removed') return 'unauthorized'
    if (association.master !== request.master || block === undefined) return 'missing'
    const end = place * 8 + length
    if (block.epoch !== epoch || block.purpose !== 'app' || end > usableBytes(block)) return 'missing'
    const named = block.owner === 'mine' || block.state === 'closed' ? end <= block.spent : block.state === 'open'
    if (!named) return 'missing'
    return { pool, block, place, length, association, slave, slaves: slaves.length }
  }

  private checkClaims (places: Place[]): Place[] | Refusal {
    for (let i = 0; i < places.length; i++) {
      const p = places[i]!
      const result = p.pool.claims.check(p.block, p.place, p.length, p.association.number, p.slave)
      if (result === 'taken') return refusals.notFound
      if (result === 'overlap' || this.overlapsEarlier(places, i)) return this.alarm(p)
      try { // Now, so that a bad record or a full arena consumes nothing.
        this.load(p)
      } catch (error) {
        if (error instanceof KmeError && error.code === 'STORE_CORRUPT') this.deps.security('integrity.record', error.message)
        return refusals.busy
      }
    }
    return places
  }

  private overlapsEarlier (places: Place[], i: number): boolean {
    const p = places[i]!
    for (let j = 0; j < i; j++) {
      const q = places[j]!
      if (q.block === p.block && q.place * 8 < p.place * 8 + p.length && p.place * 8 < q.place * 8 + q.length) return true
    }
    return false
  }

  /** Two IDs that name the same bytes: somebody who holds the ID keys lies. The pool stops (design 3.7). */
  private alarm (p: Place): Refusal {
    const what = `block ${p.block.number}, place ${p.place}: two key IDs name the same bytes`
    this.deps.security('integrity.overlap', what)
    p.pool.suspend(what)
    return refusals.blocked('SUSPENDED')
  }

  // --- durable, then the answer -----------------------------------------------------------------------------------

  private flush (): void {
    const batch = this.queue
    this.queue = []
    const pools = new Set<KeyPool>()
    try {
      this.deps.kv.transact((tx) => {
        for (const { request, places } of batch) {
          for (const p of places) {
            p.pool.claims.write(tx, p.block.number, p.place)
            pools.add(p.pool)
          }
          const first = places[0]!
          this.deps.audit.recordIn(tx, {
            kind: 'dec', caller: request.caller, other: request.master, association: first.association.number, block: first.block.number,
            place: first.place, sizeBytes: first.length, number: places.length,
          })
        }
        for (const { core } of pools) putRow(tx, accountKey(core.pool), core.account)
      })
    } catch (error) { this.deps.fatal(error); return }
    this.deps.kv.flushed().then(() => {
      for (const waiting of batch) this.answer(waiting)
    }).catch((error: unknown) => { this.deps.fatal(error) })
  }

  private answer ({ request, reply, places }: Waiting): void {
    this.waiting--
    const count = places.length
    const blocks = new Uint32Array(count), offsets = new Uint32Array(count), lengths = new Uint32Array(count)
    try {
      places.forEach((p, i) => {
        blocks[i] = p.pool.views.enter(p.block)
        p.pool.views.load(p.block.number, p.place * 8, p.place * 8 + p.length)
        offsets[i] = p.place * 8
        lengths[i] = p.length
      })
      const length = this.deps.vault.serve(count, request.keyIds.join(''), blocks, offsets, lengths, places[0]!.pool.kind === 'local' ? localMembers(this.deps.localSource) : '', '', this.out)
      if (length < 0) throw new Error('invariant violated: the answer buffer holds the largest answer')
      const json = this.out.subarray(0, length)
      try { reply.keys(json, 0) } finally { this.deps.vault.wipe(json) }
    } catch (error) {
      this.deps.security('integrity.record', error instanceof Error ? error.message : 'unknown')
      reply.refuse(refusals.busy) // The claim is durable: a failed answer counts as delivered.
    } finally {
      for (const p of places) { p.pool.views.leave(p.block.number); p.pool.claims.letGo(p.block.number) }
    }
    for (const p of places) if (p.block.state === 'closed') p.pool.claimed(p.block.number)
  }

  private load (p: Place): void {
    p.pool.views.enter(p.block)
    try { p.pool.views.load(p.block.number, p.place * 8, p.place * 8 + p.length) } finally { p.pool.views.leave(p.block.number) }
  }
}

