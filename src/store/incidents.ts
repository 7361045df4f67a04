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

/** Beyond, the oldest go: of other KMEs' operators while these have more than half of the room, else our own. */
export const INCIDENTS_MAX = 1_000
/** Of one other KME. Nobody pushes out what others did by many acts of its own. */
export const INCIDENTS_OF_OTHER_MAX = 100
const POOLS_MAX = 256
const TABLE = 'incident'

/** Adds an incident, or what more pools did to one that another KME told in several messages. Inside a transaction. @param self This KME. */
export const putIncident = (tx: KvWriter, row: IncidentRow, self: KmeId): IncidentRow => {
  const known = listIncidents(tx)
  const same = known.find(({ id }) => id === row.id)
  const whole = same === undefined ? row : { ...same, pools: mergePools([...same.pools, ...row.pools]) }
  if (same === undefined) for (const old of surplus(known, whole.origin, self)) tx.remove([TABLE, old.atMs, old.id])
  tx.put([TABLE, whole.atMs, whole.id], new TextEncoder().encode(JSON.stringify(whole)))
  return whole
}

/** One entry for each pool, of as many as an incident may have: what it waits for is not forgotten, whatever comes later under the same ID. */
export const mergePools = (all: readonly IncidentPool[]): IncidentPool[] => {
  const byPool = new Map<string, IncidentPool>()
  for (const p of all) {
    const before = byPool.get(p.pool)
    if (before === undefined && byPool.size >= POOLS_MAX) continue
    byPool.set(p.pool, before === undefined ? p : {
      pool: p.pool, keys: before.keys + p.keys, fetched: before.fetched + p.fetched, associations: before.associations + p.associations,
      stretches: before.stretches + p.stretches, told: Math.max(before.told, p.told), asked: before.asked || p.asked,
    })
  }
  return [...byPool.values()]
}

/** What goes for one more of `origin`. @param known The newest first. */
const surplus = (known: readonly IncidentRow[], origin: KmeId, self: KmeId): IncidentRow[] => {
  const out = origin === self ? [] : known.filter((row) => row.origin === origin).slice(INCIDENTS_OF_OTHER_MAX - 1)
  let left = known.filter((row) => !out.includes(row))
  while (left.length >= INCIDENTS_MAX) {
    const others = left.filter((row) => row.origin !== self)
    const oldest = (others.length > INCIDENTS_MAX / 2 ? others : left.filter((row) => row.origin === self)).at(-1)!
    out.push(oldest)
    left = left.filter((row) => row !== oldest)
  }
  return out
}

/** The newest first. @throws KmeError `STORE_CORRUPT` */
export const listIncidents = (kv: KvReader): IncidentRow[] =>
  [...kv.range({ ...prefixRange([TABLE]), reverse: true })].map(({ value }) => {
    try { return JSON.parse(Buffer.from(value).toString()) as IncidentRow } catch (cause) {
      throw new KmeError('STORE_CORRUPT', 'the row of an incident is damaged. Restore a backup into a new folder (qkme restore)', { cause })
    }
  })
