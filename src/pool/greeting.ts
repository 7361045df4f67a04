import type { Body, Column } from '../peer/messages.js'
import type { Acknowledged, PadRef } from '../peer/ports.js'
import { sameBytes, type PoolCore } from './core.js'
import type { Epochs } from './epochs.js'
import { BLOCKS_MAX, LAST_EPOCH } from './number-ranges.js'
import type { MetaRow } from './rows.js'

/** What a hello means for us. */
export type Verdict =
  | { readonly kind: 'go' }
  /** The peer's store is an old copy and does not know it: our stock with it is void, and that tells it. */
  | { readonly kind: 'peerRolledBack', readonly reason: string }
  /** The peer's store is new or void: our stock with it is void too. */
  | { readonly kind: 'void', readonly reason: string }
  /** Our own store is behind what the peer says it saw of it: it is a copy or was rolled back, or the peer lies. */
  | { readonly kind: 'rolledBack', readonly reason: string }
  /** Two live incarnations of one store, or a peer that is behind itself and must find out from our hello. */
  | { readonly kind: 'refuse', readonly reason: string, readonly alarm: boolean }

const zero16 = new Uint8Array(16)

/**
 * Numbers only rise: one near the end of its range would stop the pool for good, so no peer may bring us there.
 * @param given  What we have numbered, if blocks and epochs are ours to number: then the peer's word raises it, and half of each range stays ours.
 */
const plausible = (c: Column, given: MetaRow | undefined): boolean =>
  (given === undefined || (c.highestBlock < Math.max(BLOCKS_MAX / 2, given.highestBlock + 1) && c.epochs.every((e) => e.epoch < Math.max(LAST_EPOCH / 2, given.highestEpoch + 1)))) &&
  [c.incarnation, c.bye, c.grant, c.lastSent, c.voids, ...c.horizons.map((h) => h.index)].every((n) => n < 2 ** 48)

/**
 * Hello (design 3, Start and stop; Copies): both columns, "mine" and "yours as I last knew it". Numbers only rise; the
 * greater always wins. A hello can stop or void a pool, never make anything spendable.
 */
export class Greeting {
  /** @param openings  Lane index that the peer has acknowledged in this start. */
  constructor (private readonly core: PoolCore, private readonly epochs: Epochs, private readonly openings: () => number) {}

  /** What the peer has acknowledged. */
  get acknowledged (): Acknowledged { return { messages: this.core.outbox.heardTo, openings: this.openings(), isMet: this.core.meta.theirStore !== null } }

  /** @param pads Where our next pad lies. */
  make (saesGeneration: number, pads: PadRef): Body<'hello'> {
    const { core } = this
    const { incarnation } = core.deps
    const { meta } = core
    const checks = this.epochs.live().map((e) => ({ epoch: e.epoch, check: e.check }))
    const mine: Column = {
      storeId: core.storeId, incarnation: incarnation.number, nonce: incarnation.nonce, bye: meta.bye?.number ?? 0,
      byeCursor: (meta.bye?.cursors ?? []).map((c) => ({ ...c })), horizons: [{ lane: 0, index: meta.horizonMine }], grant: meta.grantGiven,
      highestBlock: meta.highestBlock, highestAssociation: Math.min(0xffff, meta.nextAssociation - 1), epochs: checks,
      padBlock: pads.block, padOffset: pads.offset, lastSent: meta.lastSent, voids: meta.voids,
    }
    const yours: Column | null = meta.theirStore === null ? null : {
      storeId: meta.theirStore, incarnation: meta.theirIncarnation, nonce: meta.theirNonce ?? zero16, bye: meta.byeTheirs?.number ?? 0,
      byeCursor: (meta.byeTheirs?.cursors ?? []).map((c) => ({ ...c })), horizons: [{ lane: 0, index: meta.horizonTheirs }], grant: meta.grantTaken,
      highestBlock: meta.highestBlock, highestAssociation: 0, epochs: checks,
      padBlock: meta.padTheirs.block, padOffset: meta.padTheirs.offset, lastSent: core.processedTo, voids: meta.theirVoids,
    }
    return { kme: core.deps.self, mine, yours, saes: saesGeneration }
  }

  /** @param before What the peer had acknowledged when the connection began. Its hello was made after that, and perhaps before what it acknowledged since over another one. */
  judge (hello: Body<'hello'>, before: Acknowledged = this.acknowledged): Verdict {
    const { core } = this
    const { incarnation } = core.deps
    const { meta } = core
    const { mine, yours } = hello
    const given = core.proposer ? meta : undefined
    if (!plausible(mine, given) || (yours !== null && !plausible(yours, given))) return { kind: 'refuse', reason: 'a hello with numbers that no KME reaches', alarm: true }
    if (hello.kme !== core.deps.remote) return { kind: 'refuse', reason: `the peer says it is ${hello.kme}`, alarm: true }
    if (sameBytes(mine.storeId, core.storeId) || sameBytes(mine.storeId, incarnation.storeId)) return { kind: 'refuse', reason: 'the peer runs on a copy of this store', alarm: true }
    if (yours !== null && sameBytes(yours.storeId, core.storeId) && !incarnation.known(yours.incarnation, yours.nonce)) {
      return { kind: 'rolledBack', reason: `${hello.kme} has met start ${yours.incarnation} of this store, which this store does not remember` }
    }
    const lost = yours !== null && sameBytes(yours.storeId, core.storeId) ? this.forgotten(yours) : ''
    if (lost !== '') return { kind: 'rolledBack', reason: `${hello.kme} remembers more of this store than it does itself (${lost})` }
    if (meta.theirStore !== null && !sameBytes(mine.storeId, meta.theirStore)) return { kind: 'void', reason: 'the peer has a new store' }
    if (meta.theirStore !== null && (mine.incarnation < meta.theirIncarnation || (mine.incarnation === meta.theirIncarnation && !sameBytes(mine.nonce, meta.theirNonce ?? zero16)))) {
      return { kind: 'refuse', reason: `the peer is start ${mine.incarnation} of a store that was at start ${meta.theirIncarnation}: a copy or two at once`, alarm: true }
    }
    // Who had not met us when the connection began has perhaps done so over another one since its hello was made.
    const forgotten = yours === null ? core.blocks.size > 0 && before.isMet : !sameBytes(yours.storeId, core.storeId)
    if (forgotten) return { kind: 'void', reason: 'the peer does not know this store' }
    if (mine.voids > meta.theirVoids && meta.theirStore !== null) return { kind: 'void', reason: 'the peer voided the pool' }
    if (yours !== null && yours.voids < meta.voids) return { kind: 'void', reason: 'voided here' }
    const takenBack = yours === null ? '' : this.takenBack(yours, before)
    if (takenBack !== '') return { kind: 'peerRolledBack', reason: `${hello.kme} does not remember ${takenBack} that it has acknowledged: its store is an old copy` }
    return { kind: 'go' }
  }

  /** What a peer acknowledges is on its disk before. Its next hello may know more than that, never less; all else that it says may fit an old copy. */
  private takenBack (yours: Column, before: Acknowledged): string {
    const now = this.acknowledged // Less than before if there was a void meanwhile.
    if (yours.lastSent < Math.min(before.messages, now.messages)) return 'messages'
    const openings = Math.min(before.openings, now.openings)
    return yours.horizons.some((h) => h.index < openings) ? 'opened blocks' : ''
  }

  /** What we say to a peer is on our disk before: whoever remembers less than the peer was rolled back. */
  private forgotten (yours: Column): string {
    const { meta, proposer } = this.core
    if (yours.lastSent > meta.lastSent) return 'messages sent'
    if (yours.horizons.some((h) => h.index > meta.horizonMine)) return 'horizon'
    if (yours.grant > meta.grantGiven) return 'grants'
    if (yours.voids > meta.voids) return 'voids'
    if (proposer && yours.highestBlock > meta.highestBlock) return 'blocks proposed'
    const pads = this.core.blocks.get(yours.padBlock)
    return yours.padBlock > meta.highestBlock || (pads !== undefined && pads.owner === 'mine' && yours.padOffset > pads.spent) ? 'pads used' : ''
  }

  /** Raises our numbers to what the peer remembers of us, and remembers the peer. Inside a commit. */
  merge (hello: Body<'hello'>, voided: boolean): void {
    const { meta } = this.core
    const { mine, yours } = hello
    // A void dropped the peer's outbox: its next message follows the last it ever numbered.
    if (voided || meta.theirStore === null) {
      this.core.processed(mine.lastSent)
      // Another store counts from there, be it less: its grants would be taken for repeats, its openings refused, its next void overlooked.
      meta.grantTaken = mine.grant
      meta.theirVoids = mine.voids
      meta.horizonTheirs = mine.horizons.find(({ lane }) => lane === 0)?.index ?? 0
    }
    // A new store that proposes counts its ID epochs from the first one: numbers of associations must not wait for one that is far off.
    if (!this.core.proposer && meta.theirStore !== null && !sameBytes(mine.storeId, meta.theirStore)) {
      meta.highestEpoch = Math.max(0, ...mine.epochs.map((e) => e.epoch))
      meta.generation = meta.highestEpoch + 1
    }
    meta.theirVoids = Math.max(meta.theirVoids, mine.voids)
    meta.theirStore = Uint8Array.from(mine.storeId)
    meta.theirIncarnation = mine.incarnation
    meta.theirNonce = Uint8Array.from(mine.nonce)
    // Only the proposer gives numbers; the other side's mark says what it has seen, or proposals under way would be dead on arrival.
    if (this.core.proposer) meta.highestBlock = Math.max(meta.highestBlock, mine.highestBlock, yours?.highestBlock ?? 0)
    meta.highestEpoch = Math.max(meta.highestEpoch, ...mine.epochs.map((e) => e.epoch))
    if (yours === null || !sameBytes(yours.storeId, this.core.storeId)) return // It speaks of another store.
    meta.horizonMine = Math.max(meta.horizonMine, ...yours.horizons.map((h) => h.index))
    meta.lastSent = Math.max(meta.lastSent, yours.lastSent)
    meta.grantGiven = Math.max(meta.grantGiven, yours.grant)
    meta.nextAssociation = Math.max(meta.nextAssociation, yours.highestAssociation + 1)
    const seen = { block: yours.padBlock, offset: yours.padOffset }
    if (seen.block > meta.padMine.block || (seen.block === meta.padMine.block && seen.offset > meta.padMine.offset)) meta.padMine = seen
  }
}
