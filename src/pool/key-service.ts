import type { SaeId } from '../kernel/ids.js'
import { DecKeys } from './dec-keys.js'
import { statusExtension } from './describe.js'
import { EncKeys } from './enc-keys.js'
import type { KeyPool } from './key-pool.js'
import { refusals } from './refusals.js'
import { noReserve, Reserve } from './reserve.js'
import type { DecKeysRequest, EncKeysRequest, KeyReply, KeyService, PoolStatus, Refusal } from './service.js'
import type { ServiceDeps } from './service-ports.js'

/** The key service over all pools of this KME. */
export class PoolKeyService implements KeyService {
  private readonly enc: EncKeys
  private readonly dec: DecKeys
  private readonly reserve: Reserve

  constructor (private readonly deps: ServiceDeps) {
    this.enc = new EncKeys(deps)
    this.dec = new DecKeys(deps)
    this.reserve = new Reserve(deps.reserve ?? noReserve)
    this.recover()
  }

  /** Grants that were under way when the process before this ended. Burned where the keys were cut first: a crash here finds the grants again. */
  private recover (): void {
    const pools = [...this.deps.pools()]
    const left = pools.flatMap(({ named }) => named === undefined ? [] : [{ offers: named.offers, undecided: named.offers.undecided() }])
    for (const { undecided } of left) {
      for (const [, row] of undecided) if (row.cut.length > 0) pools.find((p) => p.core.pool === row.source)?.named?.burnCut(row.cut)
    }
    for (const { offers, undecided } of left) offers.withdraw(undecided.map(([number]) => number))
  }

  status (caller: SaeId, slave: SaeId): PoolStatus | Refusal {
    const { deps } = this
    const { sizes, policy } = deps
    if (caller === slave) return refusals.sameSae('slave_SAE_ID')
    const kme = policy.whereIs(slave)
    if (kme === undefined) return policy.confidentialNames ? refusals.unauthorized : refusals.unknownSae('slave_SAE_ID')
    if (!policy.allowed(caller, slave)) return refusals.unauthorized
    const pools = deps.poolsWith(kme), pool = pools[0]?.blocked() === '' ? pools[0] : pools.find((p) => p.blocked() === '') ?? pools[0]
    const status = {
      sourceKme: deps.self, targetKme: kme, keySizeBits: sizes.defaultBits, storedKeyCount: pool === undefined ? 0 : this.keysOf(pool, caller),
      maxKeyCount: sizes.maxKeyCount, maxKeyPerRequest: sizes.maxPerRequest, maxKeySizeBits: sizes.maxBits, minKeySizeBits: sizes.minBits,
      maxSaeIdCount: sizes.maxSaeIds,
    }
    return deps.details.status ? { ...status, extension: statusExtension(pools, deps.extensions.names(), (p) => this.keysOf(p, caller)) } : status
  }

  /** Keys of the default size that `caller` could have of a pool now. */
  private keysOf (pool: KeyPool, caller: SaeId): number {
    const { sizes } = this.deps
    const bytes = pool.blocked() === '' ? pool.lane.freeBytes(pool.core.ready || pool.kind === 'local') : 0
    return Math.min(sizes.maxKeyCount, Math.floor(Math.max(0, bytes - this.reserve.keptFrom(caller, pool)) / (sizes.defaultBits / 8 + 7 & ~7)))
  }

  encKeys (request: EncKeysRequest, reply: KeyReply): void {
    if (this.deps.accepting()) this.enc.handle(request, reply)
    else reply.refuse(refusals.stopping)
  }

  decKeys (request: DecKeysRequest, reply: KeyReply): void {
    if (this.deps.accepting()) this.dec.handle(request, reply)
    else reply.refuse(refusals.stopping)
  }

  aborted (delivery: number): void { this.enc.aborted(delivery) }

  /** A pool is about to be void: what was cut from it and granted to further KMEs is taken back there. */
  voiding (poolId: string): void { for (const pool of this.deps.pools()) pool.named?.offers.void((row) => row.source === poolId) }

  /** The store closes: requests that wait for other KMEs end, and what they had is burned. */
  stop (): void { this.enc.stop() }
}
