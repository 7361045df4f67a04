import { KEY_ID_FIELDS, type NativeVault } from '../device/native.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { KeyPool } from './key-pool.js'
import type { KeyPlace, VoidAct, VoidCount } from './voids.js'

/** Key IDs opened in one call of the addon. */
const IDS_PER_CALL = 128

/** What an operator wants void, of keys that are not fetched yet. */
export type VoidOrder =
  /** Lower case, with hyphens. */
  | { readonly ids: readonly string[] }
  /** Master or slave of them. */
  | { readonly sae: SaeId }
  /** Given to masters between two moments (milliseconds since 1970, each KME by its own clock), with one KME or with all. */
  | { readonly peer: KmeId | undefined, readonly fromMs: number, readonly toMs: number }

/**
 * Whatever holds keys that a slave could fetch: each pool is one. Another holder (grants to KMEs beyond the first slave's) joins by being
 * one more in the list. Each act is durable here when the store is flushed, and told to whoever else could serve the key.
 */
export interface VoidPart {
  readonly name: string
  /** The KME at the other end. */
  readonly remote: KmeId
  /** `known`: those of the IDs that are of this part. Changes nothing in a dry run, like the others. */
  keys (act: VoidAct, ids: readonly string[], dryRun: boolean): { readonly known: readonly string[], readonly count: VoidCount }
  sae (act: VoidAct, sae: SaeId, dryRun: boolean): VoidCount
  issued (act: VoidAct, fromMs: number, toMs: number, dryRun: boolean): VoidCount
  /** Whether everybody else who could serve has it on disk. `told` is that of the count. */
  isDone (act: string, told: number): boolean
}

export interface VoidResult { readonly counts: readonly VoidCount[], readonly unknown: readonly string[] }

/** Carries an order out over all parts. @throws KmeError `BUSY`: then some parts may have done it; the order can be given again. */
export const runVoid = (parts: Iterable<VoidPart>, act: VoidAct, order: VoidOrder, dryRun: boolean): VoidResult => {
  const counts: VoidCount[] = []
  let unknown: readonly string[] = 'ids' in order ? [...new Set(order.ids)] : []
  for (const part of parts) {
    if ('ids' in order) {
      const { known, count } = part.keys(act, unknown, dryRun)
      if (known.length === 0) continue
      unknown = unknown.filter((id) => !known.includes(id))
      counts.push(count)
    } else if ('sae' in order) counts.push(part.sae(act, order.sae, dryRun))
    else if (order.peer === undefined || order.peer === part.remote) counts.push(part.issued(act, order.fromMs, order.toMs, dryRun))
  }
  return { counts: counts.filter((c) => 'ids' in order || c.associations + c.stretches > 0 || c.asked), unknown }
}

/** A pool as a part. */
export const voidPartOf = (pool: KeyPool, vault: NativeVault): VoidPart => ({
  name: pool.core.pool, remote: pool.core.deps.remote,
  keys: (act, ids, dryRun) => {
    const places = openIds(pool, vault, ids)
    return { known: [...places.keys()], count: pool.voids.keys(act, places.size === 0 ? [] : [...places.values()], dryRun || places.size === 0) }
  },
  sae: (act, sae, dryRun) => pool.voids.sae(act, sae, dryRun),
  issued: (act, fromMs, toMs, dryRun) => pool.voids.issued(act, fromMs, toMs, dryRun),
  isDone: (act, told) => pool.voids.isDone(act, told),
})

/** The places that key IDs of this pool name. */
const openIds = (pool: KeyPool, vault: NativeVault, ids: readonly string[]): Map<string, KeyPlace> => {
  const epochs = pool.epochs.live(), out = new Map<string, KeyPlace>()
  if (epochs.length === 0) return out
  const handles = Uint32Array.from(epochs, (e) => pool.epochs.key(e.epoch)), fields = new Uint32Array(IDS_PER_CALL * KEY_ID_FIELDS)
  for (let first = 0; first < ids.length; first += IDS_PER_CALL) {
    const some = ids.slice(first, first + IDS_PER_CALL)
    vault.openKeyIds(handles, some.join(''), some.length, fields)
    some.forEach((id, i) => {
      const [epoch, block, place, length, association] = fields.subarray(i * KEY_ID_FIELDS) as unknown as [number, number, number, number, number]
      if (epoch !== 0) out.set(id, { epoch: epochs[epoch - 1]!.epoch, block, place, length, association })
    })
  }
  return out
}
