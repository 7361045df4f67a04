import { amountOf, type AnnouncedLink } from './announcement.js'

/**
 * What a hop costs. Each hop burns as many bits as it carries, so a hop costs something however rich it is; and a poor
 * link more than several rich ones. Supply is what the link can give within a minute: its stock and a minute of its rate, both
 * as announced in powers of two, so that every KME computes the same cost and small changes compute none.
 *
 *   cost = 64 + min(4096, 64 * 1 MiB / supply); doubled if the link is degraded; none (unusable) without any supply
 */
export const HOP_COST = 64
const SCARCITY_MAX = 4_096
const REFERENCE_BYTES = 1_048_576
const HORIZON_S = 60

/** @returns Infinity for a link that can carry nothing. A whole number else. */
export const hopCost = (link: AnnouncedLink): number => {
  if (link.state === 'down') return Infinity
  const supply = amountOf(link.stockClass) + HORIZON_S * amountOf(link.rateClass)
  if (supply === 0) return Infinity
  const cost = HOP_COST + Math.min(SCARCITY_MAX, Math.round(HOP_COST * REFERENCE_BYTES / supply))
  return link.state === 'degraded' ? 2 * cost : cost
}
