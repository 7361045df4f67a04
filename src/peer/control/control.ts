import type { KmeId } from '../../kernel/ids.js'
import type { Log } from '../../kernel/log.js'
import type { Random } from '../../kernel/random.js'
import type { Cancel, Clock } from '../../kernel/time.js'
import type { PeerLimits } from '../limits.js'
import { createPeerManager, type PeerManager } from '../manager.js'
import type { PeerHandler } from '../ports.js'
import type { TagVault } from '../tags.js'
import { blamesPath, createControlDialler } from './dialler.js'
import type { TunnelHub } from './hub.js'
import { createControlListen } from './listen.js'
import type { EndToEnd, PathSource } from './ports.js'
import { Ways } from './ways.js'

export interface ControlOptions {
  readonly self: KmeId
  readonly hub: TunnelHub
  readonly endToEnd: EndToEnd
  readonly paths: PathSource
  /** The pool with that KME, joined with its other parts (`joinParts`); undefined refuses it for the time being. */
  readonly handlerFor: (remote: KmeId) => PeerHandler | undefined
  /** Not used by channels whose session makes the tags; the channel's type wants it. */
  readonly vault: TagVault
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly limits: PeerLimits
  /** Somebody calls whom we have not opened: true opens it. Absent: refused. */
  readonly invited?: (remote: KmeId) => boolean
}

/** An open control peer came or went: for whoever supervises them. */
export interface ControlWatcher { opened (remote: KmeId): void, closed (remote: KmeId): void }

/** The set of KMEs without a link to which a control channel is kept. */
export interface ControlPeers {
  /** Like the neighbours' manager: attach, dial, hang up, look. */
  readonly manager: PeerManager
  /** Wants a control channel to this KME; again is harmless. @throws KmeError `CONFIG_INVALID` for this KME itself. */
  open (remote: KmeId): void
  /** Ends it, if it is open. */
  close (remote: KmeId, why: string): void
  readonly remotes: readonly KmeId[]
  /** Told of each opening from now on, and at once of those that are open. */
  watch (watcher: ControlWatcher): Cancel
  /** The router's answers may have changed: sessions over a link that is down go another way; lost ones are soon dialled again. */
  topologyChanged (): void
  /** Ends everything. Nothing starts again. */
  stop (): void
}

/** Changes come in bursts, and to ask for ways costs more than to ask for a link. */
const REDIAL_MS = 200

/** What a control peer is dialled by, in place of a URL. */
const urlOf = (remote: KmeId): string => `tunnel:${remote}`

/** Call `manager.start()` before use, as with neighbours. */
export const createControlPeers = (options: ControlOptions): ControlPeers => {
  const { self, hub, paths } = options
  const watchers = new Set<ControlWatcher>()
  const remotes = new Set<KmeId>()
  const ways = new Ways(paths, options.clock)
  let redial: Cancel | undefined
  const redialSoon = (): void => {
    redial ??= options.clock.after(REDIAL_MS, () => {
      redial = undefined
      // The lower ID dials; the other would only cross its call.
      for (const remote of remotes) if (self < remote && manager.status(remote).state === 'disconnected' && ways.hasFresh(remote)) manager.dialOnce(remote)
    })
  }
  const open = (remote: KmeId): void => {
    if (remotes.has(remote)) return
    manager.add({ id: remote, url: urlOf(remote) })
    remotes.add(remote)
    // Another way needs no patience: whoever waits longer after each failure does so for the far end's sake.
    manager.attach(remote, (event) => { if (event.type === 'peer.disconnected' && blamesPath(event.reason)) redialSoon() })
    for (const watcher of [...watchers]) watcher.opened(remote)
  }
  const manager = createPeerManager({
    ...options, peers: [],
    dialler: createControlDialler({ hub, ways, endToEnd: options.endToEnd }),
    listen: createControlListen({ hub, endToEnd: options.endToEnd, invite: (remote) => { if (!remotes.has(remote) && remote !== self && options.invited?.(remote) === true) open(remote) } }),
  })
  return {
    manager, open,
    get remotes () { return [...remotes] },
    close: (remote, why) => {
      if (!remotes.delete(remote)) return
      for (const watcher of [...watchers]) watcher.closed(remote)
      manager.remove(remote, why)
    },
    watch: (watcher) => {
      watchers.add(watcher)
      for (const remote of remotes) watcher.opened(remote)
      return () => { watchers.delete(watcher) }
    },
    topologyChanged: () => {
      hub.reconsider((path) => !ways.isUsable(path))
      redialSoon()
    },
    stop: () => {
      redial?.()
      manager.stop()
    },
  }
}
