import { fromCallback } from 'xstate'
import type { PeerCommand, PeerReport } from '../../machines/peer.js'
import type { KmeId } from '../kernel/ids.js'
import type { PeerManager } from './manager.js'
import { securityReasons, type CloseReason } from './refusal.js'
import type { PeerEvent } from './state.js'

/** Ends that trying again at once cannot mend: the other side is not whom we expect, or speaks otherwise. */
const isRefusal = (reason: CloseReason): boolean => securityReasons.has(reason) || reason === 'version'

const reportOf = (event: PeerEvent): PeerReport | undefined => {
  switch (event.type) {
    case 'peer.connecting': return undefined // It has told us to.
    case 'peer.authenticating': return { type: 'peer.opened' }
    case 'peer.resynchronising': return { type: 'peer.greeted' }
    case 'peer.ready': return { type: 'peer.ready' }
    case 'peer.disconnected': return { type: 'peer.closed', reason: event.reason, refused: isRefusal(event.reason) }
  }
}

/**
 * The `channel` actor of machines/peer.ts: the machine decides when to dial and when to hang up, the manager does it and tells
 * what became of it, also of connections that the peer has dialled. Use it instead of redial.ts, never beside it.
 */
export const createPeerActor = (manager: Pick<PeerManager, 'attach' | 'dialOnce' | 'hangUp'>) =>
  fromCallback<PeerCommand, { peer: KmeId }>(({ input, sendBack, receive }) => {
    const detach = manager.attach(input.peer, (event) => {
      const report = reportOf(event)
      if (report !== undefined) sendBack(report)
    })
    receive((command) => {
      if (command.type === 'peer.dial') manager.dialOnce(input.peer)
      else manager.hangUp(input.peer, command.reason)
    })
    return () => {
      detach()
      manager.hangUp(input.peer, 'the peer is stopped')
    }
  })
