import type { BlockHandle } from '../device/native.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import { Composition, isTooSmall, type Composed, type NextBlock } from './composition.js'
import { sameBytes, type PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import { Flights, type Flight } from './flights.js'
import { Gathered } from './gathered.js'
import { Lacked } from './lacked.js'
import type { PendingFrames } from './pending.js'
import { canonical, frameOf, nameOf, repeatsName } from './proposal.js'
import { encodeFrames } from './row-codec.js'
import { framesKey, usableBytes, type BlockRow, type FrameRef } from './rows.js'
import type { BlockViews } from './views.js'

/** The proposer may not have heard a confirmation: said again. */
const CONFIRM_AGAIN_MS = 5_000
/** As many as the proposer may have under way. */
const PROPOSALS_MAX = 64

/** A proposal that came, and its frames. */
interface Proposal { readonly body: Body<'propose'>, readonly frames: readonly FrameRef[] }

/**
 * Propose and confirm (design 3.2, 3.3): both KMEs agree on which frames form block n and that their bytes are equal,
 * without revealing any that will be used. Numbers are flushed before they are sent and never used again.
 */
export class Agreement {
  private readonly flights: Flights
  private readonly lacked: Lacked
  /** Proposed, but the arena had no room to make the tag: tried again. */
  private readonly waiting = new Set<number>()
  /** Written, but not proposed yet. */
  private readonly composed: Composed[] = []
  /** Other side: proposals of this turn, to be stored together. */
  private readonly proposals: Proposal[] = []
  private readonly composition: Composition
  private readonly accepted: Gathered
  private readonly stored: Gathered
  private latestProposedOrder = 0
  private mismatches = 0
  private confirmedAgainMs = -Infinity

  constructor (
    private readonly core: PoolCore, private readonly pending: PendingFrames, private readonly views: BlockViews,
    private readonly erasure: Erasure, next: () => NextBlock | undefined,
    private readonly canName: (epoch: number, number: number) => boolean, private readonly onUsable: (block: BlockRow) => void,
  ) {
    this.flights = new Flights(() => core.deps.clock.monoMs())
    this.composition = new Composition(core, pending, next, () => { this.propose() })
    this.lacked = new Lacked(core)
    this.accepted = new Gathered(core, 'proposed', (blocks) => { this.accept(blocks) })
    this.stored = new Gathered(core, 'accepted', (blocks) => { this.settle(blocks, () => {}) })
  }

  // --- the proposer ---------------------------------------------------------------------------------

  /** Composes what is ready, in one transaction, and proposes it. */
  propose (): void {
    if (this.mayCompose && this.composition.isDue) this.core.commit((tx) => { this.compose(tx) })
    this.launchComposed()
  }

  /** The blocks that close now are written; `launchComposed` proposes them. */
  compose (tx: KvWriter): void {
    if (this.mayCompose) this.composed.push(...this.composition.round(tx, this.room))
  }

  private get mayCompose (): boolean { return this.core.ready && this.core.proposer && this.room > 0 }

  /** How many more blocks may be written. */
  private get room (): number { return this.flights.room - this.composed.length - this.waiting.size }

  /** Bytes of proposals whose frames the other side lacks so far. */
  get lackingBytes (): number { return this.flights.lackingBytes }

  /** Blocks are written that `launchComposed` is to propose. */
  get hasComposed (): boolean { return this.composed.length > 0 }

  /** What became of them since is theirs: a new connection proposes again whatever is not confirmed. */
  launchComposed (): void {
    const { core } = this
    this.launch(this.composed.splice(0).filter(({ block }) => core.ready && core.blocks.get(block.number) === block && block.state === 'proposed'))
  }

  private launch (composed: readonly Composed[]): void {
    const { core } = this, messages = composed.flatMap((each) => this.proposal(each) ?? [])
    if (messages.length > 0) core.durable(() => { core.together(() => { for (const message of messages) this.say(message) }) })
  }

  private say (message: Body<'propose'>): void {
    if (!this.core.ready || !this.flights.has(message.number)) return
    this.flights.said(message.number)
    this.core.send('propose', message)
  }

  /** @returns undefined if the block cannot be proposed now, or never. */
  private proposal (composed: Composed): Body<'propose'> | undefined {
    const { core } = this, { block, frames } = composed
    const owner = block.owner === 'mine' ? core.deps.self : core.deps.remote
    const m = canonical(this.core, block, frames, owner)
    const tags = this.withBytes(composed, (handle) => [core.deps.vault.confirmTag(handle, 1, m), core.deps.vault.confirmTag(handle, 2, m)] as const)
    if (tags === 'full') this.waiting.add(block.number)
    if (tags === 'damaged') this.giveUpDamaged(block, frames)
    if (typeof tags === 'string') return undefined
    const [tag, answerTag] = tags
    const message: Body<'propose'> = {
      number: block.number, owner, purpose: block.purpose, lane: block.lane, epoch: block.epoch, tag,
      frames: frames.map(nameOf),
    }
    this.flights.add(message, answerTag)
    return message
  }

  /** A record of ours does not open. Whatever the other side has of this proposal goes, too. */
  private giveUpDamaged (block: BlockRow, frames: readonly FrameRef[]): void {
    const { core } = this
    core.commit((tx) => {
      core.enqueue(tx, 'drop', { frames: frames.map(nameOf) })
      core.enqueue(tx, 'burn', { blocks: [block.number], cause: 'damaged' })
      this.erasure.block(tx, block, usableBytes(block), 'damaged')
    })
  }

  /** The block is gone by another way: no proposal of it is under way any more. */
  forget (number: number): void {
    this.flights.delete(number)
    this.waiting.delete(number)
    this.lacked.forget(number)
  }

  /** After a resynchronisation: everything that was proposed and not confirmed goes out again, in order. */
  resend (): void {
    this.flights.clear()
    if (!this.core.proposer) {
      // The proposer may have stored our confirmation without our knowing: it answers 'stored', or proposes again.
      this.confirmAgain()
      return
    }
    const open = [...this.core.blocks.values()].filter((b) => b.state === 'proposed').sort((a, b) => a.number - b.number)
    this.launch(open.map((block) => this.composedBefore(block)))
  }

  /** The other side: confirms again what the proposer has perhaps not heard, every few seconds. */
  confirmAgain (): void {
    this.confirmedAgainMs = this.core.deps.clock.monoMs()
    for (const block of this.core.blocks.values()) if (block.state === 'accepted') this.core.send('confirm', { number: block.number, result: 'stored', tag: null, missing: [] })
  }

  onConfirm (body: Body<'confirm'>): void {
    const { core } = this
    const block = core.blocks.get(body.number)
    const flight = this.flights.get(body.number)
    if (block === undefined || block.state !== 'proposed') {
      // A repeat: the other side may not have seen that we stored its confirmation.
      if (block !== undefined && body.result === 'stored') core.durable(() => { core.send('stored', { number: body.number }) })
      return
    }
    if (flight === undefined || (body.result === 'stored' && body.tag === null)) return // It gets our proposal again.
    if (body.result === 'missing') { this.onMissing(block, flight); return }
    this.flights.delete(body.number)
    if (body.result === 'stored' && body.tag !== null && sameBytes(body.tag, flight.answerTag)) {
      this.mismatches = 0
      this.confirmed(flight.message.frames[0]!.link)
      this.accepted.add(block)
      return
    }
    if (body.result === 'stored') core.security('integrity.confirmation', `block ${body.number}: the answer's tag is wrong`)
    if (body.result !== 'refused') this.countMismatch(body.number)
    core.commit((tx) => {
      if (body.result === 'stored') core.enqueue(tx, 'burn', { blocks: [body.number], cause: 'mismatch' })
      this.erasure.block(tx, block, usableBytes(block), body.result === 'refused' ? 'refused' : 'mismatch')
    })
  }

  private accept (blocks: readonly BlockRow[]): void {
    for (const { number } of blocks) this.flights.delete(number) // A new connection may have proposed it again meanwhile.
    this.settle(blocks, ({ number }) => { this.core.send('stored', { number }) })
  }

  /** Both sides have the same bytes: the blocks are usable from here on. */
  private settle (blocks: readonly BlockRow[], tell: (block: BlockRow) => void): void {
    const { core } = this
    core.commit((tx) => {
      for (const block of blocks) {
        block.state = 'usable'
        core.putBlock(tx, block)
        this.erasure.bookConfirmed(block)
      }
    })
    core.durable(() => {
      core.together(() => { for (const block of blocks) tell(block) })
      for (const block of blocks) this.onUsable(block)
    })
  }

  private onMissing (block: BlockRow, flight: Flight): void {
    const { core } = this
    if (core.deps.clock.monoMs() - flight.sinceMs < core.deps.limits.missingFrameMs) { this.flights.lacks(block.number); return }
    this.flights.delete(block.number)
    core.commit((tx) => {
      for (let i = 0; i < flight.message.frames.length; i += 64) core.enqueue(tx, 'drop', { frames: flight.message.frames.slice(i, i + 64) })
      this.erasure.block(tx, block, usableBytes(block), 'unmatched')
    })
  }

  /** Retries what the other side lacked, and what found no room in the arena. */
  retry (): void {
    const waiting = [...this.waiting].flatMap((number) => this.core.blocks.get(number) ?? [])
    this.waiting.clear()
    this.launch(waiting.filter((block) => block.state === 'proposed').map((block) => this.composedBefore(block)))
    for (const message of this.flights.due()) this.core.send('propose', message)
  }

  // --- the other side ---------------------------------------------------------------------------------

  /** Checked at once; judged and stored together with the others of this turn, before any other message (`answerProposals`). */
  onPropose (body: Body<'propose'>): void {
    const { core } = this
    if (core.proposer) throw core.protocol('a proposal from the side that does not propose')
    if (body.owner !== core.deps.self && body.owner !== core.deps.remote) throw core.protocol('a proposal for a stranger')
    const frames = body.frames.map(frameOf)
    if (repeatsName(frames)) throw core.protocol('a proposal names a frame twice')
    const known = core.blocks.get(body.number)
    if (known !== undefined && known.state !== 'accepted') throw core.protocol(`block ${body.number} is proposed again`)
    this.proposals.push({ body, frames })
    if (this.proposals.length === 1) core.deps.soon(() => { this.answerProposals() })
    else if (this.proposals.length >= PROPOSALS_MAX) this.answerProposals()
  }

  /** What the proposer said next must find them stored. */
  answerProposals (): void {
    const { core } = this, proposals = this.proposals.splice(0)
    if (proposals.length === 0 || !core.ready) return // They come again over the next connection.
    const answers = core.commit((tx) => proposals.map((proposal) => this.judge(tx, proposal))).flatMap((answer) => answer() ?? [])
    if (answers.length > 0) core.durable(() => { core.together(() => { for (const answer of answers) core.send('confirm', answer) }) })
  }

  /** @returns gives the answer, after the transaction; no answer: the proposal comes again, or the block is rejected. */
  private judge (tx: KvWriter, { body, frames }: Proposal): () => Body<'confirm'> | undefined {
    const { core } = this, known = core.blocks.get(body.number)
    if (known !== undefined) return () => this.verified(this.composedBefore(known), body)
    const own = frames.map((f) => this.pending.entry(f)), here = own.flatMap((w) => w?.frame ?? [])
    const isDead = body.number <= core.meta.highestBlock && !this.lacked.has(body.number) // No late message revives it.
    if (isDead || isTooSmall(body.purpose, frames) || frames.some((f, i) => own[i] === undefined && this.pending.isGone(f))) {
      // The proposer burns the frames of a proposal that is refused; those that wait here would be accounted otherwise until they are given up.
      if (here.length > 0) this.burnPending(tx, here, 'refused')
      this.lacked.forget(body.number)
      return () => ({ number: body.number, result: 'refused', tag: null, missing: [] })
    }
    const missing = frames.flatMap((f, i) => own[i]?.frame.length === f.length ? [] : [i])
    if (missing.length > 0 || (body.purpose === 'app' && !this.canName(body.epoch, body.number))) return this.lacks(body, frames, missing)
    this.latestProposedOrder = own.reduce((latest, w) => Math.max(latest, w?.order ?? 0), this.latestProposedOrder)
    const stored = this.store(tx, body, here)
    return () => this.verified(stored, body)
  }

  private lacks (body: Body<'propose'>, frames: readonly FrameRef[], missing: number[]): () => Body<'confirm'> {
    this.noteMissing(body.number)
    if (missing.length > 0) this.pending.lack()
    // Both ends deliver in the same order: the proposer went on without what waits here.
    if (missing.length > 0 && this.pending.isAtLimit) this.latestProposedOrder = this.pending.lastOrder + 1
    return () => {
      this.tellWanted(missing.map((i) => frames[i]!))
      return { number: body.number, result: 'missing', tag: null, missing }
    }
  }

  private store (tx: KvWriter, body: Body<'propose'>, frames: FrameRef[]): Composed {
    const { core } = this, row = encodeFrames(frames)
    const block: BlockRow = {
      number: body.number, owner: body.owner === core.deps.self ? 'mine' : 'theirs', purpose: body.purpose, lane: body.lane, epoch: body.epoch,
      state: 'accepted', bytes: frames.reduce((sum, f) => sum + f.length, 0), index: 0, spent: 0,
      bornMs: core.deps.ageMs(), bornWallMs: core.deps.clock.wallMs(), closedMs: 0,
    }
    this.pending.remove(frames)
    core.meta.highestBlock = Math.max(core.meta.highestBlock, block.number)
    core.putBlock(tx, block)
    tx.put(framesKey(core.pool, block.number), row)
    this.lacked.stored(tx, body.number)
    return { block, frames, row }
  }

  /** The answer to the proposal of a block that is stored here, now or before. */
  private verified (stored: Composed, body: Body<'propose'>): Body<'confirm'> | undefined {
    const { block } = stored
    if (this.core.blocks.get(block.number) !== block || block.state !== 'accepted') return undefined // Another message of this turn ended it, or settled it.
    const tag = this.answerTag(stored, canonical(this.core, block, body.frames.map(frameOf), body.owner), body.tag)
    if (tag === 'full') return undefined // The proposal comes again.
    if (tag === 'damaged') { this.reject(block, 'damaged', 'refused'); return undefined }
    if (tag === undefined) { this.mismatch(block); return undefined } // If found before, too, the power went before that was on disk.
    this.mismatches = 0
    return { number: block.number, result: 'stored', tag, missing: [] }
  }

  /** @returns undefined if the bytes differ. */
  private answerTag (stored: Composed, m: Uint8Array, tag: Uint8Array): Uint8Array | undefined | 'full' | 'damaged' {
    const { vault } = this.core.deps
    return this.withBytes(stored, (handle) => vault.verifyConfirmTag(handle, 1, m, tag) ? vault.confirmTag(handle, 2, m) : undefined)
  }

  private mismatch (block: BlockRow): void {
    this.countMismatch(block.number)
    this.reject(block, 'mismatch', 'mismatch')
  }

  private reject (block: BlockRow, cause: string, result: 'mismatch' | 'refused'): void {
    const { core } = this
    core.commit((tx) => { this.erasure.block(tx, block, usableBytes(block), cause) })
    core.durable(() => { core.send('confirm', { number: block.number, result, tag: null, missing: [] }) })
  }

  onStored (number: number): void {
    const block = this.core.blocks.get(number)
    if (block === undefined || block.state !== 'accepted' || !this.stored.add(block)) return
    this.confirmed(this.linkOf(number))
  }

  onDrop (tx: KvWriter, body: Body<'drop'>): void {
    const frames = [...new Set(body.frames.flatMap((f) => this.pending.find(frameOf(f)) ?? []))]
    this.burnPending(tx, frames, 'unmatched')
  }

  /** The side that does not propose gives up frames that the proposer passed over. */
  giveUp (): void {
    const { core } = this
    if (core.proposer || !core.ready) return
    if (core.deps.clock.monoMs() - this.confirmedAgainMs >= CONFIRM_AGAIN_MS) this.confirmAgain()
    const frames = this.pending.passedOver(this.latestProposedOrder, core.deps.limits.missingFrameMs + core.deps.limits.blockCloseMs)
    if (frames.length > 0) core.commit((tx) => { this.burnPending(tx, frames, 'unmatched') })
  }

  burnPending (tx: KvWriter, frames: readonly FrameRef[], cause: string): void {
    this.core.burn(cause, frames.reduce((sum, f) => sum + f.length, 0))
    this.erasure.frames(tx, frames)
    this.pending.burned(frames)
  }

  /** A stop in good order: the proposer proposes again what is under way. */
  stop (): void { this.lacked.keep() }

  /** The stock is void: no number of it comes again. */
  voided (): void { this.lacked.clear() }

  reset (): void {
    this.flights.clear()
    this.waiting.clear()
    this.composed.length = this.proposals.length = 0
    this.accepted.clear()
    this.stored.clear()
    this.pending.restartClocks()
  }

  private tellWanted (missing: readonly FrameRef[]): void {
    const links = this.pending.links.filter((link) => missing.some((f) => f.link === link)) // No device is asked for another neighbour's frames.
    for (const link of links) this.core.deps.emit({ type: 'frames.wanted', link, frames: missing.filter((f) => f.link === link) })
  }

  // --- shared ---------------------------------------------------------------------------------------

  private noteMissing (number: number): void {
    this.lacked.add(number)
    this.core.meta.highestBlock = Math.max(this.core.meta.highestBlock, number)
  }

  /** Whose frames the block is made of: of a pool with one link it is not read. */
  private linkOf (number: number): number {
    const { links } = this.pending
    return links.length === 1 ? links[0]! : this.core.framesOf(number)[0]?.link ?? 0
  }

  private composedBefore (block: BlockRow): Composed { return { block, frames: this.core.framesOf(block.number) } }

  private confirmed (link: number): void { this.core.deps.emit({ type: 'link.confirmed', link }) }

  private countMismatch (number: number): void {
    this.mismatches++
    this.core.deps.emit({ type: 'link.mismatch', link: this.linkOf(number), inARow: this.mismatches })
  }

  private withBytes<T> ({ block, frames, row }: Composed, use: (handle: BlockHandle) => T): T | 'full' | 'damaged' {
    const handle = this.views.reach(block, 0, block.bytes, frames, row)
    if (typeof handle === 'string') { this.views.drop(block.number); return handle }
    try {
      return use(handle)
    } finally {
      this.views.leave(block.number)
      this.views.drop(block.number)
    }
  }
}
