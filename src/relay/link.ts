import { createHash } from 'node:crypto'
import type { KmeId } from '../kernel/ids.js'

/** Devices' links are numbered below this; the relay's above, so that a frame's name tells where its bits come from. */
export const RELAY_LINK_MIN = 2 ** 31

/**
 * Number of the link that relayed frames of two KMEs carry in their names: equal at both, from their IDs alone. Two pairs of one
 * network may share a number; one KME refuses to have two pools with one (`assertDistinct`).
 */
export const relayLink = (a: KmeId, b: KmeId): number => {
  const [low, high] = a < b ? [a, b] : [b, a]
  return (createHash('sha256').update(`qkme relay\0${low}\0${high}`).digest().readUInt32BE(0) | RELAY_LINK_MIN) >>> 0
}

/** A relayed pool's name in the store: beside a direct pool with the same KME. */
export const relayPoolId = (remote: KmeId): string => `relay:${remote}`
