import type { LinkReport, QuarantineCause } from '../../machines/link.js'
import type { Config } from '../config/schema.js'
import type { DeviceOutlet, OpenSource } from '../device/ring-actor.js'
import type { RingBatch } from '../device/ring-batches.js'
import type { RingNotice } from '../device/ring-notices.js'
import { RingSource } from '../device/ring-source.js'
import { META_NUMBERS } from '../device/native.js'
import type { Log } from '../kernel/log.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { framesOfLink, getRow, putRow, tableOf } from '../pool/rows.js'
import type { KvKey } from '../store/kv.js'
import type { Keyspace } from './keyspace.js'
import type { LinkPort } from './link-shell.js'

type LinkConfig = Config['links'][number]

const HEADER_BYTES = 64
const RETRY_MS = 20
const QBER_UNKNOWN = 0xffff_ffff
const QBER_MS = 250

const admissionKey = (link: number): KvKey => ['admission', link]

/**
 * The way of one link's bits: sealed batches from its ring into its pool's store, and back the word that they are durable.
 * While the pool is full a batch waits here, so the ring fills and the device's own rules hold. While the link is in
 * quarantine batches are dropped: their bits never become key.
 */
export class LinkPath implements LinkPort {
  source: RingSource | undefined
  private reporter: ((event: LinkReport) => void) | undefined
  private cause: QuarantineCause | ''
  private readonly waiting: RingBatch[] = []
  private retrying = false
  private qberMs = -Infinity
  lastQber: number | null = null
  droppedFrames = 0
  bytesTaken = 0

  constructor (private readonly link: LinkConfig, private readonly keyspace: Keyspace, private readonly clock: Clock, private readonly log: Log) {
    this.cause = getRow<{ cause: QuarantineCause | '' }>(keyspace.now.store.kv, admissionKey(link.id))?.cause ?? ''
  }

  /** Why the link was in quarantine when this start began, for its machine. */
  get quarantined (): QuarantineCause | undefined { return this.cause === '' ? undefined : this.cause }

  /** Batches that the pool had no room for. */
  get isWaiting (): boolean { return this.waiting.length > 0 }

  private get pool () { return this.keyspace.now.pools.get(this.link.peer)! }

  // --- the device ---------------------------------------------------------------------------------------------------

  readonly open: OpenSource = () => {
    const { ring } = this.link
    const source = new RingSource({
      addon: this.keyspace.addon, vault: this.keyspace.vault, clock: this.clock,
      ring: { path: ring.path, fingerprintKey: this.fingerprintKey(), linkId: this.link.id, slots: ring.slots, ...(ring.macKeyFile === undefined ? {} : { macKeyPath: ring.macKeyFile }) },
      sealing: () => {
        const { sealer, slot } = this.keyspace.now.store.keys.sealer(this.link.peer)
        return { sealer, keySlot: slot }
      },
    })
    this.rememberNames(source)
    return source
  }

  /** The same over restarts of one store; tells nothing of the master key. */
  private fingerprintKey (): Uint8Array {
    const { store } = this.keyspace.now
    return this.keyspace.vault.hmac(store.master, new TextEncoder().encode(`qkme fingerprint link ${this.link.id}`))
  }

  /** Names and fingerprints of finished and of stored frames, oldest first: a frame is taken once (device.md 5.5). */
  private rememberNames (source: RingSource): void {
    const { kv } = this.keyspace.now.store
    for (const { value } of kv.range(tableOf('tomb', this.link.peer))) {
      for (let at = 0; at + HEADER_BYTES <= value.length; at += HEADER_BYTES) source.remember(value.subarray(at, at + HEADER_BYTES))
    }
    for (const { value } of kv.range(framesOfLink(this.link.id))) source.remember(value.subarray(0, HEADER_BYTES))
  }

  readonly outlet: DeviceOutlet = {
    opened: (source) => { this.source = source },
    batch: (batch) => { this.waiting.push(batch); this.pump() },
    notice: (notice) => { this.onNotice(notice) },
  }

  private pump (): void {
    while (this.waiting.length > 0) {
      if (!this.keyspace.isOpen) return
      if (this.cause === '' && (this.keyspace.full || !this.pool.hungry)) { this.retryLater(); return }
      this.store(this.waiting.shift()!)
    }
  }

  private retryLater (): void {
    if (this.retrying) return
    this.retrying = true
    this.clock.after(RETRY_MS, () => { this.retrying = false; this.pump() })
  }

  private store (batch: RingBatch): void {
    this.tellQber(batch)
    if (this.cause !== '') {
      this.droppedFrames += batch.count
      batch.acknowledge()
      return
    }
    for (let i = 0; i < batch.count; i++) this.bytesTaken += batch.meta[i * META_NUMBERS + 1]!
    this.pool.ingest(batch.records, batch.meta, batch.count)
    const { kv } = this.keyspace.now.store
    kv.flushed().then(() => { batch.acknowledge() }, (error: unknown) => { this.keyspace.fail(error) })
  }

  private tellQber (batch: RingBatch): void {
    const raw = batch.meta[(batch.count - 1) * META_NUMBERS + 3]!
    const now = this.clock.monoMs()
    if (raw === QBER_UNKNOWN || now - this.qberMs < QBER_MS) return
    this.qberMs = now
    this.lastQber = raw / 1e6
    this.reporter?.({ type: 'link.qber', qber: this.lastQber })
  }

  private onNotice (notice: RingNotice): void {
    const link = this.link.id
    if (notice.type === 'quarantined') this.reporter?.({ type: 'link.integrity', cause: notice.reason })
    else if (notice.type === 'watermark') this.log.warn('ring fills', { link, quarters: notice.level })
    else if (notice.type === 'incidents-lost') this.log.warn('more incidents than could be kept', { link, count: notice.count })
    else this.onIncident(notice.incident)
  }

  private onIncident (incident: Extract<RingNotice, { type: 'incident' }>['incident']): void {
    const { kind, detail, deviceBlock, offset, epoch } = incident
    this.log.warn('frame incident', { link: this.link.id, kind, detail, deviceBlock, offset, epoch })
    if (kind !== 'aborted') return
    const known = this.pool.revoke(this.link.id, deviceBlock)
    this.log.security({ category: 'device', severity: known > 0 ? 'critical' : 'high', event: 'device.compromised', subject: `link ${this.link.id}`, outcome: 'detected', fields: { deviceBlock, blocksTouched: known } })
  }

  // --- the link's machine ---------------------------------------------------------------------------------------------

  listen (report: (event: LinkReport) => void): Cancel {
    this.reporter = report
    return () => { if (this.reporter === report) this.reporter = undefined }
  }

  /** What the pool engine found out about this link. */
  tell (event: LinkReport): void { this.reporter?.(event) }

  setAdmission (cause: QuarantineCause | ''): void {
    const before = this.cause
    this.cause = cause
    if (before === cause || !this.keyspace.isOpen) return
    this.keyspace.now.store.kv.transact((tx) => { putRow(tx, admissionKey(this.link.id), { cause }) })
    if (cause === '') this.source?.resume()
    this.pump()
  }
}
