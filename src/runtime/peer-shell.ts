import { fromCallback } from 'xstate'
import { peerRetryMs, type PeerCommand, type PeerContext, type PeerReport } from '../../machines/peer.js'
import type { Random } from '../kernel/random.js'
import type { PeerManager } from '../peer/manager.js'
import { securityReasons } from '../peer/refusal.js'
import type { PeerEvent } from '../peer/state.js'

/** What of the peer manager this needs. */
export type PeerPort = Pick<PeerManager, 'attach' | 'dialOnce' | 'hangUp'>

const reportOf = (event: PeerEvent): PeerReport | undefined => {
  switch (event.type) {
    case 'peer.connecting': return undefined // Our own dial, or nothing to know yet.
    case 'peer.authenticating': return { type: 'peer.opened' }
    case 'peer.resynchronising': return { type: 'peer.greeted' }
    case 'peer.ready': return { type: 'peer.ready' }
    case 'peer.disconnected': return { type: 'peer.closed', reason: event.text === '' ? event.reason : event.text, refused: securityReasons.has(event.reason) }
  }
}

/** The `channel` actor of machines/peer.ts, on the connections of the peer manager. */
export const createPeerChannel = (port: PeerPort) => fromCallback<PeerCommand, { peer: string }>(({ input, sendBack, receive }) => {
  const detach = port.attach(input.peer, (event) => {
    const report = reportOf(event)
    if (report !== undefined) sendBack(report)
  })
  receive((command) => {
    if (command.type === 'peer.dial') port.dialOnce(input.peer)
    else port.hangUp(input.peer, command.reason)
  })
  return () => {
    detach()
    port.hangUp(input.peer, 'this KME is stopping')
  }
})

/**
 * The delay `retry` of machines/peer.ts with chance: the half of it is drawn, so that KMEs that lost their peers together
 * do not come back together. Give it to `.provide({ delays: { retry: … } })`.
 */
export const retryWithJitter = (random: Random) => ({ context }: { readonly context: PeerContext }): number => {
  const fullMs = peerRetryMs(context)
  return Math.round(fullMs / 2) + random.integer(Math.ceil(fullMs / 2))
}
