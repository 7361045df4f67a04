import type { BlockHandle } from '../device/native.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import { sameBytes, type PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import type { PendingFrames } from './pending.js'
import { encodeRow, framesKey, usableBytes, type BlockRow, type FrameRef, type Purpose } from './rows.js'
import type { BlockViews } from './views.js'

const IN_FLIGHT_MAX = 64
const RETRY_MS = 1_000
/** An answer that did not come by then was lost where a queue was full: asked again. */
const UNANSWERED_MS = 5_000
const BLOCK_FRAMES_MAX = 16

export interface NextBlock { readonly owner: 'mine' | 'theirs', readonly purpose: Purpose, readonly epoch: number, readonly framesMax: number }

interface Flight { readonly answerTag: Uint8Array, readonly message: Body<'propose'>, readonly sinceMs: number, retryAtMs: number }

/**
 * Propose and confirm (design 3.2, 3.3): both KMEs agree on which frames form block n and that their bytes are equal,
 * without revealing any that will be used. Numbers are flushed before they are sent and never used again.
 */
export class Agreement {
  private readonly flights = new Map<number, Flight>()
  /** Other side: numbers that we answered with 'missing' and that may come again. */
  private readonly missing = new Set<number>()
  private latestProposedOrder = 0
  private mismatches = 0
  private confirmedAgainMs = -Infinity

  constructor (
    private readonly core: PoolCore, private readonly pending: PendingFrames, private readonly views: BlockViews,
    private readonly erasure: Erasure, private readonly next: (pendingFrames: number) => NextBlock | undefined,
    private readonly epochKnown: (epoch: number) => boolean, private readonly onUsable: (block: BlockRow) => void,
  ) {}

  // --- the proposer ---------------------------------------------------------------------------------

  /** Composes what is ready. A block closes when it is full, or when its oldest frame waited `blockCloseMs`. */
  propose (): void {
    const { core, pending } = this
    while (core.ready && this.flights.size < IN_FLIGHT_MAX && pending.size > 0) {
      const plan = this.next(pending.size)
      if (plan === undefined) return
      const waitedMs = core.deps.clock.monoMs() - (pending.oldestMs ?? 0)
      if (pending.size < plan.framesMax && waitedMs < core.deps.limits.blockCloseMs) return
      const frames = this.enough(plan)
      if (frames === undefined) return // Short frames, and too few of them for the purpose yet.
      this.compose(plan, frames, frames.reduce((sum, f) => sum + f.length, 0))
    }
  }

  /** The oldest frames for a block: `framesMax`, or more if they are so short that they hold too little for its purpose. */
  private enough (plan: NextBlock): FrameRef[] | undefined {
    const least = plan.purpose === 'id' ? 64 : 16
    for (let count = plan.framesMax; count <= BLOCK_FRAMES_MAX; count++) {
      const frames = this.pending.peek(count)
      if (usableBytes({ bytes: frames.reduce((sum, f) => sum + f.length, 0) }) >= least) return frames
      if (frames.length < count) return undefined
    }
    return undefined
  }

  private compose (plan: NextBlock, frames: FrameRef[], bytes: number): void {
    const { core } = this
    const block: BlockRow = {
      number: core.meta.highestBlock + 1, owner: plan.owner, purpose: plan.purpose, lane: 0, epoch: plan.epoch, state: 'proposed',
      bytes, index: 0, spent: 0, bornMs: core.deps.ageMs(), bornWallMs: core.deps.clock.wallMs(), closedMs: 0,
    }
    core.commit((tx) => {
      core.meta.highestBlock = block.number
      core.putBlock(tx, block)
      tx.put(framesKey(core.pool, block.number), encodeRow(frames))
    })
    this.pending.remove(frames)
    this.launch(block, frames)
  }

  private launch (block: BlockRow, frames: FrameRef[]): void {
    const { core } = this
    const owner = block.owner === 'mine' ? core.deps.self : core.deps.remote
    const m = this.canonical(block, frames, owner)
    const [tag, answerTag] = this.withBytes(block, (handle) => [core.deps.vault.confirmTag(handle, 1, m), core.deps.vault.confirmTag(handle, 2, m)])
    const message: Body<'propose'> = {
      number: block.number, owner, purpose: block.purpose, lane: block.lane, epoch: block.epoch, tag: tag!,
      frames: frames.map((f) => ({ link: f.link, block: Buffer.from(f.id, 'hex'), offset: f.offset, length: f.length })),
    }
    const now = core.deps.clock.monoMs()
    this.flights.set(block.number, { answerTag: answerTag!, message, sinceMs: now, retryAtMs: now + UNANSWERED_MS })
    core.durable(() => { if (core.ready && this.flights.has(block.number)) core.send('propose', message) })
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
      if (block !== undefined && body.result === 'stored') core.send('stored', { number: body.number })
      return
    }
    if (flight === undefined || (body.result === 'stored' && body.tag === null)) return // It gets our proposal again.
    if (body.result === 'missing') { this.onMissing(block, flight); return }
    this.flights.delete(body.number)
    if (body.result === 'stored' && body.tag !== null && sameBytes(body.tag, flight.answerTag)) { this.accept(block, flight.message.frames[0]!.link); return }
    if (body.result === 'stored') core.security('integrity.confirmation', `block ${body.number}: the answer's tag is wrong`)
    if (body.result !== 'refused') this.countMismatch(body.number)
    core.commit((tx) => {
      if (body.result === 'stored') core.enqueue(tx, 'burn', { blocks: [body.number], cause: 'mismatch' })
      this.erasure.block(tx, block, usableBytes(block), body.result === 'refused' ? 'refused' : 'mismatch')
    })
  }

  private accept (block: BlockRow, link: number): void {
    const { core } = this
    core.commit((tx) => {
      block.state = 'usable'
      core.putBlock(tx, block)
      this.erasure.bookConfirmed(block)
    })
    this.mismatches = 0
    this.confirmed(link)
    core.durable(() => {
      core.send('stored', { number: block.number })
      this.onUsable(block)
    })
  }

  private onMissing (block: BlockRow, flight: Flight): void {
    const { core } = this
    const now = core.deps.clock.monoMs()
    if (now - flight.sinceMs < core.deps.limits.missingFrameMs) { flight.retryAtMs = now + RETRY_MS; return }
    this.flights.delete(block.number)
    core.commit((tx) => {
      for (let i = 0; i < flight.message.frames.length; i += 64) core.enqueue(tx, 'drop', { frames: flight.message.frames.slice(i, i + 64) })
      this.erasure.block(tx, block, usableBytes(block), 'unmatched')
    })
  }

  /** Retries what the other side lacked. */
  retry (): void {
    const now = this.core.deps.clock.monoMs()
    for (const flight of this.flights.values()) {
      if (now < flight.retryAtMs) continue
      flight.retryAtMs = now + RETRY_MS
      this.core.send('propose', flight.message)
    }
  }

  // --- the other side ---------------------------------------------------------------------------------

  onPropose (body: Body<'propose'>): void {
    const { core } = this
    if (core.proposer) throw core.protocol('a proposal from the side that does not propose')
    if (body.owner !== core.deps.self && body.owner !== core.deps.remote) throw core.protocol('a proposal for a stranger')
    const known = core.blocks.get(body.number)
    if (known === undefined && body.number <= core.meta.highestBlock && !this.missing.has(body.number)) {
      core.send('confirm', { number: body.number, result: 'refused', tag: null, missing: [] }) // Dead: no late message revives it.
      return
    }
    const frames = body.frames.map((f) => ({ link: f.link, id: Buffer.from(f.block).toString('hex'), offset: f.offset, length: f.length }))
    if (new Set(frames.map((f) => `${f.link}/${f.id}/${f.offset}`)).size !== frames.length) throw core.protocol('a proposal names a frame twice')
    if (known !== undefined) { this.answerAgain(known, body, frames); return }
    const missing = frames.flatMap((f, i) => this.pending.find(f)?.length === f.length ? [] : [i])
    if (missing.length > 0 || (body.purpose === 'app' && !this.epochKnown(body.epoch))) {
      this.noteMissing(body.number)
      core.send('confirm', { number: body.number, result: 'missing', tag: null, missing })
      return
    }
    this.store(body, frames)
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
      tx.put(framesKey(core.pool, block.number), encodeRow(frames))
    })
    this.missing.delete(body.number)
    const m = this.canonical(block, frames, body.owner)
    const tag = this.withBytes(block, (handle) => core.deps.vault.verifyConfirmTag(handle, 1, m, body.tag) ? core.deps.vault.confirmTag(handle, 2, m) : undefined)
    if (tag === undefined) {
      this.countMismatch(block.number)
      core.commit((tx) => { this.erasure.block(tx, block, usableBytes(block), 'mismatch') })
      core.durable(() => { core.send('confirm', { number: block.number, result: 'mismatch', tag: null, missing: [] }) })
      return
    }
    this.mismatches = 0
    core.durable(() => { core.send('confirm', { number: block.number, result: 'stored', tag, missing: [] }) })
  }

  private answerAgain (block: BlockRow, body: Body<'propose'>, frames: FrameRef[]): void {
    const { core } = this
    if (block.state !== 'accepted') throw core.protocol(`block ${body.number} is proposed again`)
    const m = this.canonical(block, frames, body.owner)
    const tag = this.withBytes(block, (handle) => core.deps.vault.verifyConfirmTag(handle, 1, m, body.tag) ? core.deps.vault.confirmTag(handle, 2, m) : undefined)
    if (tag === undefined) throw core.protocol(`block ${body.number} is proposed again with other content`)
    core.send('confirm', { number: block.number, result: 'stored', tag, missing: [] })
  }

  onStored (number: number): void {
    const { core } = this
    const block = core.blocks.get(number)
    if (block === undefined || block.state !== 'accepted') return
    core.commit((tx) => {
      block.state = 'usable'
      core.putBlock(tx, block)
      this.erasure.bookConfirmed(block)
    })
    this.confirmed(core.framesOf(number)[0]?.link ?? 0)
    core.durable(() => { this.onUsable(block) })
  }

  onDrop (tx: KvWriter, body: Body<'drop'>): void {
    const frames = body.frames.map((f) => ({ link: f.link, id: Buffer.from(f.block).toString('hex'), offset: f.offset, length: f.length }))
      .filter((f) => this.pending.find(f) !== undefined)
    this.burnPending(tx, frames, 'unmatched')
  }

  /** The side that does not propose gives up frames that the proposer passed over. */
  giveUp (): void {
    const { core } = this
    if (core.proposer || !core.ready) return
    if (core.deps.clock.monoMs() - this.confirmedAgainMs >= UNANSWERED_MS) this.confirmAgain()
    const frames = this.pending.passedOver(this.latestProposedOrder, core.deps.limits.missingFrameMs + core.deps.limits.blockCloseMs)
    if (frames.length > 0) core.commit((tx) => { this.burnPending(tx, frames, 'unmatched') })
  }

  burnPending (tx: KvWriter, frames: readonly FrameRef[], cause: string): void {
    this.core.burn(cause, frames.reduce((sum, f) => sum + f.length, 0))
    this.erasure.frames(tx, frames)
    this.pending.remove(frames)
  }

  reset (): void {
    this.flights.clear()
    this.missing.clear()
    this.pending.restartClocks()
  }

  // --- shared ---------------------------------------------------------------------------------------

  private noteMissing (number: number): void {
    this.missing.add(number)
    this.core.meta.highestBlock = Math.max(this.core.meta.highestBlock, number)
    if (this.missing.size <= 4 * IN_FLIGHT_MAX) return
    for (const oldest of this.missing) { this.missing.delete(oldest); break }
  }

  private confirmed (link: number): void { this.core.deps.emit({ type: 'link.confirmed', link }) }

  private countMismatch (number: number): void {
    this.mismatches++
    const link = this.core.framesOf(number)[0]?.link ?? 0
    this.core.deps.emit({ type: 'link.mismatch', link, inARow: this.mismatches })
  }

  private withBytes<T> (block: BlockRow, use: (handle: BlockHandle) => T): T {
    const handle = this.views.enter(block)
    try {
      this.views.load(block.number, 0, block.bytes)
      return use(handle)
    } finally {
      this.views.leave(block.number)
      this.views.drop(block.number)
    }
  }

  /** m of design 3.3: everything that both sides must agree on, in one byte order. */
  private canonical (block: BlockRow, frames: readonly FrameRef[], owner: string): Uint8Array {
    const { deps, meta } = this.core
    const stores = this.core.proposer ? [deps.incarnation.storeId, meta.theirStore] : [meta.theirStore, deps.incarnation.storeId]
    const head = new TextEncoder().encode(JSON.stringify([block.number, owner, block.purpose, block.lane, block.epoch,
      ...stores.map((s) => Buffer.from(s ?? []).toString('hex')), frames.map((f) => [f.link, f.id, f.offset, f.length])]))
    return head
  }
}
