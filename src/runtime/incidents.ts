import { alertBegins, alertEnds, type AlertEdge } from '../../machines/part.js'
import type { IncidentPoolView, IncidentView, VoidRequest, VoidView } from '../admin/port.js'
import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { MetricSink } from '../kernel/metrics.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { PoolEvent } from '../pool/ports.js'
import { runVoid, spreadVoid, voidPartOf, type VoidOrder, type VoidPart } from '../pool/void-desk.js'
import { INCIDENTS_OF_OTHER_MAX, listIncidents, putIncident, type IncidentPool, type IncidentRow } from '../store/incidents.js'
import type { Keyspace } from './keyspace.js'

export interface IncidentsDeps {
  readonly self: KmeId
  readonly clock: Clock
  readonly random: Random
  readonly keyspace: Keyspace
  readonly log: Log
  readonly alert: (edge: AlertEdge) => void
}

const TICK_MS = 1_000
/** A neighbour that is there answers within this time. */
const PATIENCE_MS = 5_000
/** So many acts of one other KME's operator are kept and written to the audit trail in this time; more are carried out and told once. */
const SHARE_MS = 3_600_000

type Voided = Extract<PoolEvent, { type: 'keys.voided' }>
const iso = (ms: number): string => new Date(ms).toISOString()

/**
 * Voids, holds and releases by operators: carried out, kept as incidents, in the audit trail, and watched until every KME that could
 * serve the keys has confirmed. What another KME's operator voided stands here, too, under the same ID.
 */
export class Incidents {
  /** Those that somebody has not confirmed. */
  private readonly waiting = new Map<string, IncidentRow>()
  private timer: Cancel = () => {}
  private voids = 0
  /** What other KMEs told lately; they are as many as there are pools. */
  private readonly lately = new Map<KmeId, { sinceMs: number, count: number }>()

  constructor (private readonly d: IncidentsDeps) {}

  /** The store is open. */
  start (): void {
    for (const row of listIncidents(this.kv)) if (this.stateOf(row) === 'waiting') this.waiting.set(row.id, row)
    this.later()
  }

  stop (): void {
    this.timer()
    this.waiting.clear()
  }

  private get kv () { return this.d.keyspace.now.store.kv }

  private parts (): VoidPart[] { return [...this.d.keyspace.now.all.values()].map((pool) => voidPartOf(pool, this.d.keyspace.vault)) }

  // --- acts -----------------------------------------------------------------------------------------------------------

  /** @throws KmeError `BUSY`, `NOT_FOUND` if a peer is meant with which there is no pool. Durable here when it resolves. */
  async void (request: VoidRequest): Promise<VoidView> {
    const { d } = this
    const act = { id: Buffer.from(d.random.bytes(16)).toString('hex'), reason: request.reason }
    const { order, what } = this.orderOf(request)
    const { counts, unknown } = runVoid(this.parts(), act, order, request.dryRun)
    if (request.dryRun || counts.length === 0) return { incident: null, pools: counts.map((c) => this.poolView(act.id, c, request.dryRun)), unknown }
    const row = this.record({ id: act.id, atMs: d.clock.wallMs(), kind: 'void', origin: d.self, what, reason: act.reason, pools: counts })
    await this.kv.flushed()
    const view = this.viewOf(row)
    return { incident: view, pools: view.pools, unknown }
  }

  private orderOf ({ ids, sae, peer, fromMs, toMs }: VoidRequest): { order: VoidOrder, what: string } {
    if (ids !== undefined) return { order: { ids }, what: ids.length === 1 ? '1 key by ID' : `${ids.length} keys by ID` }
    if (sae !== undefined) return { order: { sae }, what: `keys of SAE ${sae}` }
    if (peer !== undefined && !this.parts().some((p) => p.remote === peer)) throw new KmeError('NOT_FOUND', `there is no pool with ${peer}`)
    const where = peer === undefined ? '' : ` with ${peer}`
    if (fromMs === undefined || toMs === undefined) return { order: { peer, fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }, what: `all issued keys${where}` }
    return { order: { peer, fromMs, toMs }, what: `keys issued${where} from ${iso(fromMs)} to ${iso(toMs)}` }
  }

  /** A hold or release of a link or a peer, done already. Durable when it resolves. */
  async note (kind: 'hold' | 'release', what: string, reason: string): Promise<void> {
    const { d } = this
    this.record({ id: Buffer.from(d.random.bytes(16)).toString('hex'), atMs: d.clock.wallMs(), kind, origin: d.self, what, reason, pools: [] })
    await this.kv.flushed()
  }

  /** Another KME's operator voided keys of a pool, or it answered our question. */
  told (event: Voided): void {
    const { pool } = event
    const counts = { pool, keys: event.keys, fetched: 0, associations: event.associations, stretches: event.stretches, told: 0, asked: false }
    const known = listIncidents(this.kv).find(({ id }) => id === event.incident)
    const spread = spreadVoid(this.parts(), pool, { id: event.incident, reason: event.reason }, event.spread)
    if (known?.origin === this.d.self && spread.length === 0) return // The answer to what was said here.
    const from = this.d.keyspace.now.all.get(pool)?.core.deps.remote ?? pool, origin = known?.origin ?? from
    if (!this.isInShare(from)) { this.voids++; return }
    this.record({ id: event.incident, atMs: known?.atMs ?? this.d.clock.wallMs(), kind: 'void', origin, what: `keys voided by ${origin}`, reason: event.reason, pools: [counts, ...spread] })
  }

  /** Whether what that KME tells is kept: a flood of acts would push everything else out of the audit trail. */
  private isInShare (from: KmeId): boolean {
    const nowMs = this.d.clock.monoMs(), before = this.lately.get(from)
    const now = before === undefined || nowMs - before.sinceMs >= SHARE_MS ? { sinceMs: nowMs, count: 0 } : before
    this.lately.set(from, now)
    if (++now.count === INCIDENTS_OF_OTHER_MAX + 1) {
      this.d.log.security({ category: 'operator', severity: 'high', event: 'incident.flood', subject: from, outcome: 'detected', fields: { detail: `${from} voids keys more than ${INCIDENTS_OF_OTHER_MAX} times in an hour: it is done, and not written down one by one` } })
    }
    return now.count <= INCIDENTS_OF_OTHER_MAX
  }

  private record (row: IncidentRow): IncidentRow {
    const { audit } = this.d.keyspace.now, keys = row.pools.reduce((sum, p) => sum + p.keys, 0)
    const whole = this.kv.transact((tx) => putIncident(tx, row, this.d.self))
    audit.record({ kind: 'security', caller: '', other: `${row.kind} ${row.id.slice(0, 16)} ${row.origin}`, association: 0, block: 0, place: 0, sizeBytes: 0, number: keys })
    audit.flush()
    this.d.log.security({
      category: 'operator', severity: 'high', event: `incident.${row.kind}`, subject: row.id, outcome: row.origin === this.d.self ? 'allowed' : 'detected',
      fields: { origin: row.origin, what: row.what, reason: row.reason, pools: row.pools.map((p) => p.pool) },
    })
    if (row.kind === 'void') this.voids++
    if (this.stateOf(whole) === 'waiting') this.waiting.set(whole.id, whole)
    return whole
  }

  // --- views ----------------------------------------------------------------------------------------------------------

  list (): IncidentView[] { return listIncidents(this.kv).map((row) => this.viewOf(row)) }

  /** @param id The whole ID, or its first characters if only one begins so. */
  get (id: string): IncidentView {
    const found = listIncidents(this.kv).filter((row) => row.id.startsWith(id))
    if (found.length !== 1) throw new KmeError('NOT_FOUND', found.length === 0 ? `there is no incident ${id}` : `${found.length} incidents begin with ${id}`)
    return this.viewOf(found[0]!)
  }

  private viewOf (row: IncidentRow): IncidentView {
    return {
      id: row.id, at: iso(row.atMs), kind: row.kind, origin: row.origin, what: row.what, reason: row.reason, state: this.stateOf(row),
      pools: row.pools.map((p) => this.poolView(row.id, p, false)),
    }
  }

  private poolView (id: string, p: IncidentPool, dryRun: boolean): IncidentPoolView {
    return { pool: p.pool, keys: p.keys, alreadyFetched: p.fetched, associations: p.associations, stretches: p.stretches, state: dryRun || this.isDone(id, p) ? 'done' : 'waiting' }
  }

  private isDone (id: string, { pool, told }: IncidentPool): boolean {
    const found = this.d.keyspace.now.all.get(pool)
    return found === undefined || found.voids.isDone(id, told) // Without the pool there are no keys.
  }

  private stateOf (row: IncidentRow): 'done' | 'waiting' { return row.pools.every((p) => this.isDone(row.id, p)) ? 'done' : 'waiting' }

  registerMetrics (sink: MetricSink): void {
    const isOpen = (): boolean => this.d.keyspace.isOpen
    sink.register('qkme_voids_total', 'Voids of keys by operators, here and at other KMEs, since the start.', 'counter', () => [{ value: this.voids }])
    sink.register('qkme_voids_waiting', 'Voids that some other KME has not confirmed yet.', 'gauge', () => [{ value: this.waiting.size }])
    sink.register('qkme_pool_void_stretches', 'Stretches of a pool\'s lanes that are void.', 'gauge', () =>
      isOpen() ? [...this.d.keyspace.now.all.values()].map((p) => ({ labels: { pool: p.core.pool }, value: p.voids.stretches })) : [])
    sink.register('qkme_pool_held', '1 while an operator here or at the other KME holds the pool.', 'gauge', () =>
      isOpen() ? [...this.d.keyspace.now.all.values()].map((p) => ({ labels: { pool: p.core.pool }, value: p.core.held === '' ? 0 : 1 })) : [])
  }

  // --- time -----------------------------------------------------------------------------------------------------------

  private later (): void { this.timer = this.d.clock.after(TICK_MS, () => { this.tick(); this.later() }) }

  private tick (): void {
    if (!this.d.keyspace.isOpen) return
    for (const [id, row] of this.waiting) {
      const left = row.pools.filter((p) => !this.isDone(id, p)).map((p) => p.pool)
      if (left.length === 0) {
        this.waiting.delete(id)
        this.d.alert(alertEnds('void.waiting', id))
      } else if (this.d.clock.wallMs() - row.atMs > PATIENCE_MS) {
        this.d.alert(alertBegins('void.waiting', id, 'high', `${row.what}: not confirmed for the pools ${left.join(', ')}; keys may still be fetched there`))
      }
    }
  }
}
