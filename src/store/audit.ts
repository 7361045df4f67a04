/**
 * The audit trail. Records gather in a buffer and become rows of the store, a batch per row, chained by HMAC:
 *   ['audit', first sequence] -> MAC 32 | records, 64 bytes each;   MAC = HMAC(audit key, previous MAC || records)
 * There is one mechanism for both deliveries. `record` (enc_keys) is written by a timer within 50 ms; `recordIn`
 * (dec_keys) writes all that is gathered at the end of the caller's transaction, so that a record is durable exactly with
 * its claims, and one HMAC serves a whole group. As rows of the store the trail shares its journal, flush, bounds and full disk.
 */
import { KmeError } from '../kernel/errors.js'
import type { SaeId } from '../kernel/ids.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { KeyHandle } from '../device/native.js'
import { AUDIT_RECORD_BYTES, AuditBuffer, auditKinds, type AuditKind } from './audit-record.js'
import { prefixRange, type Kv, type KvReader, type KvWriter } from './kv.js'
import type { KeyVault } from './master-key.js'
import { viewOf } from './numbers.js'

/** Numbers and names of one request; SAE IDs are stored as numbers. */
export interface AuditEntry {
  readonly kind: AuditKind
  readonly caller: SaeId, readonly other: SaeId
  readonly association: number, readonly block: number, readonly place: number
  readonly sizeBytes: number, readonly number: number
  /** When it was, if that is known; else now. */
  readonly wallMs?: number | undefined
}

export interface AuditOptions {
  readonly vault: Pick<KeyVault, 'hmac'>
  readonly kv: Kv
  readonly clock: Clock
  /** SealKeys.auditKey and auditKeyIsNew. */
  readonly key: KeyHandle
  readonly keyIsNew: boolean
  /** Records older than this are removed; 0 keeps them for ever. */
  readonly days: number
  /** Bound of the trail; the oldest go first. */
  readonly maxBytes: number
  /** The trail could not be written. Delivery stops by itself (`healthy`); this is for the log and the supervisor. */
  readonly onFailure: (error: unknown) => void
}

export const AUDIT_TABLE = 'audit'
export const AUDIT_NAME_TABLE = 'auditName'
/** f64 sequence | MAC 32: the batch that begins there continues this MAC. What was before is trimmed or not verifiable. */
export const AUDIT_BASE = ['auditBase'] as const
export const NO_MAC = new Uint8Array(32)

const FLUSH_MS = 50
const TRIM_MS = 60_000
const TRIM_ROWS = 4096
const BUFFER_RECORDS = 8192
const NAMES_MAX = 1_000_000

export class AuditTrail {
  private buffer = new AuditBuffer(BUFFER_RECORDS)
  private readonly names = new Map<string, number>()
  private newNames: [number, string][] = []
  private next: number
  private mac: Uint8Array
  private bytes = 0
  private failed = false
  private timer: Cancel | undefined
  private readonly trimmer: { cancel: Cancel }
  private readonly writeBuffer = (tx: KvWriter): (() => void) | undefined => this.write(tx)

  constructor (private readonly options: AuditOptions) {
    const { kv } = options
    for (const { key, value } of kv.range(prefixRange([AUDIT_NAME_TABLE]))) this.names.set(Buffer.from(value).toString(), key[1] as number)
    const base = readBase(kv)
    this.next = base.sequence
    this.mac = base.mac
    const [last] = [...kv.range({ ...prefixRange([AUDIT_TABLE]), reverse: true, limit: 1 })]
    if (last !== undefined) {
      this.next = (last.key[1] as number) + (last.value.length - 32) / AUDIT_RECORD_BYTES
      this.mac = last.value.slice(0, 32)
      const [first] = kv.keys({ ...prefixRange([AUDIT_TABLE]), limit: 1 })
      this.bytes = (this.next - (first?.[1] as number)) * AUDIT_RECORD_BYTES
    }
    if (options.keyIsNew) this.rebase()
    this.trimmer = { cancel: options.clock.after(TRIM_MS, () => { this.trimLater() }) }
  }

  /**
   * Books a request; on disk within 100 ms.
   * @returns its sequence number. @throws KmeError `QUEUE_FULL` if the trail cannot keep up: deliver nothing.
   */
  record (entry: AuditEntry): number {
    const sequence = this.append(entry)
    this.timer ??= this.options.clock.after(FLUSH_MS, () => { this.timer = undefined; this.flush() })
    return sequence
  }

  /** Books a request in the transaction that makes it true. If that fails the record still follows: it may tell of a request that was refused, never leave one out. */
  recordIn (tx: KvWriter, entry: AuditEntry): number {
    const sequence = this.append(entry)
    tx.atEnd(this.writeBuffer)
    return sequence
  }

  /** False when the trail cannot be written: nothing may be delivered then. Recovers when a write succeeds again. */
  healthy (): boolean { return !this.failed && !this.buffer.full }

  /** Number of records ever written to the chain and its last MAC: what peers exchange. */
  head (): { records: number, head: Uint8Array } { return { records: this.next - this.buffer.count - 1, head: new Uint8Array(this.mac) } }

  /** Writes what is gathered, visible when it returns; durable with the next flush of the store. */
  flush (): void {
    if (this.buffer.count === 0) return
    const { kv, onFailure } = this.options
    const notDurable = (error: unknown): void => { this.failed = true; onFailure(error) }
    try {
      kv.transact((tx) => { tx.atEnd(this.writeBuffer) })
      kv.flushed().then(() => { this.failed = false }, notDurable)
    } catch (error) {
      notDurable(error)
      this.timer ??= this.options.clock.after(10 * FLUSH_MS, () => { this.timer = undefined; this.flush() })
    }
  }

  /** Removes what is too old or too much, at most 4096 batches a call. @returns batches removed. */
  trim (): number {
    const { kv, clock, days, maxBytes } = this.options
    const oldestMs = days === 0 ? -Infinity : clock.wallMs() - days * 86_400_000
    let removed = 0, base: { sequence: number, mac: Uint8Array } | undefined
    kv.transact((tx) => {
      for (const { key, value } of kv.range({ ...prefixRange([AUDIT_TABLE]), limit: TRIM_ROWS })) {
        const lastMs = viewOf(value).getFloat64(value.length - AUDIT_RECORD_BYTES + 8, true)
        if (lastMs >= oldestMs && this.bytes <= maxBytes) break
        tx.remove(key)
        this.bytes -= value.length - 32
        base = { sequence: (key[1] as number) + (value.length - 32) / AUDIT_RECORD_BYTES, mac: value.slice(0, 32) }
        removed++
      }
      if (base !== undefined) putBase(tx, base)
    })
    return removed
  }

  /** Writes the rest. The caller flushes and closes the store. */
  close (): void {
    this.timer?.()
    this.trimmer.cancel()
    this.flush()
  }

  private append (entry: AuditEntry): number {
    if (this.buffer.full) throw new KmeError('QUEUE_FULL', 'the audit trail cannot be written: look at the log for the store\'s error')
    const sequence = this.next
    this.buffer.append(sequence, entry.wallMs ?? this.options.clock.wallMs(), auditKinds.indexOf(entry.kind), entry.association,
      this.nameOf(entry.caller), this.nameOf(entry.other), entry.block, entry.place, entry.sizeBytes, entry.number)
    this.next++
    return sequence
  }

  private nameOf (name: string): number {
    const known = this.names.get(name)
    if (known !== undefined) return known
    if (name === '' || this.names.size >= NAMES_MAX) return 0
    const number = this.names.size + 1
    this.names.set(name, number)
    this.newNames.push([number, name])
    return number
  }

  /** @returns what moves the chain on once the transaction has taken the batch. */
  private write (tx: KvWriter): (() => void) | undefined {
    const { vault, key } = this.options
    const count = this.buffer.count
    if (count === 0) return undefined
    const records = this.buffer.written()
    const chained = new Uint8Array(32 + records.length)
    chained.set(this.mac)
    chained.set(records, 32)
    const mac = vault.hmac(key, chained)
    chained.set(mac)
    tx.put([AUDIT_TABLE, this.next - count], chained)
    for (const [number, name] of this.newNames) tx.put([AUDIT_NAME_TABLE, number], new TextEncoder().encode(name))
    return () => {
      this.mac = mac
      this.bytes += count * AUDIT_RECORD_BYTES
      this.buffer.count = 0
      this.newNames = []
    }
  }

  /** A new key (new or zeroized store): the chain begins anew after what there is. */
  private rebase (): void {
    this.mac = NO_MAC
    this.options.kv.transact((tx) => { putBase(tx, { sequence: this.next, mac: NO_MAC }) })
  }

  private trimLater (): void {
    try { this.trim() } catch (error) { this.options.onFailure(error) }
    this.trimmer.cancel = this.options.clock.after(TRIM_MS, () => { this.trimLater() })
  }
}

/** Where the verifiable chain begins: sequence 1 in a new store. */
export const readBase = (reader: KvReader): { sequence: number, mac: Uint8Array } => {
  const row = reader.get(AUDIT_BASE)
  return row?.length === 40 ? { sequence: viewOf(row).getFloat64(0, true), mac: row.slice(8) } : { sequence: 1, mac: NO_MAC }
}

const putBase = (tx: KvWriter, { sequence, mac }: { sequence: number, mac: Uint8Array }): void => {
  const row = new Uint8Array(40)
  viewOf(row).setFloat64(0, sequence, true)
  row.set(mac, 8)
  tx.put(AUDIT_BASE, row)
}
