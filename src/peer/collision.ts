import type { KmeId } from '../kernel/ids.js'
import { Refusal } from './refusal.js'

/** What the rule looks at: which side dialled, and the incarnation that the peer said in its hello. */
export interface Rival { readonly role: 'dialler' | 'acceptor', readonly peersIncarnation: number }

/**
 * Two connections with one peer at once: which stays? Called when the newer one's hello is there. Returns normally if the
 * newer replaces the older.
 *
 * 1. The peer's incarnation is lower than on the older connection: the newer comes from a process that has ended. Refused.
 * 2. It is higher: the peer has started again, and the older connection is dead without knowing. Replaced.
 * 3. Equal, and the same side dialled both: it would not have dialled while it believed in the older. Replaced.
 * 4. Equal, and each side dialled one: they have crossed. Both keep the one that the KME with the lower ID dialled.
 *
 * In 4 both sides decide alike whatever the order in which the hellos came, so never do both connections end.
 *
 * @throws Refusal `stale` if the older one stays.
 */
export const decideCollision = (self: KmeId, remote: KmeId, older: Rival, newer: Rival): void => {
  if (newer.peersIncarnation < older.peersIncarnation) throw new Refusal('stale', `hello of incarnation ${newer.peersIncarnation} while ${older.peersIncarnation} is connected`)
  if (newer.peersIncarnation > older.peersIncarnation || newer.role === older.role) return
  const weAreLower = self < remote
  const newerByLower = (newer.role === 'dialler') === weAreLower
  if (!newerByLower) throw new Refusal('stale', 'both sides have dialled: the connection dialled by the KME with the lower ID stays')
}

/**
 * Who dials: the KME with the lower ID if it knows a URL, else the one that knows one. The higher cannot know what the lower
 * knows, so it dials only when nothing came for the grace time.
 */
export const dialRole = (self: KmeId, remote: KmeId, hasUrl: boolean): 'at-once' | 'after-grace' | 'never' =>
  !hasUrl ? 'never' : self < remote ? 'at-once' : 'after-grace'
