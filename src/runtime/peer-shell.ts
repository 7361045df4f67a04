import { peerRetryMs, type PeerContext } from '../../machines/peer.js'
import type { Random } from '../kernel/random.js'

/**
 * The delay `retry` of machines/peer.ts with chance: the half of it is drawn, so that KMEs that lost their peers together
 * do not come back together. Give it to `.provide({ delays: { retry: … } })`.
 */
export const retryWithJitter = (random: Random) => ({ context }: { readonly context: PeerContext }): number => {
  const fullMs = peerRetryMs(context)
  return Math.round(fullMs / 2) + random.integer(Math.ceil(fullMs / 2))
}
