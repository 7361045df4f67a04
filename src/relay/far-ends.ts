import type { KmeId } from '../kernel/ids.js'
import { joinParts, type PeerPart } from '../peer/parts.js'
import type { PeerHandler } from '../peer/ports.js'
import { FarEnd } from './far-end.js'
import type { PoolClass } from './pool-class.js'
import type { RelayDesk } from './desk.js'
import type { RelayedEntry, RelayedPools } from './pools.js'
import { RelayedEnd } from './relayed.js'

export interface FarEndsOptions {
  readonly self: KmeId
  readonly storeId: Uint8Array, readonly incarnation: number, readonly nonce: Uint8Array
  readonly pools: RelayedPools
  readonly desk: RelayDesk
  /** Parts of the connection itself: hybrid exchanges and the like. */
  readonly parts: (remote: KmeId) => readonly PeerPart[]
  /** Wraps what the control channel calls: simulations end a process by it. */
  readonly guard?: (handler: PeerHandler) => PeerHandler
  /** A pool that the far end opens and we do not have: add it and say '', or why not. */
  readonly invite: (remote: KmeId, cls: PoolClass) => string
  /** A pool is open at both ends. `isKept`: the far end's configuration names it. */
  readonly opened: (entry: RelayedEntry, isKept: boolean) => void
  /** The far end has not our pool, or has left it. */
  readonly refused: (entry: RelayedEntry, reason: string, hasLeft: boolean) => void
}

/** The far ends of all relayed pools: one control channel for each KME, with our pools of every class on it and the relay that fills them. */
export class FarEnds {
  private readonly ends = new Map<KmeId, { readonly end: FarEnd, readonly handler: PeerHandler }>()

  constructor (private readonly o: FarEndsOptions) { for (const entry of o.pools.list()) this.add(entry) }

  /** The handler of the control channel with that KME. */
  handler (remote: KmeId): PeerHandler { return this.of(remote).handler }

  isConnected (remote: KmeId): boolean { return this.ends.get(remote)?.end.isConnected === true }

  add (entry: RelayedEntry): void {
    const { desk } = this.o
    desk.add(new RelayedEnd(entry.pool, entry.stockBytes))
    this.of(entry.remote).end.add(entry.cls, joinParts(entry.pool, [desk.controlPart(entry.id)]), entry.isKept)
  }

  /** Before the pool itself goes: nothing of what is under way to it will be confirmed. */
  remove (entry: RelayedEntry, reason: string): void {
    this.o.desk.remove(entry.id, reason)
    this.ends.get(entry.remote)?.end.remove(entry.cls, reason)
  }

  /** The channel is closed for good; of a KME without pools nothing is kept. */
  forget (remote: KmeId): void { if (this.ends.get(remote)?.end.size === 0) this.ends.delete(remote) }

  /** Asks again for pools that far ends have refused. */
  retry (): void { for (const { end } of this.ends.values()) end.retry() }

  private of (remote: KmeId): { readonly end: FarEnd, readonly handler: PeerHandler } {
    const known = this.ends.get(remote)
    if (known !== undefined) return known
    const { self, storeId, incarnation, nonce, pools, parts, guard = (handler) => handler } = this.o
    const about = (cls: PoolClass, then: (entry: RelayedEntry) => void): void => {
      const entry = pools.find(remote, cls)
      if (entry !== undefined) then(entry)
    }
    const end = new FarEnd({
      self, remote, storeId, incarnation, nonce, invite: (cls) => this.o.invite(remote, cls),
      opened: (cls, isKept) => { about(cls, (entry) => { this.o.opened(entry, isKept) }) },
      refused: (cls, reason) => { about(cls, (entry) => { this.o.refused(entry, reason, false) }) },
      left: (cls, reason) => { about(cls, (entry) => { this.o.refused(entry, reason, true) }) },
    })
    const made = { end, handler: guard(joinParts(end, parts(remote))) }
    this.ends.set(remote, made)
    return made
  }
}
