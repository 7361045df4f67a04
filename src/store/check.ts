/** `qkme store check`: does every sealed record open, and does every slot count its records right? */
import { KmeError } from '../kernel/errors.js'
import type { KvEntry, KvKey, KvReader } from './kv.js'
import { prefixRange } from './kv.js'
import type { KeyVault } from './master-key.js'
import { recordName, recordSlot } from './record.js'
import { slotRows, type SealKeys } from './seal-keys.js'
import { RECORDS_TABLE, sharedRecords } from './shared-records.js'

export interface BadRecord { readonly key: string, readonly name: string, readonly why: string }
export interface CheckReport {
  readonly records: number
  readonly bytes: number
  readonly bad: readonly BadRecord[]
  /** Bad records beyond the first 1000, which are counted only. */
  readonly badMore: number
  /** Slots whose count of records is not what was found. */
  readonly wrongCounts: readonly { readonly slot: number, readonly counted: number, readonly found: number }[]
}

export interface CheckOptions {
  readonly kv: KvReader
  readonly vault: Pick<KeyVault, 'verifyRecord'>
  readonly keys: Pick<SealKeys, 'openerFor' | 'opener'>
  /** Tables whose values are sealed records, by the engine. */
  readonly tables: readonly string[]
  /** Called about every 1000 records. */
  readonly progress?: (records: number, bytes: number) => void
  /** Lets others work; called with `progress`. */
  readonly pause?: () => Promise<void>
}

const BAD_MAX = 1000
const HEADER_BYTES = 92

/** Reads and verifies every record, keeping no plaintext. Never stops at a bad one. */
export const checkStore = async ({ kv, vault, keys, tables, progress, pause }: CheckOptions): Promise<CheckReport> => {
  const bad: BadRecord[] = [], found = new Map<number, number>()
  let records = 0, bytes = 0, badMore = 0
  for (const table of tables) {
    for (const { key, value } of recordsOf(kv, table)) {
      records++
      bytes += value.length
      const why = fault(value, vault, keys)
      if (value.length >= HEADER_BYTES) found.set(recordSlot(value), (found.get(recordSlot(value)) ?? 0) + 1)
      if (why !== undefined) {
        if (bad.length < BAD_MAX) bad.push({ key: shown(key), name: nameOf(value), why })
        else badMore++
      }
      if (records % 1000 === 0) {
        progress?.(records, bytes)
        await pause?.()
      }
    }
  }
  progress?.(records, bytes)
  const counted = new Map(slotRows(kv).map(([slot, row]) => [slot, row.records]))
  const wrongCounts = [...new Set([...counted.keys(), ...found.keys()])].sort((a, b) => a - b)
    .map((slot) => ({ slot, counted: counted.get(slot) ?? 0, found: found.get(slot) ?? 0 })).filter((s) => s.counted !== s.found)
  return { records, bytes, bad, badMore, wrongCounts }
}

function * recordsOf (kv: KvReader, table: string): Iterable<KvEntry> {
  if (table !== RECORDS_TABLE) yield * kv.range(prefixRange([table]))
  else for (const { link, row, index, record } of sharedRecords(kv)) yield { key: [table, link, row, index], value: record }
}

const fault = (record: Uint8Array, vault: CheckOptions['vault'], keys: CheckOptions['keys']): string | undefined => {
  if (record.length <= HEADER_BYTES) return 'too short for a sealed record'
  try {
    return vault.verifyRecord(keys.opener(record), record) ? undefined : 'its tag does not verify: changed, moved or damaged'
  } catch (error) {
    if (error instanceof KmeError) return error.message
    throw error
  }
}

const nameOf = (record: Uint8Array): string => {
  if (record.length < HEADER_BYTES) return 'unknown'
  const { link, id, offset } = recordName(record)
  return `link ${link}, block ${id}, offset ${offset}`
}

const shown = (key: KvKey): string => key.map((part) => part instanceof Uint8Array ? Buffer.from(part).toString('hex') : String(part)).join('/')
