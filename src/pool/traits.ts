import type { KeyConstraint } from './extensions.js'

/** How the bits of a pool came to be shared: what an extension may demand and `key_extension` tells. */
export interface KeyTraits {
  /** direct: a QKD link between the two KMEs; relayed: over other KMEs; local: made at this KME, for two of its SAEs. */
  readonly route: 'direct' | 'relayed' | 'local'
  /** Node-disjoint paths of each block; 0 when no other KME ever had its bits. */
  readonly paths: number
  /** An ML-KEM-768 stream between the two KMEs lies over the bits. */
  readonly hybrid: boolean
}

export const directTraits: KeyTraits = { route: 'direct', paths: 0, hybrid: false }
export const localTraits: KeyTraits = { route: 'local', paths: 0, hybrid: false }

/** Whether the same is true of both: bits that were granted have traits of their own, though they came the same way. */
export const areSameTraits = (a: KeyTraits, b: KeyTraits): boolean => a === b || (a.route === b.route && a.paths === b.paths && a.hybrid === b.hybrid)

/** Whether bits of these traits can meet a demand, whatever their age. */
export const canMeet = (traits: KeyTraits, demand: KeyConstraint): boolean => meets(traits, 0, demand)

/** Whether bits of these traits, the oldest of them `ageMs` old, meet a demand. Bits that no other KME had meet any number of paths. */
export const meets = (traits: KeyTraits, ageMs: number, demand: KeyConstraint): boolean =>
  (demand.route === undefined || demand.route === traits.route) && (demand.maxAgeMs === undefined || ageMs <= demand.maxAgeMs) &&
  (demand.minPaths === undefined || traits.paths === 0 || traits.paths >= demand.minPaths) && (demand.hybrid !== true || traits.hybrid)

/** What is true of bits that came several ways at once, as keys under pads of other pools do. */
export const weakest = (all: readonly KeyTraits[]): KeyTraits => {
  const relayed = all.filter((t) => t.route === 'relayed')
  return relayed.length === 0 ? all[0]! : { route: 'relayed', paths: Math.min(...relayed.map((t) => t.paths)), hybrid: relayed.every((t) => t.hybrid) }
}

/**
 * What an answer says of its keys (014 V1.1.1 clause 6.3, `key_extension`), as members of the container. With `all` it speaks of
 * keys of a direct link, too, and tells the age; else those need no words and it is ''. `hops` 0: not known.
 */
export const traitMembers = (traits: KeyTraits, localSource: string, all: boolean, ageMs: number | undefined, hops: number): string => {
  if (traits.route === 'direct' && !all) return ''
  const way = traits.route === 'local' ? { qkme_source: localSource } : traits.route === 'direct' ? { qkme_route: 'direct' } : { qkme_route: 'relayed', qkme_paths: traits.paths, qkme_hybrid: traits.hybrid, ...(hops === 0 ? {} : { qkme_hops: hops }) }
  return `,"key_extension":${JSON.stringify({ ...way, ...(all && ageMs !== undefined ? { qkme_age_ms: ageMs } : {}) })}`
}
