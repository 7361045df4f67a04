import { createHash } from 'node:crypto'
import type { KmeId } from '../kernel/ids.js'
import { plain, type PoolClass } from './pool-class.js'

/** Devices' links are numbered below this; the relay's above, so that a frame's name tells where its bits come from. */
export const RELAY_LINK_MIN = 2 ** 31

/**
 * Number of the link that relayed frames of two KMEs and one class carry in their names: equal at both, from IDs and class alone. Two
 * pairs of one network may share a number; one KME refuses to have two pools with one (pools.ts).
 */
export const relayLink = (a: KmeId, b: KmeId, { paths, hybrid }: PoolClass = plain): number => {
  const [low, high] = a < b ? [a, b] : [b, a]
  const more = paths === 1 && !hybrid ? '' : `\0${paths}${hybrid ? ' hybrid' : ''}`
  return (createHash('sha256').update(`qkme relay\0${low}\0${high}${more}`).digest().readUInt32BE(0) | RELAY_LINK_MIN) >>> 0
}

/** A relayed pool's name in the store, beside a direct pool with the same KME and pools of other classes: `relay:kme-c`, `relay2:kme-c`, `relay2h:kme-c`. */
export const relayPoolId = (remote: KmeId, { paths, hybrid }: PoolClass = plain): string =>
  `relay${hybrid ? `${paths}h` : paths === 1 ? '' : paths}:${remote}`
