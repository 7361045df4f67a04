import type { HealthView, PoolView } from '../../admin/port.js'
import type { Config } from '../../config/schema.js'
import { KmeError } from '../../kernel/errors.js'
import type { Clock } from '../../kernel/time.js'
import { AdminClient } from '../admin-client.js'
import type { Level } from './screen.js'

/** Rates are taken over this time, so that a number can be read. */
const rateOverMs = 4_000
/** States of a pool from which keys flow well (docs/machines.md). */
const readyStates: ReadonlySet<string> = new Set(['ready', 'low'])

/** One look at a pool: what is in it, and whether a request for keys can succeed. */
export interface Look extends Level { readonly isReady: boolean, readonly fullKeys: number }

/** Watches the pool of one KME with the other over its admin socket. */
export class PoolWatch {
  private readonly admin: AdminClient
  private readonly samples: { readonly atMs: number, readonly stockBits: number }[] = []

  constructor (private readonly config: Config, private readonly remote: string, private readonly clock: Clock) {
    this.admin = new AdminClient(config.admin.socketPath)
  }

  /** Keys at which the pool is ready (the pool machine asks for a fifth more than "low"). */
  get readyKeys (): number { return Math.ceil(this.config.pools.lowKeys * 1.2) }

  /** Whether the KME answers its operators; undefined while it does not. */
  async health (): Promise<HealthView | undefined> {
    try {
      return await this.admin.get('/v1/health') as HealthView
    } catch (error) {
      if (error instanceof KmeError && error.code === 'PEER_DOWN') return undefined // Not up yet.
      throw error
    }
  }

  /** @returns undefined while the KME does not answer or has no pool yet. */
  async look (): Promise<Look | undefined> {
    const health = await this.health()
    if (health === undefined) return undefined
    const pool = (await this.admin.get('/v1/pools') as PoolView[]).find((p) => !p.local && p.remote === this.remote)
    if (pool === undefined) return undefined
    const keyBits = this.config.pools.keySizeBits
    return {
      name: this.config.kme.id, state: pool.state, stockKeys: Math.floor(pool.stockBits / keyBits), goalKeys: this.readyKeys,
      fullKeys: this.config.pools.maxKeyCount, bitsPerS: this.rate(pool.stockBits), isReady: health.ready && readyStates.has(pool.state),
    }
  }

  private rate (stockBits: number): number {
    const atMs = this.clock.monoMs()
    this.samples.push({ atMs, stockBits })
    while (this.samples.length > 2 && atMs - this.samples[0]!.atMs > rateOverMs) this.samples.shift()
    const first = this.samples[0]!
    return atMs === first.atMs ? 0 : (stockBits - first.stockBits) / (atMs - first.atMs) * 1_000
  }
}
