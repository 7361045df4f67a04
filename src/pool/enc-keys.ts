import { CUT_INSUFFICIENT, CUT_NO_ROOM } from '../device/native.js'
import type { SaeId } from '../kernel/ids.js'
import { Fairness } from './fairness.js'
import type { KeyPool } from './key-pool.js'
import { refusals } from './refusals.js'
import type { AssociationRow } from './rows.js'
import type { EncKeysRequest, KeyReply, Refusal } from './service.js'
import type { ServiceDeps } from './service-ports.js'

const ASSOCIATION_WAIT_MS = 2_000
const WAITING_MAX = 1_024
const DELIVERIES_KEPT = 1_024

interface Target { readonly pool: KeyPool, readonly slaves: readonly SaeId[], readonly local: readonly SaeId[] }

/** What keys of a local pool say of themselves: they are not from QKD. */
export const localMembers = (source: string): string => `,"key_extension":${JSON.stringify({ qkme_source: source })}`

/** Get key (014 V1.1.1 clause 5.3): the master's side. In the good case everything happens before the call returns. */
export class EncKeys {
  private readonly fairness: Fairness
  private readonly out: Uint8Array
  private readonly localMembers: string
  private readonly taken = new Uint32Array(3)
  private waiting = 0
  /** What the last deliveries were, so that an aborted answer can be booked. */
  private readonly recent = new Map<number, { request: EncKeysRequest, pool: KeyPool, association: number, block: number, place: number }>()

  constructor (private readonly deps: ServiceDeps) {
    this.fairness = new Fairness(deps.clock)
    this.localMembers = localMembers(deps.localSource)
    const { maxPerRequest, maxBits } = deps.sizes
    this.out = new Uint8Array(maxPerRequest * (Math.ceil(maxBits / 24) * 4 + 160) + 256)
  }

  handle (request: EncKeysRequest, reply: KeyReply): void {
    const target = this.target(request)
    if ('code' in target) { reply.refuse(target); return }
    const { pool } = target
    const blocked = pool.blocked()
    if (blocked !== '') { reply.refuse(refusals.blocked(blocked)); return }
    const generation = pool.core.meta.generation
    const association = pool.associations.ready(request.caller, target.slaves, target.local, generation)
    if (association !== undefined) { this.deliver(request, pool, association, reply, true); return }
    this.open(request, target, generation, reply)
  }

  /** Which pool serves all slaves. Further KMEs come with the relay. */
  private target (request: EncKeysRequest): Target | Refusal {
    const { policy, self } = this.deps
    if (request.additionalSlaves.length === 0) { // The common case, without sets.
      const kme = policy.whereIs(request.slave)
      const refusal = this.checkSlave(request.caller, request.slave, kme, 'slave_SAE_ID')
      if (refusal !== undefined) return refusal
      return this.at(kme!, kme === self ? [] : [request.slave], kme === self ? [request.slave] : [])
    }
    const slaves: SaeId[] = []
    const local: SaeId[] = []
    let remote: string | undefined
    for (const sae of [request.slave, ...request.additionalSlaves]) {
      const kme = policy.whereIs(sae)
      const refusal = this.checkSlave(request.caller, sae, kme, sae === request.slave ? 'slave_SAE_ID' : 'additional_slave_SAE_IDs')
      if (refusal !== undefined) return refusal
      if (kme === self) { local.push(sae); continue }
      if (remote !== undefined && remote !== kme) return refusals.otherKmes()
      remote = kme
      slaves.push(sae)
    }
    return this.at(remote ?? self, slaves, local)
  }

  private checkSlave (caller: SaeId, slave: SaeId, kme: string | undefined, what: string): Refusal | undefined {
    if (slave === caller) return refusals.sameSae(what)
    if (kme === undefined) return this.deps.policy.confidentialNames ? refusals.unauthorized : refusals.unknownSae(what)
    return this.deps.policy.allowed(caller, slave) ? undefined : refusals.unauthorized
  }

  private at (kme: string, slaves: readonly SaeId[], local: readonly SaeId[]): Target | Refusal {
    const pool = this.deps.pool(kme)
    return pool === undefined ? refusals.blocked('PEER_DOWN') : { pool, slaves, local }
  }

  private open (request: EncKeysRequest, target: Target, generation: number, reply: KeyReply): void {
    if (this.waiting >= WAITING_MAX) { reply.refuse(refusals.busy); return }
    this.waiting++
    const once = this.once(ASSOCIATION_WAIT_MS, () => { reply.refuse(refusals.blocked('PEER_DOWN')) })
    target.pool.associations.open(request.caller, target.slaves, target.local, generation, (row) => {
      if (!once()) return
      if (typeof row === 'string') reply.refuse(refusals.association(row))
      else this.deliver(request, target.pool, row, reply, true)
    })
  }

  /** A guard that fires once: true for whoever comes first, the caller or the timer. */
  private once (delayMs: number, late: () => void): () => boolean {
    let done = false
    const finish = (): boolean => {
      if (done) return false
      done = true
      this.waiting--
      cancel()
      return true
    }
    const cancel = this.deps.clock.after(delayMs, () => { if (finish()) late() })
    return finish
  }

  private deliver (request: EncKeysRequest, pool: KeyPool, association: AssociationRow, reply: KeyReply, mayWait: boolean): void {
    // A request may have waited: what was true when it came is looked at again.
    const blocked = this.deps.accepting() ? pool.blocked() : 'NO_KEYS'
    if (blocked !== '') { reply.refuse(refusals.blocked(blocked)); return }
    if (association.state !== 'open' || association.generation !== pool.core.meta.generation) { reply.refuse(refusals.noKeys); return }
    const unmet = request.extensions.length === 0 ? undefined : this.unmet(request, pool)
    if (unmet !== undefined) { reply.refuse(unmet); return }
    const sizeBytes = request.sizeBits >>> 3
    const bytes = request.number * (sizeBytes + 7 & ~7)
    if (this.short(pool, bytes) && !this.fairness.mayTakeLast(request.caller)) { reply.refuse(refusals.noKeys); return }
    if (!this.deps.audit.healthy()) { reply.refuse(refusals.blocked('NO_KEYS')); return }
    const members = pool.kind === 'local' ? this.localMembers : ''
    const length = pool.lane.cut(request.number, sizeBytes, association.number, members, '', this.out, this.taken)
    if (length === CUT_NO_ROOM) throw new Error('invariant violated: the answer buffer holds the largest answer')
    if (length === CUT_INSUFFICIENT) {
      if (mayWait && pool.lane.freeBytes(false) >= bytes) this.waitForLease(request, pool, association, reply)
      else reply.refuse(refusals.noKeys)
      return
    }
    this.fairness.used(request.caller, bytes)
    const delivery = this.deps.audit.record({
      kind: 'enc', caller: request.caller, other: request.slave, association: association.number,
      block: this.taken[0]!, place: this.taken[1]!, sizeBytes, number: request.number,
    })
    this.remember(delivery, request, pool, association.number)
    const json = this.out.subarray(0, length)
    try { reply.keys(json, delivery) } finally { this.deps.vault.wipe(json) }
  }

  private waitForLease (request: EncKeysRequest, pool: KeyPool, association: AssociationRow, reply: KeyReply): void {
    if (this.waiting >= WAITING_MAX) { reply.refuse(refusals.busy); return }
    this.waiting++
    const once = this.once(this.deps.sizes.leaseWaitMs, () => { reply.refuse(refusals.noKeys) })
    const attempt = (): void => {
      pool.lane.afterLease(() => {
        if (!once()) return
        this.deliver(request, pool, association, reply, false)
      })
    }
    attempt()
  }

  /** Stock is in its last fifth, counted against what the lane had at its fullest in this process. */
  private short (pool: KeyPool, bytes: number): boolean {
    return pool.lane.shortAfter(bytes)
  }

  /** What the mandatory extensions demand and this lane's front does not have. Optional ones are not refused for. */
  private unmet (request: EncKeysRequest, pool: KeyPool): Refusal | undefined {
    const mandatory = request.extensions.filter((e) => e.mandatory)
    const demand = this.deps.extensions.constraint(mandatory)
    const route = pool.kind === 'direct' ? 'direct' : undefined
    const ageMs = pool.core.deps.ageMs() - pool.lane.oldestBornMs()
    const met = demand !== undefined && (demand.route === undefined || demand.route === route) && (demand.maxAgeMs === undefined || ageMs <= demand.maxAgeMs)
    return met ? undefined : refusals.unmet(mandatory.map((e) => e.name).join(', '))
  }

  private remember (delivery: number, request: EncKeysRequest, pool: KeyPool, association: number): void {
    this.recent.set(delivery, { request, pool, association, block: this.taken[0]!, place: this.taken[1]! })
    if (this.recent.size > DELIVERIES_KEPT) for (const oldest of this.recent.keys()) { this.recent.delete(oldest); break }
  }

  /** The answer did not reach the socket whole: nobody is told these IDs, so the keys are burned. */
  aborted (delivery: number): boolean {
    const d = this.recent.get(delivery)
    if (d === undefined) return false
    this.recent.delete(delivery)
    const { request } = d
    const bytes = request.number * (request.sizeBits >>> 3)
    d.pool.core.rebook('aborted', bytes)
    this.deps.audit.record({
      kind: 'aborted', caller: request.caller, other: request.slave, association: d.association, block: d.block, place: d.place,
      sizeBytes: request.sizeBits >>> 3, number: request.number,
    })
    return true
  }
}
