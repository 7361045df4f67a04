import type { Associations } from './associations.js'
import type { Claims } from './claims.js'
import type { PoolCore } from './core.js'
import type { Epochs } from './epochs.js'
import type { NamedGrants } from './named-grants.js'
import type { OwnerLane } from './owner-lane.js'
import type { KeyTraits } from './traits.js'
import type { BlockRow } from './rows.js'
import type { BlockViews } from './views.js'
import type { Voids } from './voids.js'

/** What delivery needs of a pool, shared with a neighbour or with ourselves. */
export interface KeyPool {
  readonly kind: 'direct' | 'relayed' | 'local'
  readonly traits: KeyTraits
  readonly core: PoolCore
  readonly lane: OwnerLane
  readonly epochs: Epochs
  readonly associations: Associations
  readonly claims: Claims
  readonly views: BlockViews
  readonly voids: Voids
  /** Keys for slaves at further KMEs; a pool with ourselves has none. */
  readonly named: NamedGrants | undefined
  /** '' if keys may be delivered to masters now, or why not. */
  blocked (): '' | 'PEER_DOWN' | 'SUSPENDED' | 'NO_KEYS'
  /** Takes the pool out of service: an integrity alarm. */
  suspend (reason: string): void
  /** A record of the block does not open: nothing more is cut from it. */
  damaged (block: BlockRow): void
  /** A closed block of which everything is claimed can go. */
  claimed (block: number): void
}
