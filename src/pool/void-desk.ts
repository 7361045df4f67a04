import { uuidText } from '../device/formats/uuid.js'
import { KEY_ID_FIELDS, type NativeVault } from '../device/native.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import { mergePools } from '../store/incidents.js'
import { isCutUnder, isParty, type OfferedRow } from './grant-rows.js'
import type { KeyPool } from './key-pool.js'
import type { VoidSpread } from './ports.js'
import { bornWithin, type KeyPlace, type VoidAct, type VoidCount } from './voids.js'

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
 * Whatever holds keys that a slave could fetch: each pool is one, with its lanes and the named grants over it. Each act is durable here when the store is flushed, and told to whoever else could serve the key.
 */
export interface VoidPart {
  readonly name: string
  /** The KME at the other end. */
  readonly remote: KmeId
  /** `known`: those of the IDs that are of this part. Changes nothing in a dry run, like the others. */
  keys (act: VoidAct, ids: readonly string[], dryRun: boolean): { readonly known: readonly string[], readonly count: VoidCount }
  sae (act: VoidAct, sae: SaeId, dryRun: boolean): VoidCount
  /** IDs of keys that were granted over this part, and of which the SAE is master or a slave anywhere. */
  offered (sae: SaeId): readonly string[]
  /** Those of the IDs that were cut of this part under associations without the SAE: void for their slaves, too. */
  cut (act: VoidAct, ids: readonly string[], sae: SaeId, dryRun: boolean): VoidCount | undefined
  issued (act: VoidAct, fromMs: number, toMs: number, dryRun: boolean): VoidCount
  /** Named grants over this part of keys that were cut of others. */
  grants (isMeant: (row: OfferedRow) => boolean, dryRun: boolean): VoidCount
  /** Only what of the IDs was granted over this part. */
  granted (act: VoidAct, ids: readonly string[]): VoidCount | undefined
  /** Whether everybody else who could serve has it on disk. `told` is that of the count. */
  isDone (act: string, told: number): boolean
}

export interface VoidResult { readonly counts: readonly VoidCount[], readonly unknown: readonly string[] }

/** Carries an order out over all parts. @throws KmeError `BUSY`: then some parts may have done it; the order can be given again. */
export const runVoid = (parts: Iterable<VoidPart>, act: VoidAct, order: VoidOrder, dryRun: boolean): VoidResult => {
  const all = [...parts], counts: VoidCount[] = []
  const add = (c: VoidCount): void => { if (c.associations + c.stretches + c.keys + c.fetched > 0 || c.asked) counts.push(c) }
  if ('sae' in order) {
    const { sae } = order, ids = [...new Set(all.flatMap((part) => part.offered(sae)))]
    // Before the grants are taken back: an order that a power cut left half done and that is given again still finds them.
    for (const part of ids.length === 0 ? [] : all) {
      const cut = part.cut(act, ids, sae, dryRun)
      if (cut !== undefined) counts.push(cut)
    }
    for (const part of all) add(part.sae(act, sae, dryRun))
  } else if (!('ids' in order)) {
    const { peer, fromMs, toMs } = order, meant = all.filter((part) => peer === undefined || part.remote === peer)
    for (const part of meant) add(part.issued(act, fromMs, toMs, dryRun))
    const sources = new Set(meant.map((part) => part.name)), isBorn = bornWithin(fromMs, toMs)
    for (const part of all) if (!meant.includes(part)) add(part.grants((row) => sources.has(row.source) && isBorn(row), dryRun))
  }
  if (!('ids' in order)) return { counts: mergePools(counts), unknown: [] }
  const ids = [...new Set(order.ids)], seen = new Set<string>()
  for (const part of all) {
    const { known, count } = part.keys(act, ids, dryRun)
    for (const id of known) seen.add(id)
    if (known.length > 0) counts.push(count)
  }
  return { counts, unknown: ids.filter((id) => !seen.has(id)) }
}

/** What a void that another KME told over one part means for keys that this KME granted over others. @returns what was done. */
export const spreadVoid = (parts: Iterable<VoidPart>, from: string, act: VoidAct, { mine, cut, window, associations }: VoidSpread): VoidCount[] => {
  const isBorn = window === undefined ? () => false : bornWithin(window.fromMs, window.toMs)
  const isMeant = (row: OfferedRow): boolean => row.source === from && (isBorn(row) || associations.some((of) => isCutUnder(row, from, of)))
  const counts: VoidCount[] = []
  for (const part of parts) {
    if (part.name === from) continue
    const whole = mine.length === 0 ? undefined : part.keys(act, mine, false)
    if (whole !== undefined && whole.known.length > 0) counts.push(whole.count)
    const granted = cut.length === 0 ? undefined : part.granted(act, cut)
    if (granted !== undefined) counts.push(granted)
    const grants = window === undefined && associations.length === 0 ? undefined : part.grants(isMeant, false)
    if (grants !== undefined && grants.keys > 0) counts.push(grants)
  }
  return counts
}

/** A pool as a part. */
export const voidPartOf = (pool: KeyPool, vault: NativeVault): VoidPart => ({
  name: pool.core.pool, remote: pool.core.deps.remote,
  keys: (act, ids, dryRun) => {
    const places = openIds(pool, vault, ids), granted = pool.voids.granted(ids)
    const known = [...new Set([...places.keys(), ...granted])]
    return { known, count: pool.voids.keys(act, [...places.values()], granted, dryRun || known.length === 0) }
  },
  sae: (act, sae, dryRun) => pool.voids.sae(act, sae, dryRun),
  issued: (act, fromMs, toMs, dryRun) => pool.voids.issued(act, fromMs, toMs, dryRun),
  offered: (sae) => pool.named?.offers.idsOf((row) => isParty(row, sae)).map((hex) => uuidText(Buffer.from(hex, 'hex'))) ?? [],
  cut: (act, ids, sae, dryRun) => {
    const places = [...openIds(pool, vault, ids).values()].filter(({ epoch, association }) => {
      const row = pool.associations.ofKey('out', epoch, association)
      return row !== undefined && row.master !== sae && !row.slaves.includes(sae) && !row.local.includes(sae)
    })
    return places.length === 0 ? undefined : pool.voids.keys(act, places, [], dryRun)
  },
  grants: (isMeant, dryRun) => pool.voids.grants(isMeant, dryRun),
  granted: (act, ids) => {
    const granted = pool.voids.granted(ids)
    return granted.length === 0 ? undefined : pool.voids.keys(act, [], granted, false)
  },
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
      if (epoch !== 0) out.set(id, { epoch: epochs[epoch - 1]!.epoch, block: pool.epochs.blockOf(epochs[epoch - 1]!, block), place, length, association })
    })
  }
  return out
}
