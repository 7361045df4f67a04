import type { KmeId } from '../kernel/ids.js'
import type { Body, MessageName } from '../peer/messages.js'
import type { Pool } from '../pool/pool.js'
import { frameKey } from '../pool/rows.js'
import { relayLink } from './link.js'
import type { NeighbourLane, RelayedPool } from './ports.js'

/** Use is covered for so long, in both directions. */
const AHEAD_S = 120

/** A lane with less is empty: a key may be longer. */
const DRY_BELOW_BYTES = 1_024
/** What an empty lane asks for beside the target: a block. */
const DRY_BYTES = 63_488

/** A pool of the engine, as the relay fills it. */
export class RelayedEnd implements RelayedPool {
  readonly remote: KmeId
  readonly poolId: string
  readonly link: number
  readonly paths: number
  readonly hybrid: boolean

  /** @param stockBytes What it wants however little it is used. */
  constructor (private readonly pool: Pool, private readonly stockBytes: number) {
    this.remote = pool.core.deps.remote
    this.poolId = pool.core.pool
    this.paths = pool.traits.paths
    this.hybrid = pool.traits.hybrid
    this.link = relayLink(pool.core.deps.self, this.remote, this)
  }

  get isReady (): boolean { return this.pool.core.ready && this.pool.core.isServing }

  get hasRoom (): boolean { return this.pool.hungry }

  wantedBytes (): number {
    const { pool } = this
    if (!pool.hungry) return 0
    const { maxStockBytes } = pool.core.deps.limits
    // All of a small stock may be the other side's: what we own nothing of is not enough.
    const dryBytes = pool.lane.freeBytes(true) < DRY_BELOW_BYTES && !pool.pending.isFresh ? DRY_BYTES : 0
    return Math.max(dryBytes, pool.epochs.awaitsBlock ? 1 : 0, Math.floor(Math.min(maxStockBytes, Math.max(this.stockBytes, 2 * AHEAD_S * pool.lane.used.perSecond())) - pool.stockBytes()))
  }

  ingest (records: Uint8Array, meta: ArrayLike<number>, count: number, then: () => void): void {
    this.pool.ingest(records, meta, count)
    this.pool.core.durable(then)
  }

  hasJob (job: Uint8Array): boolean {
    return this.pool.core.deps.kv.has(frameKey({ link: this.link, id: Buffer.from(job).toString('hex'), offset: 0 }))
  }

  send<N extends MessageName> (name: N, body: Body<N>): boolean { return this.pool.core.send(name, body) }
}

/** A pool with a neighbour, as the relay uses it. */
export const neighbourLane = (pool: Pool): NeighbourLane => ({
  access: pool.relay, send: (name, body) => pool.core.send(name, body),
})
