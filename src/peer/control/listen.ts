import type { KmeId } from '../../kernel/ids.js'
import type { Cancel } from '../../kernel/time.js'
import type { Listen } from '../transport.js'
import type { TunnelHub } from './hub.js'
import type { EndToEnd } from './ports.js'

/** Handshakes under way that others began: of one KME, and of all. */
const PENDING_OF_ONE = 2
const PENDING_MAX = 64

export interface ControlListenOptions {
  readonly hub: TunnelHub
  readonly endToEnd: EndToEnd
  /** A KME calls: it may be taken in now, before it is looked up. Who it says it is has not been proved yet. */
  readonly invite: (remote: KmeId) => void
}

/** Takes in tunnels that other KMEs open, secures them and hands the links on. */
export const createControlListen = ({ hub, endToEnd, invite }: ControlListenOptions): Listen => async (on) => {
  const pending = new Map<KmeId, Cancel[]>()
  const count = (): number => [...pending.values()].reduce((sum, of) => sum + of.length, 0)
  const forget = (remote: KmeId, cancel: Cancel): void => {
    const left = (pending.get(remote) ?? []).filter((one) => one !== cancel)
    if (left.length > 0) pending.set(remote, left)
    else pending.delete(remote)
  }
  hub.accept = (remote, attach) => {
    invite(remote)
    const refused = on.admit(remote)
    if (refused !== '') {
      on.turnedAway('not-a-peer', refused)
      return 'refused'
    }
    const own = pending.get(remote) ?? []
    // The newest counts: an older handshake of the same KME is most likely one whose path has died.
    if (own.length >= PENDING_OF_ONE) own[0]?.()
    else if (count() >= PENDING_MAX) return 'congested'
    let giveUp: Cancel | undefined
    const cancel: Cancel = () => {
      forget(remote, cancel)
      giveUp?.()
    }
    pending.set(remote, [...pending.get(remote) ?? [], cancel])
    giveUp = endToEnd.secure(attach, 'acceptor', remote, {
      opened: (link) => {
        forget(remote, cancel)
        return on.accepted(link)
      },
      failed: (reason, text) => {
        forget(remote, cancel)
        on.turnedAway(reason, `${remote}: ${text}`)
      },
    })
    return ''
  }
  return {
    port: 0,
    reload: () => {}, // The dialler has reloaded what both use.
    stop: () => {
      hub.accept = () => 'refused'
      for (const cancels of [...pending.values()]) for (const cancel of cancels) cancel()
    },
  }
}
