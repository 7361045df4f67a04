/**
 * Rows of named grants: keys of masters here, sent to further KMEs (`offered`), and keys of masters elsewhere, for slaves here
 * (`granted`, with a sealed record for each key). Numbers rise once and for all within a store and pool.
 */
import type { KvKey, KvReader, KvWriter } from '../store/kv.js'
import type { Body } from '../peer/messages.js'
import { getRow, putRow } from './rows.js'
import type { KeyTraits } from './traits.js'

/** A key in a lane, as its ID names it. */
export type CutKey = Body<'namedGrantEnd'>['cut'][number]

/** offered: sent, and not decided. given: every KME has it and the master is answered. */
export interface OfferedRow {
  readonly state: 'offered' | 'given'
  /** Pool of which the keys were cut. */
  readonly source: string
  readonly master: string, readonly slaves: readonly string[]
  /** All slaves of these keys, wherever they are, and the association under which the keys were cut. Rows of an earlier release have neither. */
  readonly audience?: readonly string[], readonly association?: GrantAssociation
  /** 16 bytes for each key. */
  readonly ids: Uint8Array
  /** In one of the grants of a request, while it is not decided: where the keys lie in the lane of `source`. */
  readonly cut: readonly CutKey[]
  /** Age clock of this store; and this KME's wall clock, for a void by time. */
  readonly bornMs: number, readonly bornWallMs: number
}

/** An association of this KME's masters, in the pool `source`. */
export interface GrantAssociation { readonly generation: number, readonly number: number }

export interface GrantedRow {
  readonly master: string, readonly slaves: readonly string[]
  readonly sizeBytes: number
  readonly ids: Uint8Array
  readonly traits: KeyTraits
  /** Age clock of this store. */
  readonly bornMs: number
}

/** Whether an SAE is master or slave of these keys. */
export const isParty = (row: Pick<OfferedRow, 'master' | 'slaves' | 'audience'>, sae: string): boolean => row.master === sae || (row.audience ?? row.slaves).includes(sae)

/** Whether these keys were cut under that association of the pool; of a row that does not say so, whether they may have been. */
export const isCutUnder = ({ source, association, master }: OfferedRow, pool: string, of: GrantAssociation & { readonly master: string }): boolean =>
  source === pool && (association === undefined ? master === of.master : association.generation === of.generation && association.number === of.number)

/** `given`: the last number that we used. `taken`: every number of the peer's up to this is dead, unless its grant is here. */
export type GrantCount = 'given' | 'taken'

export const offeredKey = (pool: string, number: number): KvKey => ['offered', pool, number]
export const grantedKey = (pool: string, number: number): KvKey => ['granted', pool, number]
/** The sealed record of one key: there until every slave has it. */
export const grantedRecordKey = (pool: string, number: number, index: number): KvKey => ['grantedKey', pool, number, index]
/** Which slaves have which keys: a u32 for each key. Absent until the first is fetched. */
export const grantedMasksKey = (pool: string, number: number): KvKey => ['grantedMasks', pool, number]
const countKey = (pool: string, which: GrantCount): KvKey => ['grantCount', pool, which]

export const readCount = (kv: KvReader, pool: string, which: GrantCount): number => getRow<{ last: number }>(kv, countKey(pool, which))?.last ?? 0
export const writeCount = (tx: KvWriter, pool: string, which: GrantCount, last: number): void => { putRow(tx, countKey(pool, which), { last }) }
