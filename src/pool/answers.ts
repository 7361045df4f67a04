import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { Agreed } from './agreed.js'
import { isTooSmall, type Composed } from './composition.js'
import type { PoolCore } from './core.js'
import { Gathered } from './gathered.js'
import { Lacked } from './lacked.js'
import { canonical, frameOf, repeatsName } from './proposal.js'
import { encodeFrames } from './row-codec.js'
import { framesKey, usableBytes, type BlockRow, type FrameRef } from './rows.js'

/** The proposer may not have heard a confirmation: said again. */
const CONFIRM_AGAIN_MS = 5_000
/** As many as the proposer may have under way. */
const PROPOSALS_MAX = 64
/** For so long nothing fitted of what is proposed, and there was no room for other frames. */
const STUCK_MS = 5_000
/** Where the proposer was is noted so many times while frames that it passed over are waited for. */
const MARKS = 8

/** A proposal that came, and its frames. */
interface Proposal { readonly body: Body<'propose'>, readonly frames: readonly FrameRef[] }

/** The part of the side that does not propose (design 3.2, 3.3): it takes what it has, too, and gives up what the proposer has passed over. */
export class Answers {
  private readonly core: PoolCore
  private readonly lacked: Lacked
  /** Proposals of this turn, to be stored together. */
  private readonly proposals: Proposal[] = []
  private readonly stored: Gathered
  /** The latest frame, in order of arrival here, that was proposed. */
  private latestProposedOrder = 0
  /** Where that was before. */
  private readonly marks: { readonly order: number, readonly atMs: number }[] = []
  private stuckSinceMs: number | undefined
  private confirmedAgainMs = -Infinity

  constructor (private readonly agreed: Agreed, private readonly canName: (epoch: number, number: number) => boolean) {
    const core = this.core = agreed.core
    this.lacked = new Lacked(core)
    this.stored = new Gathered(core, 'accepted', (blocks) => { agreed.settle(blocks, () => {}) })
  }

  /** What the proposer has perhaps not heard. It answers 'stored', or proposes again. */
  confirmAgain (): void {
    this.confirmedAgainMs = this.core.deps.clock.monoMs()
    for (const block of this.core.blocks.values()) if (block.state === 'accepted') this.core.send('confirm', { number: block.number, result: 'stored', tag: null, missing: [] })
  }

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
    if (known !== undefined) return () => this.verified(this.agreed.composedBefore(known), body)
    const own = frames.map((f) => this.agreed.pending.entry(f)), here = own.flatMap((w) => w?.frame ?? [])
    const isDead = body.number <= core.meta.highestBlock && !this.lacked.has(body.number) // No late message revives it.
    if (isDead || isTooSmall(body.purpose, frames) || frames.some((f, i) => own[i] === undefined && this.agreed.pending.isGone(f))) {
      // The proposer burns the frames of a proposal that is refused; those that wait here would be accounted otherwise until they are given up.
      if (here.length > 0) this.agreed.burnPending(tx, here, 'refused')
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
    if (missing.length > 0) this.agreed.pending.lack()
    if (missing.length > 0 && this.agreed.pending.isStuffed) this.stuckSinceMs ??= this.core.deps.clock.monoMs()
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
    this.agreed.pending.remove(frames)
    this.stuckSinceMs = undefined
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
    this.agreed.match()
    return { number: block.number, result: 'stored', tag, missing: [] }
  }

  /** @returns undefined if the bytes differ. */
  private answerTag (stored: Composed, m: Uint8Array, tag: Uint8Array): Uint8Array | undefined | 'full' | 'damaged' {
    const { vault } = this.core.deps
    return this.agreed.withBytes(stored, (handle) => vault.verifyConfirmTag(handle, 1, m, tag) ? vault.confirmTag(handle, 2, m) : undefined)
  }

  private mismatch (block: BlockRow): void {
    this.agreed.mismatch(block.number)
    this.reject(block, 'mismatch', 'mismatch')
  }

  private reject (block: BlockRow, cause: string, result: 'mismatch' | 'refused'): void {
    const { core } = this
    core.commit((tx) => { this.agreed.erasure.block(tx, block, usableBytes(block), cause) })
    core.durable(() => { core.send('confirm', { number: block.number, result, tag: null, missing: [] }) })
  }

  onStored (number: number): void {
    const block = this.core.blocks.get(number)
    if (block === undefined || block.state !== 'accepted' || !this.stored.add(block)) return
    this.agreed.confirmed(this.agreed.linkOf(number))
  }

  /** Says again what the proposer may not have heard, and gives up the frames that it passed over. */
  tick (): void {
    const { core } = this
    if (core.deps.clock.monoMs() - this.confirmedAgainMs >= CONFIRM_AGAIN_MS) this.confirmAgain()
    const frames = this.passedOver()
    if (frames.length > 0) core.commit((tx) => { this.agreed.burnPending(tx, frames, 'unmatched') })
  }

  /**
   * Both ends deliver a link's frames in the same order: the proposer lacks what arrived before one that it proposed long ago. And what it
   * proposes lies behind all that is here if none of it is, and there is no room for more.
   */
  private passedOver (): FrameRef[] {
    const { core, agreed: { pending }, marks } = this, now = core.deps.clock.monoMs(), ageMs = core.deps.limits.missingFrameMs + core.deps.limits.blockCloseMs
    if (this.stuckSinceMs !== undefined && now - this.stuckSinceMs >= STUCK_MS) {
      this.stuckSinceMs = undefined
      if (pending.isStuffed) return pending.peek(pending.size)
    }
    const last = marks.at(-1)
    if (last === undefined || (last.order < this.latestProposedOrder && now - last.atMs >= ageMs / MARKS)) marks.push({ order: this.latestProposedOrder, atMs: now })
    while (marks.length > 1 && now - marks[1]!.atMs >= ageMs) marks.shift()
    return now - marks[0]!.atMs >= ageMs ? pending.before(marks[0]!.order) : []
  }

  /** The block is gone by another way. */
  forget (number: number): void { this.lacked.forget(number) }

  /** A stop in good order: the proposer proposes again what is under way. */
  stop (): void { this.lacked.keep() }

  /** The stock is void: no number of it comes again. */
  voided (): void { this.lacked.clear() }

  reset (): void {
    this.proposals.length = this.marks.length = 0
    this.stuckSinceMs = undefined
    this.stored.clear()
  }

  private tellWanted (missing: readonly FrameRef[]): void {
    const links = this.agreed.pending.links.filter((link) => missing.some((f) => f.link === link)) // No device is asked for another neighbour's frames.
    for (const link of links) this.core.deps.emit({ type: 'frames.wanted', link, frames: missing.filter((f) => f.link === link) })
  }

  private noteMissing (number: number): void {
    this.lacked.add(number)
    this.core.meta.highestBlock = Math.max(this.core.meta.highestBlock, number)
  }
}
