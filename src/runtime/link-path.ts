import type { LinkReport, QuarantineCause } from '../../machines/link.js'
import type { Config } from '../config/schema.js'
import type { DeviceOutlet, OpenSource } from '../device/ring-actor.js'
import type { DeviceSource } from '../device/adapter.js'
import type { DurableMark, RingBatch } from '../device/ring-batches.js'
import type { RingNotice } from '../device/ring-notices.js'
import { META_NUMBERS } from '../device/native.js'
import type { Log } from '../kernel/log.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { storedFrames } from '../pool/frame-rows.js'
import { Rate } from '../pool/rate.js'
import { getRow, putRow, tableOf, type FrameRef } from '../pool/rows.js'
import type { KvKey, KvWriter } from '../store/kv.js'
import { ConfirmedNews } from './confirmed-news.js'
import type { Keyspace } from './keyspace.js'
import { openDevice } from './link-adapters.js'
import type { LinkPort } from './link-shell.js'

type LinkConfig = Config['links'][number]

const HEADER_BYTES = 64
const RETRY_MS = 20
const QBER_UNKNOWN = 0xffff_ffff
const QBER_MS = 250
const FULL_MS = 500
const RATE_MS = 10_000

const admissionKey = (link: number): KvKey => ['admission', link]
/** Up to which of its frames the device was told, or is about to be told, that they are durable here. */
const durableKey = (link: number): KvKey => ['durable', link]

/** Whether `a` is a later mark than `b`: epochs in serial arithmetic of 32 bits (RFC 1982). */
const isLater = (a: DurableMark, b: DurableMark): boolean =>
  a.epoch === b.epoch ? a.sequence > b.sequence : ((a.epoch - b.epoch) | 0) > 0

export interface LinkPathDeps {
  readonly link: LinkConfig
  readonly keyspace: Keyspace
  readonly clock: Clock
  readonly log: Log
  /** This KME: the one with the lower ID proposes. */
  readonly self: string
  readonly stateFolder: string
}

/**
 * The way of one link's bits: sealed batches from its ring into its pool's store, and back the word that they are durable.
 * While the pool is full a batch waits here, so the ring fills and the device's own rules hold. While the link is in
 * quarantine batches are dropped: their bits never become key.
 */
export class LinkPath implements LinkPort {
  source: DeviceSource | undefined
  private reporter: ((event: LinkReport) => void) | undefined
  private readonly news: ConfirmedNews
  private cause: QuarantineCause | ''
  private readonly waiting: RingBatch[] = []
  private retrying = false
  private qberMs = -Infinity
  private fullMs = -Infinity
  private durable: DurableMark | undefined
  private readonly link: LinkConfig
  private readonly keyspace: Keyspace
  private readonly clock: Clock
  private readonly log: Log
  lastQber: number | null = null
  droppedFrames = 0
  bytesTaken = 0
  /** Bytes taken, per second, over some ten seconds. */
  readonly rate: Rate

  constructor (private readonly deps: LinkPathDeps) {
    const { link, keyspace } = deps
    this.link = link
    this.keyspace = keyspace
    this.clock = deps.clock
    this.rate = new Rate(deps.clock, RATE_MS)
    this.news = new ConfirmedNews(deps.clock, () => { this.reporter?.({ type: 'link.confirmed' }) })
    this.log = deps.log
    this.cause = getRow<{ cause: QuarantineCause | '' }>(keyspace.now.store.kv, admissionKey(link.id))?.cause ?? ''
    if (this.cause === 'held-there' && !this.heldThere) this.cause = '' // Released while this row was not written.
    this.durable = getRow<DurableMark>(keyspace.now.store.kv, durableKey(link.id))
  }

  /** Why the link was in quarantine when this start began, for its machine. */
  get quarantined (): QuarantineCause | undefined { return this.cause === '' ? undefined : this.cause }

  /** Whether the other KME's operator holds the link. */
  get heldThere (): boolean { return this.pool.holds.linksThere.includes(this.link.id) }

  /** Batches that the pool had no room for. */
  get isWaiting (): boolean { return this.waiting.length > 0 }

  private get pool () { return this.keyspace.now.pools.get(this.link.peer)! }

  // --- the device ---------------------------------------------------------------------------------------------------

  readonly open: OpenSource = () => {
    const { deps, link, keyspace } = this
    const source = openDevice(link, {
      addon: keyspace.addon, vault: keyspace.vault, clock: deps.clock, log: deps.log.child('device'), linkId: link.id,
      fingerprintKey: this.fingerprintKey(), stateFolder: deps.stateFolder, proposes: deps.self < link.peer,
      sealing: () => {
        const { sealer, slot } = keyspace.now.store.keys.sealer(link.peer)
        return { sealer, keySlot: slot }
      },
    })
    try { this.rememberNames(source) } catch (error) {
      source.close()
      throw error
    }
    return source
  }

  /** The other KME proposed frames that this end lacks: a device that gives key by its name is asked for them. */
  want (frames: readonly FrameRef[]): void { if (this.cause === '') this.source?.want?.(frames) }

  /** The same over restarts of one store; tells nothing of the master key. */
  private fingerprintKey (): Uint8Array {
    const { store } = this.keyspace.now
    return this.keyspace.vault.hmac(store.master, new TextEncoder().encode(`qkme fingerprint link ${this.link.id}`))
  }

  /** Names and fingerprints of finished and of stored frames, oldest first: a frame is taken once (device.md 5.5). */
  private rememberNames (source: DeviceSource): void {
    const { kv } = this.keyspace.now.store
    for (const { value } of kv.range(tableOf('tomb', this.link.peer))) {
      for (let at = 0; at + HEADER_BYTES <= value.length; at += HEADER_BYTES) source.remember(value.subarray(at, at + HEADER_BYTES))
    }
    for (const { record } of storedFrames(kv, this.link.id)) if (record.length >= HEADER_BYTES) source.remember(record.subarray(0, HEADER_BYTES))
  }

  readonly outlet: DeviceOutlet = {
    opened: (source) => { this.source = source },
    batch: (batch) => { this.waiting.push(batch); this.pump() },
    notice: (notice) => { this.onNotice(notice) },
  }

  private pump (): void {
    while (this.waiting.length > 0) {
      if (!this.keyspace.isOpen) return
      if (this.cause === '' && (this.keyspace.full || !this.pool.hungry)) { this.tellFull(); this.retryLater(); return }
      this.store(this.waiting.shift()!)
    }
  }

  /** Frames come, but nothing is to be agreed on: that is no silence of the link. */
  private tellFull (): void {
    const now = this.clock.monoMs()
    if (now - this.fullMs < FULL_MS || this.keyspace.full) return
    this.fullMs = now
    this.report({ type: 'link.full' })
  }

  private retryLater (): void {
    if (this.retrying) return
    this.retrying = true
    this.clock.after(RETRY_MS, () => { this.retrying = false; this.pump() })
  }

  private store (batch: RingBatch): void {
    if (batch.count > 0) this.tellQber(batch)
    // On disk before the device hears of it: a device that knows more than the store shows that the store is an old copy.
    const mark = (tx: KvWriter): void => { putRow(tx, durableKey(this.link.id), batch.mark) }
    const { kv } = this.keyspace.now.store
    if (this.cause !== '') this.droppedFrames += batch.count
    if (this.cause !== '' || batch.count === 0) kv.transact(mark)
    else {
      let bytes = 0
      for (let i = 0; i < batch.count; i++) bytes += batch.meta[i * META_NUMBERS + 1]!
      this.bytesTaken += bytes
      this.rate.add(bytes)
      this.pool.ingest(batch.records, batch.meta, batch.count, mark)
    }
    this.durable = { ...batch.mark }
    batch.release()
    kv.flushed().then(() => { batch.acknowledge() }, (error: unknown) => { this.keyspace.fail(error) })
  }

  private tellQber (batch: RingBatch): void {
    this.tellRawQber(batch.meta[(batch.count - 1) * META_NUMBERS + 3]!)
  }

  private tellRawQber (raw: number): void {
    const now = this.clock.monoMs()
    if (raw === QBER_UNKNOWN || now - this.qberMs < QBER_MS) return
    this.qberMs = now
    this.lastQber = raw / 1e6
    this.reporter?.({ type: 'link.qber', qber: this.lastQber })
  }

  private onNotice (notice: RingNotice): void {
    const link = this.link.id
    if (notice.type === 'quarantined') this.report({ type: 'link.integrity', cause: notice.reason })
    else if (notice.type === 'watermark') this.log.warn('ring fills', { link, quarters: notice.level })
    else if (notice.type === 'witness') this.onWitness(notice.mark)
    else if (notice.type === 'incidents-lost') this.log.warn('more incidents than could be kept', { link, count: notice.count })
    else this.onIncident(notice.incident)
  }

  private onIncident (incident: Extract<RingNotice, { type: 'incident' }>['incident']): void {
    const { kind, detail, deviceBlock, offset, epoch } = incident
    this.log.warn('frame incident', { link: this.link.id, kind, detail, deviceBlock, offset, epoch })
    if (kind === 'aborted') this.onCompromised(deviceBlock)
    // A device that can make no key says why with test frames: their QBER counts like that of key.
    if (kind === 'test-data') this.tellRawQber(detail)
  }

  /** The device takes a key block back. Bits of it that left already cannot be recalled: that is an incident, with a record. */
  private onCompromised (deviceBlock: string): void {
    const { link, keyspace } = this
    const left = this.hasLeft(deviceBlock)
    const touched = this.pool.revoke(link.id, deviceBlock)
    this.log.security({
      category: 'device', severity: left ? 'critical' : 'high', event: 'device.compromised', subject: `link ${link.id}`, outcome: 'detected', fields: { deviceBlock, blocksTouched: touched, delivered: left },
    })
    keyspace.now.audit.record({ kind: 'security', caller: '', other: `compromised link/${link.id} ${deviceBlock} ${left ? 'delivered' : 'not delivered'}`, association: 0, block: 0, place: 0, sizeBytes: 0, number: touched })
    keyspace.now.audit.flush()
    this.report({ type: 'link.compromised', deviceBlock, delivered: left })
  }

  /** Whether keys, pads or ID keys may have been made of it: bits that were spent, or frames that are finished. */
  private hasLeft (deviceBlock: string): boolean {
    const { core } = this.pool
    const holds = (number: number): boolean => core.framesOf(number).some((f) => f.link === this.link.id && f.id === deviceBlock)
    for (const b of core.blocks.values()) if ((b.spent > 0 || b.index > 0 || b.state === 'closed' || b.purpose !== 'app') && holds(b.number)) return true
    const id = Buffer.from(deviceBlock, 'hex')
    for (const { value } of this.keyspace.now.store.kv.range(tableOf('tomb', this.link.peer))) {
      for (let at = 0; at + HEADER_BYTES <= value.length; at += HEADER_BYTES) if (id.equals(value.subarray(at + 8, at + 24))) return true
    }
    return false
  }

  /**
   * Design, "Copies": a store behind its ring's durable sequence is an old copy, and its stock of this link may be spent: it is
   * void on both sides. A store that never took from this device has nothing of it.
   */
  private onWitness (mark: DurableMark): void {
    const { durable } = this
    if (durable === undefined || !isLater(mark, durable) || !this.keyspace.isOpen) return
    // From here on this is known: the next life of the store must not find it anew.
    this.durable = { ...mark }
    this.keyspace.now.store.kv.transact((tx) => { putRow(tx, durableKey(this.link.id), mark) })
    const reason = `the device of link ${this.link.id} knows that its frame ${mark.sequence} of epoch ${mark.epoch} was stored here, but the store ends at ${durable.sequence} of epoch ${durable.epoch}: it was put back to an older state`
    this.pool.rolledBack(reason)
    this.pool.core.channel?.close(reason) // The next hello tells the peer.
  }

  // --- the link's machine ---------------------------------------------------------------------------------------------

  listen (report: (event: LinkReport) => void): Cancel {
    this.reporter = report
    return () => { if (this.reporter === report) this.reporter = undefined }
  }

  /** What the pool engine found out about this link. */
  tell (event: LinkReport): void {
    if (event.type === 'link.confirmed') this.news.confirmed()
    else this.report(event)
  }

  private report (event: LinkReport): void {
    this.news.settle()
    this.reporter?.(event)
  }

  setAdmission (cause: QuarantineCause | ''): void {
    const before = this.cause
    this.cause = cause
    if (before === cause || !this.keyspace.isOpen) return
    this.keyspace.now.store.kv.transact((tx) => { putRow(tx, admissionKey(this.link.id), { cause }) })
    this.pool.holds.holdLink(this.link.id, cause === 'operator')
    if (cause === '') this.source?.resume()
    this.pump()
  }
}
