import type { BlockHandle } from '../device/native.js'
import type { KvWriter } from '../store/kv.js'
import { GRANT_ASSOCIATION } from './claims.js'
import type { GrantedKey } from './granted-keys.js'
import { hopsOfAll } from './hops.js'
import type { KeyPool } from './key-pool.js'
import type { NamedGrants } from './named-grants.js'
import type { AssociationRow, BlockRow } from './rows.js'
import type { KeyTraits } from './traits.js'

/** One key of a "Get key with key IDs", from its claim to its answer. */
export interface Fetch {
  readonly pool: KeyPool
  readonly traits: KeyTraits
  /** When this KME confirmed its bits, by the clock of ages; undefined for keys that another pool brought. */
  readonly bornMs: number | undefined
  /** Over how many links its bits came, if over other KMEs; 0 if not, or not known. */
  readonly hops: number
  /** Bytes of the key, and where they begin in what `reach` opens. */
  readonly length: number, readonly offset: number
  /** For the audit trail: association, block and place. */
  readonly association: number, readonly block: number, readonly place: number
  /** Whether this slave may fetch it; changes nothing. */
  check (): 'fresh' | 'taken' | 'overlap'
  /** Whether it is of the same bytes as another of the request. */
  overlaps (other: Fetch): boolean
  /** Sets the claim in memory. `write` stores it; the answer follows when that is flushed; `letGo` ends it, answered or not. */
  take (): void
  write (tx: KvWriter): void
  letGo (): void
  /** Opens the key until `leave`. 'full' passes; 'damaged' does not: it is gone, or its record does not open. */
  reach (): BlockHandle | 'full' | 'damaged'
  /** Whether what was reached is still open. */
  isOpen (): boolean
  leave (): void
  /** Its record does not open: no other key is cut there. */
  damaged (): void
}

/** A key that an ID names by its place in a block. */
export class BlockFetch implements Fetch {
  readonly offset: number
  constructor (
    readonly pool: KeyPool, private readonly row: BlockRow, readonly place: number, readonly length: number,
    private readonly associated: AssociationRow, private readonly slave: number, private readonly slaves: number,
  ) { this.offset = place * 8 }

  get traits (): KeyTraits { return this.pool.traits }
  get bornMs (): number { return this.row.bornMs }
  get hops (): number { return this.pool.kind === 'relayed' ? hopsOfAll(this.pool.core, [this.row]) : 0 }
  get association (): number { return this.associated.number }
  get block (): number { return this.row.number }

  check (): 'fresh' | 'taken' | 'overlap' { return this.pool.claims.check(this.row, this.place, this.length, this.association, this.slave) }
  overlaps (other: Fetch): boolean { return other instanceof BlockFetch && other.row === this.row && other.offset < this.offset + this.length && this.offset < other.offset + other.length }
  take (): void { this.pool.claims.take(this.row, this.place, this.length, this.association, this.slave, this.slaves) }
  write (tx: KvWriter): void { this.pool.claims.write(tx, this.block, this.place) }

  letGo (): void {
    this.pool.claims.letGo(this.block)
    if (this.row.state === 'closed') this.pool.claimed(this.block)
  }

  reach (): BlockHandle | 'full' | 'damaged' {
    return this.pool.core.blocks.get(this.block) === this.row ? this.pool.views.reach(this.row, this.offset, this.offset + this.length) : 'damaged'
  }

  isOpen (): boolean { return this.pool.views.isLoaded(this.block, this.offset, this.offset + this.length) }
  leave (): void { this.pool.views.leave(this.block) }
  damaged (): void { this.pool.damaged(this.row) }
}

/** A key that a named grant brought, under its ID. */
export class GrantFetch implements Fetch {
  readonly offset = 0
  readonly association = GRANT_ASSOCIATION
  private handle: BlockHandle | undefined
  constructor (readonly pool: KeyPool, private readonly named: NamedGrants, private readonly key: GrantedKey, private readonly slave: number) {}

  get traits (): KeyTraits { return this.key.grant.traits }
  get bornMs (): undefined { return undefined }
  get hops (): number { return 0 }
  get length (): number { return this.key.grant.sizeBytes }
  get block (): number { return this.key.grant.number }
  get place (): number { return this.key.index }

  check (): 'fresh' | 'taken' { return this.named.keys.hasFetched(this.key, this.slave) ? 'taken' : 'fresh' }
  overlaps (): boolean { return false }
  take (): void { this.named.keys.take(this.key, this.slave) }
  write (tx: KvWriter): void { this.named.keys.write(tx, this.key) }
  letGo (): void { this.named.keys.settle(this.key) }

  reach (): BlockHandle | 'full' | 'damaged' {
    const handle = this.named.keys.reach(this.key)
    if (typeof handle !== 'string') this.handle = handle
    return handle
  }

  isOpen (): boolean { return this.handle !== undefined }

  leave (): void {
    if (this.handle !== undefined) this.pool.core.release(this.handle)
    this.handle = undefined
  }

  damaged (): void {} // `reach` has raised the alarm, and nothing else lies in that record.
}
