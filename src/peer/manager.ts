import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import { PeerEntry, type EntryDeps } from './manager-entry.js'
import { reportEnd } from './report.js'
import type { PeerConfig, PeerEvent, PeerManagerOptions, PeerStatus } from './state.js'
import type { Listener } from './transport.js'

/**
 * All connections to neighbouring KMEs: at most one ready connection per peer, whoever dialled it. Who dials when is decided
 * above: by the peer machine, or by redial.ts.
 */
export interface PeerManager {
  /** Opens the peer port. @throws KmeError `PORT_TAKEN`, `CERTIFICATE_INVALID`. */
  start (): Promise<void>
  /** The peer port, once open. */
  readonly port: number | undefined
  /** Tells the state's changes of one peer, whoever dialled; not the present state. @throws KmeError `NOT_FOUND` for an unknown peer (so do the others). */
  attach (remote: KmeId, on: (event: PeerEvent) => void): Cancel
  /** One attempt; its outcome is told as events. Does nothing while there is a connection or an attempt. @throws KmeError `CONFIG_INVALID` without a URL. */
  dialOnce (remote: KmeId): void
  /** Takes one more peer in. @throws KmeError `CONFIG_INVALID` if it is known already or is this KME itself. */
  add (peer: PeerConfig): void
  /** Ends connection and attempt, and forgets the peer and its counters. Whoever was attached is told the end, and nothing more. */
  remove (remote: KmeId, why: string): void
  /** Ends connection and attempt. */
  hangUp (remote: KmeId, why: string): void
  status (remote: KmeId): PeerStatus
  /** Checks the certificates of all connections again: after a change of CA or CRL. */
  recheck (): void
  /** Takes our own renewed certificate into use for new connections. @throws KmeError `CERTIFICATE_INVALID`; the old one stays in use. */
  reload (): void
  /** Ends everything and closes the port. Nothing starts again. */
  stop (): void
}

export const createPeerManager = (options: PeerManagerOptions): PeerManager => {
  const entries = new Map<KmeId, PeerEntry>()
  const add = (peer: PeerConfig): void => {
    if (peer.id === options.self || entries.has(peer.id)) throw new KmeError('CONFIG_INVALID', `peer ${peer.id} is configured twice or is this KME itself`)
    const deps: EntryDeps = { ...options, peer }
    entries.set(peer.id, new PeerEntry(deps))
  }
  for (const peer of options.peers) add(peer)
  let listener: Listener | undefined
  let isStopped = false
  const entryOf = (remote: KmeId): PeerEntry => {
    const entry = entries.get(remote)
    if (entry === undefined) throw new KmeError('NOT_FOUND', `${remote} is not a configured peer`)
    return entry
  }
  return {
    get port () { return listener?.port },
    start: async () => {
      listener = await options.listen?.({
        admit: (remote) => isStopped ? 'this KME is stopping' : entries.get(remote)?.admit() ?? `${remote} is not a configured peer of this KME`,
        accepted: (link) => entryOf(link.remote).opened(link),
        turnedAway: (reason, text) => { reportEnd(options.log, 'unknown', reason, text, 'us') },
      })
      if (isStopped) listener?.stop()
    },
    attach: (remote, on) => entryOf(remote).attach(on),
    dialOnce: (remote) => { if (!isStopped) entryOf(remote).dialOnce() },
    add,
    remove: (remote, why) => {
      const entry = entryOf(remote)
      entries.delete(remote) // First: nothing may begin again while it ends.
      entry.end('closed', why)
    },
    hangUp: (remote, why) => { entryOf(remote).end('closed', why) },
    status: (remote) => entryOf(remote).status(),
    recheck: () => { for (const entry of entries.values()) entry.recheck() },
    reload: () => {
      options.dialler.reload()
      listener?.reload()
    },
    stop: () => {
      isStopped = true
      for (const entry of entries.values()) entry.end('stopped', 'this KME is stopping')
      listener?.stop()
    },
  }
}
