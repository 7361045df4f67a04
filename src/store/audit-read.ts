/** Reading and verifying the audit trail. */
import { timingSafeEqual } from 'node:crypto'
import type { KeyHandle } from '../device/native.js'
import { AUDIT_NAME_TABLE, AUDIT_TABLE, readBase } from './audit.js'
import { AUDIT_RECORD_BYTES, readAuditRecord, type AuditRecord } from './audit-record.js'
import { prefixRange, type KvReader } from './kv.js'
import type { KeyVault } from './master-key.js'

/** A record with its names; '' for none. */
export interface AuditView extends Omit<AuditRecord, 'caller' | 'other'> { readonly caller: string, readonly other: string }

/** Records in order from `fromSequence`. @throws KmeError `STORE_CORRUPT` */
export function * readAudit (kv: KvReader, fromSequence = 0): Generator<AuditView> {
  const names = new Map<number, string>()
  const name = (number: number): string => {
    let known = names.get(number)
    if (known === undefined) names.set(number, known = Buffer.from(kv.get([AUDIT_NAME_TABLE, number]) ?? []).toString())
    return known
  }
  // The batch that holds `fromSequence` may begin before it.
  const [before] = kv.keys({ start: [AUDIT_TABLE], end: [AUDIT_TABLE, fromSequence], reverse: true, limit: 1 })
  for (const { value } of kv.range({ ...prefixRange([AUDIT_TABLE]), ...(before === undefined ? {} : { start: before }) })) {
    for (let at = 32; at + AUDIT_RECORD_BYTES <= value.length; at += AUDIT_RECORD_BYTES) {
      const record = readAuditRecord(value.subarray(at, at + AUDIT_RECORD_BYTES))
      if (record.sequence >= fromSequence) yield { ...record, caller: name(record.caller), other: name(record.other) }
    }
  }
}

export interface AuditVerdict {
  /** Records that verify. */
  readonly verified: number
  /** Records from before the chain's key was made (zeroized store): readable, not verifiable. */
  readonly unverifiable: number
  /** The first record that does not belong where it stands, if any. */
  readonly brokenAt: { readonly sequence: number, readonly what: string } | undefined
  /** Last sequence and MAC that verify: compare with what peers were told. */
  readonly lastSequence: number
  readonly head: Uint8Array
}

/** Walks the chain from its base to the first break. */
export const verifyAudit = (kv: KvReader, vault: Pick<KeyVault, 'hmac'>, key: KeyHandle): AuditVerdict => {
  const base = readBase(kv)
  let { mac, sequence: expected } = base
  let verified = 0, unverifiable = 0
  const verdict = (brokenAt: AuditVerdict['brokenAt']): AuditVerdict => ({ verified, unverifiable, brokenAt, lastSequence: expected - 1, head: mac })
  for (const { key: row, value } of kv.range(prefixRange([AUDIT_TABLE]))) {
    const sequence = row[1] as number, records = (value.length - 32) / AUDIT_RECORD_BYTES
    if (!Number.isInteger(records) || records < 1) return verdict({ sequence, what: 'a batch has a wrong length' })
    if (sequence < base.sequence) { unverifiable += records; continue }
    if (sequence !== expected) return verdict({ sequence: expected, what: `records ${expected} to ${sequence - 1} are missing` })
    const chained = new Uint8Array(value)
    chained.set(mac)
    if (!timingSafeEqual(value.subarray(0, 32), vault.hmac(key, chained))) return verdict({ sequence, what: `the batch of records ${sequence} to ${sequence + records - 1} was changed, or one before it` })
    mac = value.slice(0, 32)
    verified += records
    expected += records
  }
  return verdict(undefined)
}
