import type { SaeId } from '../kernel/ids.js'
import type { KeyPool } from './key-pool.js'

/** `percent` of a full lane (half of `pools.maxKeyCount`) is for `saes` only. */
export interface ReserveSettings { readonly saes: readonly SaeId[], readonly percent: number }

/**
 * What is left of each lane for chosen SAEs when stock is short. It is measured against a full lane, not against what a lane
 * once held: a measure that follows the stock would shrink with it, and SAEs that keep asking would get into the reserve.
 * Keys between two SAEs of this KME come from the system's random source, which does not run short: nothing of them is kept.
 */
export class Reserve {
  private readonly chosen: ReadonlySet<SaeId>

  constructor (private readonly settings: ReserveSettings) { this.chosen = new Set(settings.saes) }

  /** Bytes of this pool's lane that `sae` cannot have. */
  keptFrom (sae: SaeId, pool: KeyPool): number {
    if (this.settings.percent === 0 || pool.kind === 'local' || this.chosen.has(sae)) return 0
    return Math.floor(pool.core.deps.limits.maxStockBytes / 2 * this.settings.percent / 100)
  }

  /** Whether `bytes` for `sae` would come out of what is kept for others. */
  refuses (sae: SaeId, pool: KeyPool, bytes: number): boolean {
    const kept = this.keptFrom(sae, pool)
    return kept > 0 && pool.lane.freeBytes(pool.core.ready) - bytes < kept
  }
}

/** Nothing is kept for anybody. */
export const noReserve: ReserveSettings = { saes: [], percent: 0 }
