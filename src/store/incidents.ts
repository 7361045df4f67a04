/** What operators did about keys that may be known to others, as rows of the store: the newest are kept. No key bytes, no key IDs. */
import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import { prefixRange, type KvReader, type KvWriter } from './kv.js'

export type IncidentKind = 'void' | 'hold' | 'release'

/** What one pool did; `told` and `asked` say what the other KME must still confirm (src/pool/voids.ts). */
export interface IncidentPool {
  readonly pool: string
  readonly keys: number, readonly fetched: number, readonly associations: number, readonly stretches: number
  readonly told: number, readonly asked: boolean
}

export interface IncidentRow {
  /** 16 bytes, hex: the same at every KME that it reached. */
  readonly id: string
  /** Milliseconds since 1970. */
  readonly atMs: number
  readonly kind: IncidentKind
  /** The KME whose operator it was. */
  readonly origin: KmeId
  /** What was done, in words. */
  readonly what: string
  readonly reason: string
  readonly pools: readonly IncidentPool[]
}

/** Beyond, the oldest go. */
export const INCIDENTS_MAX = 1_000
const TABLE = 'incident'

/** Adds an incident, or more pools to one that another KME told in several messages. Inside a transaction. */
export const putIncident = (tx: KvWriter, row: IncidentRow): IncidentRow => {
  const known = listIncidents(tx)
  const same = known.find(({ id }) => id === row.id)
  const whole = same === undefined ? row : { ...same, pools: [...same.pools, ...row.pools].slice(-256) }
  tx.put([TABLE, whole.atMs, whole.id], new TextEncoder().encode(JSON.stringify(whole)))
  if (same === undefined) for (const old of known.slice(INCIDENTS_MAX - 1)) tx.remove([TABLE, old.atMs, old.id])
  return whole
}

/** The newest first. @throws KmeError `STORE_CORRUPT` */
export const listIncidents = (kv: KvReader): IncidentRow[] =>
  [...kv.range({ ...prefixRange([TABLE]), reverse: true })].map(({ value }) => {
    try { return JSON.parse(Buffer.from(value).toString()) as IncidentRow } catch (cause) {
      throw new KmeError('STORE_CORRUPT', 'the row of an incident is damaged. Restore a backup into a new folder (qkme restore)', { cause })
    }
  })
