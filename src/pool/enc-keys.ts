import { CUT_INSUFFICIENT, CUT_NO_ROOM, CUT_TAKEN, takenBlock } from '../device/native.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import { Deliveries } from './deliveries.js'
import { keyMembers } from './describe.js'
import type { KeyConstraint } from './extensions.js'
import { Fairness } from './fairness.js'
import { hopsOfAll } from './hops.js'
import type { KeyPool } from './key-pool.js'
import { Multicast, type Further } from './multicast.js'
import { unitOf } from './named-grants.js'
import { refusals } from './refusals.js'
import { noReserve, Reserve } from './reserve.js'
import type { AssociationRow } from './rows.js'
import type { EncKeysRequest, ExtensionPair, KeyReply, Refusal } from './service.js'
import type { ServiceDeps } from './service-ports.js'
import { canMeet, meets } from './traits.js'

const ASSOCIATION_WAIT_MS = 2_000
const WAITING_MAX = 1_024
const none: readonly never[] = []

/** For the refusal. */
const namesOf = (extensions: readonly ExtensionPair[]): string => extensions.filter((e) => e.mandatory).map((e) => e.name).join(', ')

/** `slaves`, at the other end of the pool, and `local` ones share an association; `further` are at other KMEs. */
interface Target { readonly pool: KeyPool, readonly slaves: readonly SaeId[], readonly local: readonly SaeId[], readonly further?: readonly Further[] }

/** Get key (014 V1.1.1 clause 5.3): the master's side. In the good case everything happens before the call returns. */
export class EncKeys {
  private readonly fairness: Fairness
  private readonly reserve: Reserve
  private readonly out: Uint8Array
  private view: Uint8Array = new Uint8Array(0)
  private readonly taken = new Uint32Array(CUT_TAKEN)
  /** By the number of hops, 0 where there are none to tell. */
  private readonly members = new WeakMap<KeyPool, string[]>()
  private waiting = 0
  private readonly recent = new Deliveries()
  private readonly multicast: Multicast

  constructor (private readonly deps: ServiceDeps) {
    this.fairness = new Fairness(deps.clock)
    this.reserve = new Reserve(deps.reserve ?? noReserve)
    const { maxPerRequest, maxBits } = deps.sizes
    this.out = new Uint8Array(maxPerRequest * (Math.ceil(maxBits / 24) * 4 + 160) + 256)
    this.multicast = new Multicast(deps, this.out, ({ request, pool, association }, { block, place, takeBack }) => {
      this.fairness.used(request.caller, request.number * unitOf(request.sizeBits >>> 3))
      return this.book(request, pool, association, block, place, takeBack)
    })
  }

  handle (request: EncKeysRequest, reply: KeyReply): void {
    const target = this.target(request)
    if ('code' in target) { reply.refuse(target); return }
    const { pool } = target
    const blocked = pool.blocked()
    if (blocked !== '') { reply.refuse(refusals.blocked(blocked)); return }
    const generation = pool.core.meta.generation
    const association = pool.associations.ready(request.caller, target.slaves, target.local, generation)
    if (association !== undefined) { this.deliver(request, target, association, reply, true, request.receivedMs, request.receivedWallMs); return }
    this.open(request, target, generation, reply)
  }

  /** Which pool serves all slaves. */
  private target (request: EncKeysRequest): Target | Refusal {
    const { policy, self } = this.deps
    if (request.additionalSlaves.length === 0) { // The common case, without sets.
      const kme = policy.whereIs(request.slave)
      const refusal = this.checkSlave(request.caller, request.slave, kme, 'slave_SAE_ID')
      if (refusal !== undefined) return refusal
      return kme === self ? this.at(request, kme, none, [request.slave]) : this.at(request, kme!, [request.slave], none)
    }
    const local: SaeId[] = [], remote = new Map<KmeId, SaeId[]>()
    for (const sae of [request.slave, ...request.additionalSlaves]) {
      const kme = policy.whereIs(sae)
      const refusal = this.checkSlave(request.caller, sae, kme, sae === request.slave ? 'slave_SAE_ID' : 'additional_slave_SAE_IDs')
      if (refusal !== undefined) return refusal
      if (kme === self) local.push(sae)
      else remote.set(kme!, [...remote.get(kme!) ?? [], sae])
    }
    const [[kme, slaves], ...others] = remote.size === 0 ? [[self, []] as const] : [...remote] as [[KmeId, SaeId[]], ...[KmeId, SaeId[]][]]
    const target = this.at(request, kme, slaves, local)
    return 'code' in target || others.length === 0 ? target : this.withFurther(request, target, others)
  }

  /** A pool for the pads of each KME beyond the first: one that is connected, and meets the demands like the first. */
  private withFurther (request: EncKeysRequest, target: Target, others: readonly (readonly [KmeId, readonly SaeId[]])[]): Target | Refusal {
    const further: Further[] = []
    for (const [kme, slaves] of others) {
      const at = this.at(request, kme, slaves, [])
      if ('code' in at) return at
      const connected = this.deps.poolsWith(kme).find((p) => p.core.ready && p.blocked() === '' && (request.extensions.length === 0 || this.unmet(request, p) === undefined))
      const pool = connected ?? at.pool
      if (pool.named === undefined) throw new Error(`invariant violated: a pool with ${kme} carries grants`)
      further.push({ pool, named: pool.named, slaves })
    }
    return { ...target, further }
  }

  private checkSlave (caller: SaeId, slave: SaeId, kme: string | undefined, what: string): Refusal | undefined {
    if (slave === caller) return refusals.sameSae(what)
    if (kme === undefined) return this.deps.policy.confidentialNames ? refusals.unauthorized : refusals.unknownSae(what)
    return this.deps.policy.allowed(caller, slave) ? undefined : refusals.unauthorized
  }

  /** The first pool with that KME that can meet the demands and deliver; else the first that can meet them, whose reason is told. */
  private at (request: EncKeysRequest, kme: string, slaves: readonly SaeId[], local: readonly SaeId[]): Target | Refusal {
    const pools = this.deps.poolsWith(kme)
    const { extensions } = request
    const first = pools[0]
    if (extensions.length === 0 && first !== undefined) return { pool: first.blocked() === '' ? first : pools.find((p) => p.blocked() === '') ?? first, slaves, local }
    const mandatory = this.deps.extensions.constraint(extensions.filter((e) => e.mandatory))
    if (mandatory === undefined) return refusals.unmet(namesOf(extensions)) // Two of them contradict each other.
    const able = pools.filter((pool) => canMeet(pool.traits, mandatory))
    const wish = this.deps.extensions.constraint(extensions) ?? mandatory
    const fit = able.filter((pool) => pool.blocked() === '' && this.meetsNow(pool, mandatory))
    const pool = fit.find((p) => this.meetsNow(p, wish)) ?? fit[0] ?? able[0]
    if (pool !== undefined) return { pool, slaves, local }
    if (this.deps.wanted(kme, mandatory)) return refusals.preparing
    return pools.length === 0 ? refusals.blocked('PEER_DOWN') : refusals.unmet(namesOf(extensions))
  }

  private meetsNow (pool: KeyPool, demand: KeyConstraint): boolean { return meets(pool.traits, this.ageOf(pool), demand) }
  private ageOf (pool: KeyPool): number { return pool.core.deps.ageMs() - pool.lane.oldestBornMs() }

  private open (request: EncKeysRequest, target: Target, generation: number, reply: KeyReply): void {
    if (this.waiting >= WAITING_MAX) { reply.refuse(refusals.busy); return }
    this.waiting++
    const once = this.once(ASSOCIATION_WAIT_MS, () => { reply.refuse(refusals.blocked('PEER_DOWN')) })
    target.pool.associations.open(request.caller, target.slaves, target.local, generation, (row) => {
      if (!once.finish()) return
      if (typeof row === 'string') reply.refuse(refusals.association(row))
      else this.deliver(request, target, row, reply, true)
    })
  }

  /** A guard that fires once: `finish` is true for whoever comes first, the caller or the timer. */
  private once (delayMs: number, late: () => void): { finish: () => boolean, isOver: () => boolean } {
    let done = false
    const finish = (): boolean => {
      if (done) return false
      done = true
      this.waiting--
      cancel()
      return true
    }
    const cancel = this.deps.clock.after(delayMs, () => { if (finish()) late() })
    return { finish, isOver: () => done }
  }

  /** @param nowMs @param wallMs What the clocks show, for a request that has not waited. */
  private deliver (request: EncKeysRequest, target: Target, association: AssociationRow, reply: KeyReply, mayWait: boolean, nowMs?: number, wallMs?: number): void {
    const { pool, further } = target
    // A request may have waited: what was true when it came is looked at again.
    const blocked = this.deps.accepting() ? pool.blocked() : 'NO_KEYS'
    if (blocked !== '') { reply.refuse(refusals.blocked(blocked)); return }
    if (association.state !== 'open' || association.generation !== pool.core.meta.generation) { reply.refuse(refusals.noKeys); return }
    const unmet = request.extensions.length === 0 ? undefined : this.unmet(request, pool) ?? further?.map((f) => this.unmet(request, f.pool)).find((r) => r !== undefined)
    if (unmet !== undefined) { reply.refuse(unmet); return }
    const sizeBytes = request.sizeBits >>> 3
    const bytes = request.number * unitOf(sizeBytes)
    if ((this.short(pool, bytes) || further?.some((f) => this.short(f.pool, bytes)) === true) && !this.fairness.mayTakeLast(request.caller)) { reply.refuse(refusals.noKeys); return }
    if (this.reserve.refuses(request.caller, pool, bytes) || further?.some((f) => this.reserve.refuses(request.caller, f.pool, bytes)) === true) { reply.refuse(refusals.noKeys); return }
    if (!this.deps.audit.healthy()) { reply.refuse(refusals.blocked('NO_KEYS')); return }
    if (further !== undefined) { this.multicast.begin({ request, reply, pool, association, further }); return }
    const members = this.membersOf(pool, request.number, unitOf(sizeBytes))
    const length = pool.lane.cut(request.number, sizeBytes, association.number, members === '' ? undefined : members, this.out, this.taken)
    if (length === CUT_NO_ROOM) throw new Error('invariant violated: the answer buffer holds the largest answer')
    if (length === CUT_INSUFFICIENT) {
      if (mayWait && this.isComing(pool, bytes)) this.waitForLease(request, target, association, reply)
      else reply.refuse(refusals.noKeys)
      return
    }
    this.fairness.used(request.caller, bytes, nowMs)
    const delivery = this.book(request, pool, association, takenBlock(this.taken), this.taken[2]!, undefined, wallMs)
    const json = this.answer(length)
    try { reply.keys(json, delivery) } finally { json.fill(0) }
  }

  /** The front of the answer buffer. Most answers are as long as the one before, and a view costs as much as a key. */
  private answer (length: number): Uint8Array {
    if (this.view.length !== length) this.view = this.out.subarray(0, length)
    return this.view
  }

  /** @returns the number of the answer in the audit trail. */
  private book (request: EncKeysRequest, pool: KeyPool, association: AssociationRow, block: number, place: number, takeBack: (() => void) | undefined, wallMs?: number): number {
    const { caller, slave, number: keys } = request, sizeBytes = request.sizeBits >>> 3
    const number = this.deps.audit.record({ kind: 'enc', caller, other: slave, association: association.number, block, place, sizeBytes, number: keys, wallMs })
    this.recent.keep({ number, pool, caller, slave, association: association.number, block, place, keys, sizeBytes, takeBack })
    return number
  }

  private membersOf (pool: KeyPool, count: number, unitBytes: number): string {
    const { details } = this.deps
    if (details.keys === 'nothing') return ''
    const hops = pool.kind === 'relayed' ? hopsOfAll(pool.core, pool.lane.nextBlocks(count, unitBytes)) : 0
    if (details.keys === 'wayAndAge') return keyMembers(details, pool.traits, this.ageOf(pool), hops)
    let members = this.members.get(pool)
    if (members === undefined) this.members.set(pool, members = [])
    return members[hops] ??= keyMembers(details, pool.traits, undefined, hops)
  }

  private waitForLease (request: EncKeysRequest, target: Target, association: AssociationRow, reply: KeyReply): void {
    const { pool } = target
    if (this.waiting >= WAITING_MAX) { reply.refuse(refusals.busy); return }
    this.waiting++
    const once = this.once(this.deps.sizes.leaseWaitMs, () => { reply.refuse(refusals.noKeys) })
    const sizeBytes = request.sizeBits >>> 3, bytes = request.number * (sizeBytes + 7 & ~7)
    const attempt = (): void => {
      pool.lane.afterLease(() => {
        if (once.isOver()) return
        // Others took the lease, or it was too short: the next one is asked for, while there is time.
        if (pool.lane.leasedBytes < bytes + sizeBytes && this.isComing(pool, Math.max(bytes, pool.lane.leasedBytes + 1))) { attempt(); return }
        if (once.finish()) this.deliver(request, target, association, reply, false)
      })
    }
    attempt()
  }

  /** Key that is not leased yet but will be, while the peer is there to open more of the lane for us. */
  private isComing (pool: KeyPool, bytes: number): boolean {
    return pool.lane.freeBytes(pool.core.ready || pool.kind === 'local') >= bytes
  }

  /** Stock is in its last fifth, counted against what the lane had at its fullest in this process. */
  private short (pool: KeyPool, bytes: number): boolean {
    return pool.lane.shortAfter(bytes)
  }

  /** What the mandatory extensions demand and this lane's front does not have. Optional ones are not refused for. */
  private unmet (request: EncKeysRequest, pool: KeyPool): Refusal | undefined {
    const mandatory = request.extensions.filter((e) => e.mandatory)
    const demand = this.deps.extensions.constraint(mandatory)
    return demand !== undefined && this.meetsNow(pool, demand) ? undefined : refusals.unmet(namesOf(mandatory))
  }

  /** The answer did not reach the socket whole: nobody is told these IDs, so the keys are burned. */
  aborted (delivery: number): boolean {
    const d = this.recent.take(delivery)
    if (d === undefined) return false
    d.pool.core.rebook('aborted', d.keys * d.sizeBytes)
    d.takeBack?.()
    this.deps.audit.record({ kind: 'aborted', caller: d.caller, other: d.slave, association: d.association, block: d.block, place: d.place, sizeBytes: d.sizeBytes, number: d.keys })
    return true
  }

  /** The store closes: requests that wait for other KMEs end. */
  stop (): void { this.multicast.stop() }
}
