import type { LocalPool } from './local-pool.js'
import type { Pool } from './pool.js'
import { usableBytes } from './rows.js'

export interface PoolAccount { readonly pool: string, readonly bits: Record<string, number>, readonly differenceBits: number }

/** Bytes of a pool that no account has taken yet: pending frames and what its blocks still hold. */
export const stockOf = (pool: Pool | LocalPool): number => {
  let stock = pool.kind === 'local' ? 0 : pool.pending.bytes
  for (const block of pool.core.blocks.values()) {
    if (block.state === 'proposed' || block.state === 'accepted') stock += block.bytes
    else if (block.owner === 'mine') stock += block.state === 'closed' ? 0 : usableBytes(block) - block.spent
    else stock += usableBytes(block) - (block.purpose === 'app' ? pool.claims.claimedBytes(block.number) : 0)
  }
  return stock
}

/** I10: every byte that was ingested is in exactly one account. */
export const accountOf = (pool: Pool | LocalPool): PoolAccount => {
  const { core, lane } = pool
  core.commit(() => { lane.bookCuts() })
  const { account: a } = core
  const bytes: Record<string, number> = {
    ingested: a.ingested, stock: stockOf(pool), leased: a.leased, delivered: a.delivered, relay: a.relay,
    authentication: a.authentication, confirmation: a.confirmation, idKeys: a.idKeys,
  }
  for (const [cause, n] of Object.entries(a.burned)) bytes[`burned.${cause}`] = n
  const sum = Object.entries(bytes).reduce((total, [name, n]) => name === 'ingested' ? total : total + n, 0)
  return {
    pool: core.pool, differenceBits: (a.ingested - sum) * 8,
    bits: Object.fromEntries(Object.entries(bytes).map(([name, n]) => [name, n * 8])),
  }
}
