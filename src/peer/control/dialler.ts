import { KmeError } from '../../kernel/errors.js'
import type { CloseReason } from '../refusal.js'
import type { Dialler } from '../transport.js'
import type { TunnelHub } from './hub.js'
import type { EndToEnd, Path, Tunnel, TunnelEvents } from './ports.js'
import type { Ways } from './ways.js'

/** Ends that speak against the path and not against the far end. */
export const blamesPath = (reason: CloseReason): boolean => reason === 'network' || reason === 'idle' || reason === 'connect-timeout' || reason === 'gap' || reason === 'malformed'

/** Dials a KME through the network: asks for a way, opens a tunnel, secures it. A way that failed is not the next one tried, be it for the session that was on it. */
export const createControlDialler = ({ hub, ways, endToEnd }: { readonly hub: TunnelHub, readonly ways: Ways, readonly endToEnd: EndToEnd }): Dialler => ({
  reload: () => { endToEnd.reload() },
  dial: ({ id }, on) => {
    const path = ways.choose(id)
    if (path === undefined) {
      on.failed('connect-failed', `there is no way to ${id} now`)
      return () => {}
    }
    let tunnel: Tunnel | undefined
    const blame = (reason: CloseReason): void => { if (blamesPath(reason)) ways.failed(tunnel?.path ?? path) }
    const otherWay = (broken: Path): Path | undefined => {
      ways.failed(broken)
      return ways.choose(id)
    }
    const attach = (events: TunnelEvents): Tunnel =>
      tunnel = hub.open(path, { ...events, ended: (reason, text) => { blame(reason); events.ended(reason, text) } }, otherWay)
    try {
      return endToEnd.secure(attach, 'dialler', id, {
        opened: (link) => on.opened(link),
        failed: (reason, text) => {
          blame(reason)
          on.failed(reason, `${text} (over ${wayOf(path)})`)
        },
      })
    } catch (error) {
      if (!(error instanceof KmeError)) throw error
      ways.failed(path)
      on.failed('connect-failed', error.message)
      return () => {}
    }
  },
})

const wayOf = (path: Path): string => path.slice(1, -1).join(', ') || 'no other node'
