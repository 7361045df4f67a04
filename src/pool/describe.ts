import type { KeyPool } from './key-pool.js'
import { traitMembers, type KeyTraits } from './traits.js'

/** What answers tell an SAE beyond what the standard asks for (014 V1.1.1 clauses 6.1 and 6.3, the extension members). */
export interface AnswerDetails {
  /** `key_extension`: nothing; the way of bits that did not come over a link; or the way and the age of all bits. */
  readonly keys: 'nothing' | 'way' | 'wayAndAge'
  /** Whether Get status has a `status_extension`. */
  readonly status: boolean
  /** What `key_extension` calls the source of a local pool's keys. */
  readonly localSource: string
}

/**
 * Members of the key container for keys of one answer.
 *
 * @param ageMs How long ago the two KMEs confirmed the oldest of their bits; undefined if this KME cannot know it.
 * @param hops Over how many links relayed bits came; 0 if that is not known, or not the same of all.
 */
export const keyMembers = (details: AnswerDetails, traits: KeyTraits, ageMs: number | undefined, hops = 0): string => {
  if (details.keys === 'nothing') return ''
  return traitMembers(traits, details.localSource, details.keys === 'wayAndAge', ageMs === undefined ? undefined : Math.max(0, Math.round(ageMs)), hops)
}

/** One way to the slave's KME, as `status_extension` lists it. `stored_key_count` counts keys of the default size that could be had of it now. */
interface Way { readonly qkme_route: KeyTraits['route'], readonly qkme_paths: number, readonly qkme_hybrid: boolean, readonly stored_key_count: number }

/**
 * The `status_extension`: the extensions that Get key understands, and the ways to the slave's KME, the one to be used first in
 * front. Counted at each request, never kept.
 */
export const statusExtension = (pools: readonly KeyPool[], extensions: readonly string[], keysOf: (pool: KeyPool) => number): Record<string, unknown> => {
  const ways: Way[] = pools.map((pool) => ({ qkme_route: pool.traits.route, qkme_paths: pool.traits.paths, qkme_hybrid: pool.traits.hybrid, stored_key_count: keysOf(pool) }))
  return { qkme_extensions: extensions, qkme_ways: ways }
}
