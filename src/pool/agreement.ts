import type { BlockHandle } from '../device/native.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import { Composition, isTooSmall, type Composed, type NextBlock } from './composition.js'
import { sameBytes, type PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import { Flights, LACKING_MAX, type Flight } from './flights.js'
import { Gathered } from './gathered.js'
import type { PendingFrames } from './pending.js'
import { canonical, frameOf, nameOf } from './proposal.js'
import { encodeFrames } from './row-codec.js'
import { framesKey, usableBytes, type BlockRow, type FrameRef } from './rows.js'
import type { BlockViews } from './views.js'

/** The proposer may not have heard a confirmation: said again. */
const CONFIRM_AGAIN_MS = 5_000

/**
 * Propose and confirm (design 3.2, 3.3): both KMEs agree on which frames form block n and that their bytes are equal,
 * without revealing any that will be used. Numbers are flushed before they are sent and never used again.
 */
export class Agreement {
  private readonly flights: Flights
  /** Other side: numbers that we answered with 'missing' and that may come again. */
  private readonly missing = new Set<number>()
  /** Proposed, but the arena had no room to make the tag: tried again. */
  private readonly waiting = new Set<number>()
  /** Written, but not proposed yet. */
  private readonly composed: Composed[] = []
  private readonly composition: Composition
  private readonly accepted: Gathered
  private readonly stored: Gathered
  private latestProposedOrder = 0
  private mismatches = 0
  private confirmedAgainMs = -Infinity

  constructor (
    private readonly core: PoolCore, private readonly pending: PendingFrames, private readonly views: BlockViews,
    private readonly erasure: Erasure, next: () => NextBlock | undefined,
    private readonly epochKnown: (epoch: number) => boolean, private readonly onUsable: (block: BlockRow) => void,
  ) {
    this.flights = new Flights(() => core.deps.clock.monoMs())
    this.composition = new Composition(core, pending, next)
    this.accepted = new Gathered(core, 'proposed', (blocks) => { this.accept(blocks) })
    this.stored = new Gathered(core, 'accepted', (blocks) => { this.settle(blocks, () => {}) })
  }

  // --- the proposer ---------------------------------------------------------------------------------

  /** Composes what is ready, in one transaction, and proposes it. */
  propose (): void {
    if (this.mayCompose && this.composition.plan() !== undefined) this.core.commit((tx) => { this.compose(tx) })
    this.launchComposed()
  }

  /** The blocks that close now are written; `launchComposed` proposes them. */
  compose (tx: KvWriter): void {
    while (this.mayCompose) {
      const made = this.composition.compose(tx)
      if (made === undefined) return
      this.composed.push(made)
    }
  }

  private get mayCompose (): boolean {
    return this.core.ready && this.core.proposer && this.composed.length < this.flights.room
  }

  /** Bytes of proposals whose frames the other side lacks so far. */
  get lackingBytes (): number { return this.flights.lackingBytes }

  /** What became of them since is theirs: a new connection proposes again whatever is not confirmed. */
  launchComposed (): void {
    const { core } = this
    for (const { block, frames } of this.composed.splice(0)) {
      if (core.ready && core.blocks.get(block.number) === block && block.state === 'proposed') this.launch(block, frames)
    }
  }

  private launch (block: BlockRow, frames: FrameRef[]): void {
    const { core } = this
    const owner = block.owner === 'mine' ? core.deps.self : core.deps.remote
    const m = canonical(this.core, block, frames, owner)
    const tags = this.withBytes(block, frames, (handle) => [core.deps.vault.confirmTag(handle, 1, m), core.deps.vault.confirmTag(handle, 2, m)] as const)
    if (tags === 'full') { this.waiting.add(block.number); return }
    if (tags === 'damaged') { this.giveUpDamaged(block, frames); return }
    const [tag, answerTag] = tags
    const message: Body<'propose'> = {
      number: block.number, owner, purpose: block.purpose, lane: block.lane, epoch: block.epoch, tag,
      frames: frames.map(nameOf),
    }
    this.flights.add(message, answerTag)
    core.durable(() => { if (core.ready && this.flights.has(block.number)) core.send('propose', message) })
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
    this.missing.delete(number)
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
    for (const block of open) this.launch(block, this.core.framesOf(block.number))
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
      for (const block of blocks) {
        tell(block)
        this.onUsable(block)
      }
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
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const number of waiting) {
      const block = this.core.blocks.get(number)
      if (block?.state === 'proposed') this.launch(block, this.core.framesOf(number))
    }
    for (const message of this.flights.due()) this.core.send('propose', message)
  }

  // --- the other side ---------------------------------------------------------------------------------

  onPropose (body: Body<'propose'>): void {
    const { core } = this
    if (core.proposer) throw core.protocol('a proposal from the side that does not propose')
    if (body.owner !== core.deps.self && body.owner !== core.deps.remote) throw core.protocol('a proposal for a stranger')
    const known = core.blocks.get(body.number)
    const frames = body.frames.map(frameOf)
    if (new Set(frames.map((f) => `${f.link}/${f.id}/${f.offset}`)).size !== frames.length) throw core.protocol('a proposal names a frame twice')
    const isDead = known === undefined && body.number <= core.meta.highestBlock && !this.missing.has(body.number) // No late message revives it.
    if (isDead || isTooSmall(body.purpose, frames) || (known === undefined && frames.some((f) => this.pending.isGone(f)))) { this.refuse(body.number, frames); return }
    if (known !== undefined) { this.answerAgain(known, body, frames); return }
    const own = frames.map((f) => this.pending.find(f)), missing = frames.flatMap((f, i) => own[i]?.length === f.length ? [] : [i])
    if (missing.length > 0 || (body.purpose === 'app' && !this.epochKnown(body.epoch))) {
      this.noteMissing(body.number)
      if (missing.length > 0) this.pending.lack()
      // Both ends deliver in the same order: the proposer went on without what waits here.
      if (missing.length > 0 && this.pending.isAtLimit) this.latestProposedOrder = this.pending.lastOrder + 1
      this.tellWanted(missing.map((i) => frames[i]!))
      core.send('confirm', { number: body.number, result: 'missing', tag: null, missing })
      return
    }
    this.store(body, own as FrameRef[])
  }

  /** The proposer burns the frames of a proposal that is refused; those that wait here would be accounted otherwise until they are given up. */
  private refuse (number: number, frames: readonly FrameRef[]): void {
    const { core } = this
    const waiting = frames.flatMap((f) => this.pending.find(f) ?? [])
    if (waiting.length > 0) core.commit((tx) => { this.burnPending(tx, waiting, 'refused') })
    core.send('confirm', { number, result: 'refused', tag: null, missing: [] })
  }

  private store (body: Body<'propose'>, frames: FrameRef[]): void {
    const { core } = this
    const block: BlockRow = {
      number: body.number, owner: body.owner === core.deps.self ? 'mine' : 'theirs', purpose: body.purpose, lane: body.lane, epoch: body.epoch,
      state: 'accepted', bytes: frames.reduce((sum, f) => sum + f.length, 0), index: 0, spent: 0,
      bornMs: core.deps.ageMs(), bornWallMs: core.deps.clock.wallMs(), closedMs: 0,
    }
    for (const f of frames) this.latestProposedOrder = Math.max(this.latestProposedOrder, this.pending.orderOf(f))
    this.pending.remove(frames)
    core.commit((tx) => {
      core.meta.highestBlock = Math.max(core.meta.highestBlock, block.number)
      core.putBlock(tx, block)
      tx.put(framesKey(core.pool, block.number), encodeFrames(frames))
    })
    this.missing.delete(body.number)
    const m = canonical(this.core, block, frames, body.owner)
    const tag = this.answerTag(block, frames, m, body.tag)
    if (tag === 'full') return // The proposal comes again.
    if (tag === 'damaged') { this.reject(block, 'damaged', 'refused'); return }
    if (tag === undefined) { this.mismatch(block); return }
    this.mismatches = 0
    core.durable(() => { core.send('confirm', { number: block.number, result: 'stored', tag, missing: [] }) })
  }

  private answerAgain (block: BlockRow, body: Body<'propose'>, frames: FrameRef[]): void {
    const { core } = this
    if (block.state !== 'accepted') throw core.protocol(`block ${body.number} is proposed again`)
    const m = canonical(this.core, block, frames, body.owner)
    const tag = this.answerTag(block, core.framesOf(block.number), m, body.tag)
    if (tag === 'full') return
    if (tag === 'damaged') { this.reject(block, 'damaged', 'refused'); return }
    if (tag === undefined) { this.mismatch(block); return } // Found before, too, but the power went before that was on disk.
    core.send('confirm', { number: block.number, result: 'stored', tag, missing: [] })
  }

  /** @returns undefined if the bytes differ. */
  private answerTag (block: BlockRow, frames: FrameRef[], m: Uint8Array, tag: Uint8Array): Uint8Array | undefined | 'full' | 'damaged' {
    const { vault } = this.core.deps
    return this.withBytes(block, frames, (handle) => vault.verifyConfirmTag(handle, 1, m, tag) ? vault.confirmTag(handle, 2, m) : undefined)
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
    this.confirmed(this.core.framesOf(number)[0]?.link ?? 0)
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

  reset (): void {
    this.flights.clear()
    this.waiting.clear()
    this.missing.clear()
    this.composed.length = 0
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
    this.missing.add(number)
    this.core.meta.highestBlock = Math.max(this.core.meta.highestBlock, number)
    if (this.missing.size <= LACKING_MAX) return
    for (const oldest of this.missing) { this.missing.delete(oldest); break }
  }

  private confirmed (link: number): void { this.core.deps.emit({ type: 'link.confirmed', link }) }

  private countMismatch (number: number): void {
    this.mismatches++
    const link = this.core.framesOf(number)[0]?.link ?? 0
    this.core.deps.emit({ type: 'link.mismatch', link, inARow: this.mismatches })
  }

  private withBytes<T> (block: BlockRow, frames: FrameRef[], use: (handle: BlockHandle) => T): T | 'full' | 'damaged' {
    const handle = this.views.reach(block, 0, block.bytes, frames)
    if (typeof handle === 'string') { this.views.drop(block.number); return handle }
    try {
      return use(handle)
    } finally {
      this.views.leave(block.number)
      this.views.drop(block.number)
    }
  }
}
