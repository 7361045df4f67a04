import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Pool } from '../pool/pool.js'
import type { KeyTraits } from '../pool/traits.js'
import { prefixRange, type Kv } from '../store/kv.js'
import { relayLink, relayPoolId } from './link.js'
import { classText, type PoolClass } from './pool-class.js'

/** Rows that name the relayed pools which hold stock: JSON of KME and class. */
const TABLE = 'relayed'

/** A relayed pool of this KME. `isKept`: the configuration names it; else it came by itself and goes when it is idle. */
export interface RelayedEntry {
  readonly id: string
  readonly remote: KmeId
  readonly cls: PoolClass
  readonly pool: Pool
  readonly isKept: boolean
  readonly stockBytes: number
}
export interface WantedPool { readonly kme: KmeId, readonly paths: number, readonly hybrid: boolean, readonly stockBytes: number }

const none: readonly never[] = []

/** Told of each pool that comes and goes. */
export interface PoolsWatcher { added (entry: RelayedEntry): void, dropped (entry: RelayedEntry, reason: string): void }

export interface RelayedPoolsOptions {
  readonly self: KmeId
  readonly kv: Kv
  readonly make: (remote: KmeId, poolId: string, link: number, traits: KeyTraits) => Pool
  /** Every pool of this KME by name; the relayed ones are kept in it. */
  readonly all: { set (id: string, pool: Pool): unknown, delete (id: string): boolean }
}

/** The pools of this KME with others that the relay fills: those of the configuration, and those that came by themselves. */
export class RelayedPools {
  private readonly byId = new Map<string, RelayedEntry>()
  private readonly byKme = new Map<KmeId, { readonly entries: readonly RelayedEntry[], readonly pools: readonly Pool[] }>()
  private readonly unwanted: RelayedEntry[] = []
  private watcher: PoolsWatcher | undefined

  constructor (private readonly o: RelayedPoolsOptions) {}

  /**
   * Opens the pools of the configuration, then those that came by themselves in an earlier start, and what the store has and nobody wants
   * any more: `dropUnwanted` follows. @param again Least stock of one that may come back beside so many, or undefined.
   */
  open (configured: readonly WantedPool[], again: (remote: KmeId, count: number) => number | undefined): void {
    for (const { kme, paths, hybrid, stockBytes } of configured) this.add(kme, { paths, hybrid }, stockBytes, true)
    for (const { value } of [...this.o.kv.range(prefixRange([TABLE]))]) {
      const { remote, paths, hybrid } = JSON.parse(Buffer.from(value).toString()) as PoolClass & { remote: KmeId }
      if (this.byId.has(relayPoolId(remote, { paths, hybrid }))) continue
      const stockBytes = again(remote, this.byId.size - configured.length - this.unwanted.length)
      const entry = this.add(remote, { paths, hybrid }, stockBytes ?? 0, false)
      if (stockBytes === undefined) this.unwanted.push(entry)
    }
  }

  /** Voids what nobody wants any more. Once the key service is there: keys that were granted to further KMEs are taken back by it, before this pool forgets them. */
  dropUnwanted (): void { for (const entry of this.unwanted.splice(0)) this.drop(entry, 'the configuration does not name it any more') }

  watch (watcher: PoolsWatcher): void { this.watcher = watcher }

  list (): RelayedEntry[] { return [...this.byId.values()] }
  get (id: string): RelayedEntry | undefined { return this.byId.get(id) }
  find (remote: KmeId, cls: PoolClass): RelayedEntry | undefined { return this.byId.get(relayPoolId(remote, cls)) }
  /** Those with that KME: of the configuration first, in its order. */
  with (remote: KmeId): readonly RelayedEntry[] { return this.byKme.get(remote)?.entries ?? none }
  /** The same as pools, without making anything: each request asks. */
  poolsWith (remote: KmeId): readonly Pool[] { return this.byKme.get(remote)?.pools ?? none }
  private setWith (remote: KmeId, entries: readonly RelayedEntry[]): void {
    if (entries.length === 0) this.byKme.delete(remote)
    else this.byKme.set(remote, { entries, pools: entries.map((entry) => entry.pool) })
  }

  /** @throws KmeError `CONFIG_INVALID` when two pools would share the number of a link (one in 2^31). */
  add (remote: KmeId, cls: PoolClass, stockBytes: number, isKept: boolean): RelayedEntry {
    const { o } = this, id = relayPoolId(remote, cls), link = relayLink(o.self, remote, cls)
    const other = this.list().find((entry) => entry.id === id || relayLink(o.self, entry.remote, entry.cls) === link)
    if (other !== undefined) throw new KmeError('CONFIG_INVALID', `the pool with ${remote} over ${classText(cls)} would share the number of its link with ${other.id}: leave one of them out`)
    o.kv.transact((tx) => { tx.put([TABLE, id], Buffer.from(JSON.stringify({ remote, ...cls }))) })
    const entry: RelayedEntry = { id, remote, cls, isKept, stockBytes, pool: o.make(remote, id, link, { route: 'relayed', ...cls }) }
    this.byId.set(id, entry)
    this.setWith(remote, [...this.with(remote), entry])
    o.all.set(id, entry.pool)
    this.watcher?.added(entry)
    return entry
  }

  /** Ends a pool: all of its stock is void, numbers go on if it is ever opened again. */
  drop (entry: RelayedEntry, reason: string): void {
    if (this.byId.get(entry.id) !== entry) return
    this.byId.delete(entry.id)
    this.setWith(entry.remote, this.with(entry.remote).filter((other) => other !== entry))
    this.watcher?.dropped(entry, reason)
    entry.pool.leave(reason)
    entry.pool.dispose()
    this.o.all.delete(entry.id)
    this.o.kv.transact((tx) => { tx.remove([TABLE, entry.id]) })
  }
}
