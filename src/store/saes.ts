/** The registry of SAEs in the store: who is known, and who may come in. Its generation moves at every change. */
import { KmeError } from '../kernel/errors.js'
import { entityId, type SaeId } from '../kernel/ids.js'
import { prefixRange, type Kv, type KvReader } from './kv.js'
import { viewOf } from './numbers.js'

/** requested: it came with a valid certificate, and no operator has looked at it yet; like an unknown one until then. */
export type SaeStatus = 'requested' | 'active' | 'suspended' | 'revoked'

export interface SaeRow {
  readonly id: SaeId
  /** `revoked` is for ever: an ID that was revoked never becomes another's. */
  readonly status: SaeStatus
  /** Milliseconds since 1970. */
  readonly createdMs: number
  readonly note?: string
}

const TABLE = 'sae'
const GENERATION = ['saeGeneration'] as const
const SAES_MAX = 1_000_000
/** Characters. */
export const NOTE_MAX = 500
const statuses: readonly string[] = ['requested', 'active', 'suspended', 'revoked']

/** Counts changes of the registry: caches compare it. */
export const saeGeneration = (kv: KvReader): number => counters(kv).generation

/** Row ['saeGeneration']: generation f64, number of SAEs f64. */
const counters = (kv: KvReader): { generation: number, count: number } => {
  const row = kv.get(GENERATION)
  if (row?.length !== 16) return { generation: 0, count: 0 }
  return { generation: viewOf(row).getFloat64(0, true), count: viewOf(row).getFloat64(8, true) }
}

/** Undefined if the SAE is unknown. @throws KmeError `STORE_CORRUPT` */
export const getSae = (kv: KvReader, id: SaeId): SaeRow | undefined => {
  const row = kv.get([TABLE, id])
  return row === undefined ? undefined : decode(id, row)
}

/** In order of ID, beginning after `after`. */
export const listSaes = (kv: KvReader, after?: SaeId, limit = Infinity): SaeRow[] =>
  [...kv.range({ ...prefixRange([TABLE]), ...(after === undefined ? {} : { start: [TABLE, after, 0] }), limit })]
    .map(({ key, value }) => decode(String(key[1]), value))

/**
 * Adds SAEs, all or none, durable when the promise resolves. @returns the new generation.
 * @throws KmeError `BAD_REQUEST` if one is known already or not well-formed, or the registry is full.
 */
export const addSaes = async (kv: Kv, saes: readonly SaeRow[]): Promise<number> => {
  const seen = new Set<SaeId>()
  const known = saes.find(({ id }) => kv.has([TABLE, id]) || seen.has(id) || !seen.add(id))
  if (known !== undefined) throw new KmeError('BAD_REQUEST', `SAE ${known.id} is known already: change it, or take another ID`)
  return write(kv, saes, saes.length)
}

export const addSae = (kv: Kv, sae: SaeRow): Promise<number> => addSaes(kv, [sae])

/** Changes what `change` names. @throws KmeError `NOT_FOUND`; `BAD_REQUEST` if it is revoked or the result is not well-formed. */
export const changeSae = async (kv: Kv, id: SaeId, change: Partial<Omit<SaeRow, 'id' | 'createdMs'>>): Promise<number> => {
  const known = getSae(kv, id)
  if (known === undefined) throw new KmeError('NOT_FOUND', `SAE ${id} is not known`)
  if (known.status === 'revoked') throw new KmeError('BAD_REQUEST', `SAE ${id} is revoked for ever: register the successor under another ID`)
  return write(kv, [{ ...known, ...change }], 0)
}

const write = async (kv: Kv, saes: readonly SaeRow[], added: number): Promise<number> => {
  const rows = saes.map((sae) => [sae.id, encode(sae)] as const)
  const generation = kv.transact((tx) => {
    const { generation, count } = counters(tx)
    if (count + added > SAES_MAX) throw new KmeError('BAD_REQUEST', `the registry holds at most ${SAES_MAX} SAEs`)
    for (const [id, row] of rows) tx.put([TABLE, id], row)
    const bytes = new Uint8Array(16)
    viewOf(bytes).setFloat64(0, generation + 1, true)
    viewOf(bytes).setFloat64(8, count + added, true)
    tx.put(GENERATION, bytes)
    return generation + 1
  })
  await kv.flushed()
  return generation
}

const encode = (sae: SaeRow): Uint8Array => {
  const bad = (what: string): KmeError => new KmeError('BAD_REQUEST', `SAE ${sae.id}: ${what}`)
  entityId(sae.id, 'the SAE ID')
  if (!statuses.includes(sae.status)) throw bad('status must be requested, active, suspended or revoked')
  if ((sae.note?.length ?? 0) > NOTE_MAX) throw bad(`a note has at most ${NOTE_MAX} characters`)
  const { status, createdMs, note } = sae
  return new TextEncoder().encode(JSON.stringify({ status, createdMs, note }))
}

const decode = (id: SaeId, row: Uint8Array): SaeRow => {
  try {
    const { status, createdMs, note } = JSON.parse(Buffer.from(row).toString()) as Omit<SaeRow, 'id'>
    if (statuses.includes(status) && typeof createdMs === 'number') return { id, status, createdMs, ...(note === undefined ? {} : { note }) }
  } catch { /* Said below, like any other damage. */ }
  throw new KmeError('STORE_CORRUPT', `the row of SAE ${id} is damaged. Restore a backup into a new folder (qkme restore)`)
}
