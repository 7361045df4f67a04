import { uuidBytes, uuidText } from '../device/formats/uuid.js'
import { KmeError } from '../kernel/errors.js'
import type { SaeId } from '../kernel/ids.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { Associations } from './associations.js'
import type { Claims } from './claims.js'
import type { PoolCore } from './core.js'
import { IssueTimes } from './issue-times.js'
import type { NamedGrants } from './named-grants.js'
import type { Pool } from './pool.js'
import type { VoidSpread } from './ports.js'
import { VoidNews } from './void-news.js'
import { comparePlaces, VoidRules, type LanePlace, type LaneStretch } from './void-rules.js'
import { isParty, type OfferedRow } from './grant-rows.js'
import { decodeRow, encodeRow, tableOf, usableBytes, voidAskKey, type BlockRow } from './rows.js'

/** Questions to the other KME that wait for their answer. */
export const ASKS_MAX = 64
/** Answers that the other KME has not acknowledged: an honest one asks no more than ASKS_MAX before it has them. */
const ANSWERS_MAX = 4 * ASKS_MAX
const PRUNE_MS = 10_000
/** Of each kind in one `voidKeys`, as its schema has it; more are told in several. */
const PER_MESSAGE = 256

/** A key by its place, as its key ID names it. */
export type KeyPlace = Body<'voidKeys'>['keys'][number]
type Told = Pick<Body<'voidKeys'>, 'keys' | 'associations' | 'stretches' | 'epochs' | 'ids'>

/** An operator's act: `id` names it at every KME (16 bytes, hex), `reason` is for people. */
export interface VoidAct { readonly id: string, readonly reason: string }

/** What one pool did. `told`: number of the outbox entry after which the other KME knows; 0 if it need not. `asked`: it must answer first. */
export interface VoidCount {
  readonly pool: string
  readonly keys: number, readonly fetched: number, readonly associations: number, readonly stretches: number
  readonly told: number, readonly asked: boolean
}

export interface VoidParts {
  readonly claims: Claims
  readonly associations: Associations
  /** Grants over this pool; a pool with ourselves has none. */
  readonly named: () => NamedGrants | undefined
  /** Name of a key, if keys of its ID epoch are still here. */
  readonly nameOf: (key: KeyPlace) => string | undefined
  /** The owner's cursor. */
  readonly position: () => LanePlace
  /** All of a closed block may be claimed now. */
  readonly claimed: (block: number) => void
  /** The other KME calls keys of ID epochs known: they are replaced, after the transaction. */
  readonly epochs: (epochs: readonly number[], reason: string) => void
  /** Two claims that do not fit together: the pool stops. */
  readonly overlap: (what: string) => void
}

const nothing: Told = { keys: [], associations: [], stretches: [], epochs: [], ids: [] }

/** Granted within a time. */
export const bornWithin = (fromMs: number, toMs: number) => (row: OfferedRow): boolean => row.bornWallMs >= fromMs && row.bornWallMs <= toMs

/**
 * Keys that were given to a master and not fetched by a slave, made void by an operator. There is no row per key, so a void is a
 * claim on a place (by ID), an association that is dead (by SAE), or a stretch of a lane (by time, by peer). It is on disk before it is
 * said to be done, told to the other KME by the outbox, and outlives restarts of both. Nothing else of the stock is touched.
 */
export class Voids {
  readonly times: IssueTimes
  private readonly rules: VoidRules
  private readonly news: VoidNews
  /** Incident, and up to which index the other KME's lane is in question until it answers. */
  private readonly asks = new Map<string, number>()
  /** Numbers of our answers to the other KME's questions that it has not acknowledged. */
  private readonly answered: number[] = []
  private prunedMs = -Infinity

  constructor (private readonly core: PoolCore, private readonly alone: boolean, private readonly parts: VoidParts) {
    this.rules = new VoidRules(core)
    this.news = new VoidNews(core)
    this.times = new IssueTimes(core)
    for (const { key, value } of core.deps.kv.range(tableOf('voidAsk', core.pool))) this.asks.set(key[2] as string, decodeRow<{ upTo: number }>(value).upTo)
  }

  private get named (): NamedGrants | undefined { return this.parts.named() }
  get stretches (): number { return this.rules.size }
  get asksOpen (): number { return this.asks.size }

  /** For `dec_keys`: whether a key is void, or may be and nobody knows yet. */
  judge (block: BlockRow, from: number, to: number): '' | 'void' | 'asked' {
    if (this.rules.size > 0 && this.rules.covers(block, from, to)) return 'void'
    if (block.owner === 'theirs') for (const upTo of this.asks.values()) if (block.index <= upTo) return 'asked'
    return ''
  }

  /** Whether the other KME has made the act durable. */
  isDone (act: string, told: number): boolean { return !this.asks.has(act) && this.core.outbox.acknowledgedTo >= told }

  // --- said here ----------------------------------------------------------------------------------------------------

  /** @param ids Of named grants over this pool, either way (UUIDs). Durable when the store is flushed. */
  keys (act: VoidAct, keys: readonly KeyPlace[], ids: readonly string[], dryRun: boolean): VoidCount {
    const { named } = this, isMeant = new Set(ids)
    if (dryRun) {
      const granted = named?.keys.unfetched((k) => isMeant.has(k.id)) ?? 0
      return this.count({ keys: granted + keys.filter((k) => this.place(k)?.isOpen === true).length, fetched: keys.filter((k) => this.place(k)?.isOpen === false).length })
    }
    const done = this.core.commit((tx) => {
      const done = this.voidKeys(tx, keys), granted = named?.keys.void(tx, (k) => isMeant.has(k.id)).length ?? 0
      return { keys: done.keys + granted, fetched: done.fetched, told: this.tell(tx, act, { ...nothing, keys: [...keys], ids: ids.flatMap((id) => uuidBytes(id) ?? []) }) }
    })
    this.settle(keys)
    return this.count(done)
  }

  /** Of the key IDs those of named grants over this pool, either way. */
  granted (ids: readonly string[]): string[] {
    const { named } = this
    if (named === undefined || ids.length === 0) return []
    const offered = new Set(named.offers.granted(new Set(ids.map((id) => id.replaceAll('-', '')))))
    return ids.filter((id) => named.keys.has(id) || offered.has(id.replaceAll('-', '')))
  }

  sae (act: VoidAct, sae: SaeId, dryRun: boolean): VoidCount {
    const { named } = this, found = this.parts.associations.ofSae(sae)
    const isOffered = (row: OfferedRow): boolean => isParty(row, sae), mine = named?.keys.those((k) => isParty(k.grant, sae)) ?? []
    const fetched = mine.filter((k) => named?.keys.isFetched(k)).length, keys = (named?.offers.keysOf(isOffered) ?? 0) + mine.length - fetched
    if (dryRun || found.length + keys + fetched === 0) return this.count({ associations: found.length, keys, fetched })
    const told = this.core.commit((tx) => {
      for (const { direction, row } of found) this.parts.associations.void(tx, direction, row.generation, row.number)
      const remote = found.filter(({ row }) => row.slaves.length > 0 && !this.alone)
      named?.offers.voidIn(tx, isOffered)
      named?.keys.void(tx, (k) => isParty(k.grant, sae))
      const ids = mine.flatMap((k) => uuidBytes(k.id) ?? []) // Others have them, too: whoever was quicker here is no reason to serve those.
      this.tell(tx, act, { ...nothing, ids, associations: remote.map(({ direction, row }) => ({ own: direction === 'out', epoch: row.generation, number: row.number })) })
      return this.alone ? 0 : this.core.meta.lastSent
    })
    return this.count({ associations: found.length, keys, fetched, told })
  }

  /**
   * Everything given out between two moments: of our lane at once; of the other lane its owner says what it is, and nothing of it is served until then.
   * @throws KmeError `BUSY` if too much waits for the other KME.
   */
  issued (act: VoidAct, fromMs: number, toMs: number, dryRun: boolean): VoidCount {
    const { core } = this
    if (this.asks.size >= ASKS_MAX) throw new KmeError('BUSY', `${this.asks.size} questions to ${core.deps.remote} about issued keys wait for their answer`)
    if (dryRun) {
      core.commit((tx) => { this.times.note(tx, this.parts.position()) })
      return this.count({ stretches: this.times.within(fromMs, toMs).length, keys: this.named?.offers.keysOf(bornWithin(fromMs, toMs)) ?? 0, asked: !this.alone })
    }
    return this.count(core.commit((tx) => {
      const { stretches, keys } = this.voidIssued(tx, fromMs, toMs)
      let told = this.tell(tx, act, { ...nothing, stretches })
      if (!this.alone) {
        this.asks.set(act.id, core.meta.horizonTheirs)
        tx.put(voidAskKey(core.pool, act.id), encodeRow({ upTo: core.meta.horizonTheirs }))
        told = core.enqueue(tx, 'voidAsk', { incident: Buffer.from(act.id, 'hex'), reason: act.reason, fromMs, toMs })
      }
      return { stretches: stretches.length, keys, told, asked: !this.alone }
    }))
  }

  /** Takes back what was granted over this pool of keys that were cut of others. */
  grants (isMeant: (row: OfferedRow) => boolean, dryRun: boolean): VoidCount {
    const { named } = this
    const keys = named?.offers.keysOf(isMeant) ?? 0
    if (dryRun || keys === 0 || named === undefined) return this.count({ keys })
    this.core.commit((tx) => { named.offers.voidIn(tx, isMeant) })
    return this.count({ keys, told: this.core.meta.lastSent })
  }

  /** ID epochs whose keys are known to others, in the transaction that drops them here. */
  tellEpochs (tx: KvWriter, act: VoidAct, epochs: readonly number[]): void { this.tell(tx, act, { ...nothing, epochs: [...epochs] }) }

  private count (some: Partial<VoidCount>): VoidCount {
    return { pool: this.core.pool, keys: 0, fetched: 0, associations: 0, stretches: 0, told: 0, asked: false, ...some }
  }

  /** @returns number of the last message; 0 if there is nothing to tell, or nobody. */
  private tell (tx: KvWriter, act: VoidAct, what: Told, answers = false): number {
    if (this.alone) return 0
    const most = Math.max(what.keys.length, what.associations.length, what.stretches.length, what.epochs.length, what.ids.length)
    let told = 0
    for (let i = 0; i < most || (answers && i === 0); i += PER_MESSAGE) {
      const part = <T>(list: readonly T[]): T[] => list.slice(i, i + PER_MESSAGE)
      told = this.core.enqueue(tx, 'voidKeys', {
        incident: Buffer.from(act.id, 'hex'), reason: act.reason, answers: answers && i + PER_MESSAGE >= most,
        keys: part(what.keys), associations: part(what.associations), stretches: part(what.stretches), epochs: part(what.epochs), ids: part(what.ids),
      })
    }
    return told
  }

  // --- said by the other KME --------------------------------------------------------------------------------------------

  /** In the transaction of the message. @returns what follows when it is durable. */
  onVoidKeys (tx: KvWriter, body: Body<'voidKeys'>): () => void {
    const { core } = this, incident = Buffer.from(body.incident).toString('hex')
    const { named } = this, ids = body.ids.map(uuidText), isMeant = new Set(ids)
    const done = this.voidKeys(tx, body.keys), granted = named?.keys.void(tx, (k) => isMeant.has(k.id)).length ?? 0
    const hex = new Set(ids.map((id) => id.replaceAll('-', ''))), mine = named?.offers.granted(hex) ?? []
    if (mine.length > 0) named?.offers.voidUndecided(tx, hex)
    const cut = body.keys.filter((k) => core.blocks.get(k.block)?.owner !== 'theirs').flatMap((k) => this.parts.nameOf(k) ?? [])
    const dead: VoidSpread['associations'][number][] = []
    let associations = 0
    for (const { own, epoch, number } of body.associations) {
      if (this.parts.associations.void(tx, own ? 'in' : 'out', epoch, number)) associations++
      const row = own ? undefined : this.parts.associations.find('out', epoch, number)
      if (row !== undefined) dead.push({ generation: epoch, number, master: row.master })
    }
    // Only what this KME has stored as opened can have been given out.
    const end = { index: core.meta.horizonTheirs + 1, offset: 0 }
    for (const { from, to } of body.stretches) this.rules.add(tx, 'theirs', { from, to: comparePlaces(to, end) < 0 ? to : end })
    if (body.answers) this.forgetAsk(tx, incident)
    const spread = { mine: mine.map((hex) => uuidText(Buffer.from(hex, 'hex'))), cut, window: undefined, associations: dead }
    const tell = this.news.add(tx, { type: 'keys.voided', pool: core.pool, incident, reason: body.reason, keys: done.keys + granted, associations, stretches: body.stretches.length, spread })
    return () => {
      this.settle(body.keys)
      if (body.epochs.length > 0) this.parts.epochs(body.epochs, body.reason)
      tell()
    }
  }

  /** In the transaction of the message. @throws KmeError `PROTOCOL` to a KME that asks and asks, and takes no answer. */
  onVoidAsk (tx: KvWriter, body: Body<'voidAsk'>): () => void {
    while (this.answered[0] !== undefined && this.answered[0] <= this.core.outbox.acknowledgedTo) this.answered.shift()
    if (this.answered.length >= ANSWERS_MAX) throw this.core.protocol(`${ANSWERS_MAX} answers to its voids by time wait to be acknowledged`)
    const act = { id: Buffer.from(body.incident).toString('hex'), reason: body.reason }
    const { stretches, keys } = this.voidIssued(tx, body.fromMs, body.toMs)
    this.answered.push(this.tell(tx, act, { ...nothing, stretches }, true))
    const spread = { mine: [], cut: [], window: { fromMs: body.fromMs, toMs: body.toMs }, associations: [] }
    return this.news.add(tx, { type: 'keys.voided', pool: this.core.pool, incident: act.id, reason: act.reason, keys, associations: 0, stretches: stretches.length, spread })
  }

  private forgetAsk (tx: KvWriter, incident: string): void {
    this.asks.delete(incident)
    tx.remove(voidAskKey(this.core.pool, incident))
  }

  // --- both -----------------------------------------------------------------------------------------------------------

  /** What is granted is taken back before the other KME hears that it has the whole answer: the outbox is in order. */
  private voidIssued (tx: KvWriter, fromMs: number, toMs: number): { stretches: LaneStretch[], keys: number } {
    this.times.note(tx, this.parts.position())
    const stretches = this.times.within(fromMs, toMs)
    for (const s of stretches) this.rules.add(tx, 'mine', s) // For slaves at this KME.
    return { stretches, keys: this.named?.offers.voidIn(tx, bornWithin(fromMs, toMs)) ?? 0 }
  }

  private voidKeys (tx: KvWriter, keys: readonly KeyPlace[]): { keys: number, fetched: number } {
    let voided = 0, fetched = 0
    for (const key of keys) {
      const found = this.place(key)
      if (found === undefined) continue // Its block is gone here, or nobody here can fetch it.
      const result = this.parts.claims.void(tx, found.block, key.place, key.length, key.association, found.slaves)
      if (result === 'void') voided++
      else if (result === 'taken') fetched++
      else this.core.durable(() => { this.parts.overlap(`block ${key.block}, place ${key.place}: a key that was to be void lies over another`) })
    }
    return { keys: voided, fetched }
  }

  /** The block of a key that slaves of this KME can fetch, or could. */
  private place (key: KeyPlace): { block: BlockRow, slaves: number, isOpen: boolean } | undefined {
    const { core, parts } = this, block = core.blocks.get(key.block)
    const end = key.place * 8 + key.length
    if (block === undefined || block.purpose !== 'app' || block.epoch !== key.epoch || block.index === 0 || end > usableBytes(block)) return undefined
    if ((block.owner === 'mine' || block.state === 'closed') && end > block.spent) return undefined
    const association = parts.associations.ofKey(block.owner === 'mine' ? 'out' : 'in', key.epoch, key.association)
    const slaves = (block.owner === 'mine' ? association?.local : association?.slaves)?.length ?? 0
    if (slaves === 0) return undefined
    return { block, slaves, isOpen: (parts.claims.mask(block, key.place) & 2 ** slaves - 1) >>> 0 !== 2 ** slaves - 1 }
  }

  /** Keys that were cut and given to nobody, because a grant of them failed: no slave gets them here. Inside a commit. @returns what follows when it is durable. */
  burn (tx: KvWriter, keys: readonly KeyPlace[]): () => void {
    this.voidKeys(tx, keys)
    return () => { this.settle(keys) }
  }

  private settle (keys: readonly KeyPlace[]): void {
    for (const number of new Set(keys.map((k) => k.block))) if (this.core.blocks.get(number)?.state === 'closed') this.parts.claimed(number)
  }

  /** What time drives. */
  tick (): void {
    this.news.goOn()
    this.times.tick(this.parts.position())
    const now = this.core.deps.clock.monoMs()
    if (now - this.prunedMs < PRUNE_MS) return
    this.prunedMs = now
    this.rules.prune()
    this.times.prune()
  }

  /** The pool is void: nothing of it is served any more. Inside a commit. */
  clear (tx: KvWriter): void {
    this.rules.clear(tx)
    this.times.clear(tx)
    for (const incident of [...this.asks.keys()]) this.forgetAsk(tx, incident)
  }
}

/** Before a lane goes on where a clean stop left it, nothing behind that place is out. */
const positionOf = ({ lane, core }: Pool): LanePlace => (lane.spending ? undefined : core.meta.bye?.cursors.find((c) => c.lane === 0)) ?? lane.position

/** Those of a pool that is shared with another KME. `replace` begins another ID epoch. */
export const voidsOf = (pool: Pool, replace: VoidParts['epochs']): Voids => {
  const { core, epochs } = pool
  return new Voids(core, false, {
    claims: pool.claims, associations: pool.associations, named: () => pool.named, position: () => positionOf(pool), claimed: (number) => { pool.claimed(number) },
    overlap: (what) => { core.security('integrity.overlap', what); pool.suspend(what) }, epochs: replace,
    nameOf: ({ epoch, block, place, length, association }) => {
      const key = epochs.key(epoch)
      return key === 0 ? undefined : core.deps.vault.makeKeyId(key, block, place, length, association)
    },
  })
}
