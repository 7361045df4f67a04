import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { Agreed } from './agreed.js'
import { Composition, type Composed, type NextBlock, type Room } from './composition.js'
import { sameBytes, type PoolCore } from './core.js'
import { Flights, type Flight } from './flights.js'
import { Gathered } from './gathered.js'
import { Patience } from './patience.js'
import { canonical, nameOf } from './proposal.js'
import { usableBytes, type BlockRow, type FrameRef } from './rows.js'

/** As many as the other side's memory of a message takes. */
const DROP_FRAMES = 64

/** The proposer's part of the agreement (design 3.2, 3.3). Numbers are flushed before they are sent and never used again. */
export class Proposals {
  private readonly core: PoolCore
  private readonly flights: Flights
  private readonly patience: Patience
  /** Proposed, but the arena had no room to make the tag: tried again. */
  private readonly waiting = new Set<number>()
  /** Written, but not proposed yet. */
  private readonly composed: Composed[] = []
  private readonly composition: Composition
  private readonly accepted: Gathered

  /** @param inOrder  Both ends get the frames in the same order: those of a device, not those of a relay. */
  constructor (private readonly agreed: Agreed, next: () => NextBlock | undefined, inOrder: boolean) {
    const core = this.core = agreed.core, nowMs = (): number => core.deps.clock.monoMs()
    this.flights = new Flights(nowMs)
    this.patience = new Patience(this.flights, agreed.pending, core.deps.limits.missingFrameMs, nowMs, inOrder)
    this.composition = new Composition(core, agreed.pending, next, (purpose) => this.patience.takesNewest(purpose), () => { this.propose() })
    this.accepted = new Gathered(core, 'proposed', (blocks) => { this.accept(blocks) })
  }

  /** Composes what is ready, in one transaction, and proposes it. */
  propose (): void {
    if (this.mayCompose && this.composition.isDue(this.room)) this.core.commit((tx) => { this.compose(tx) })
    this.launchComposed()
  }

  /** The blocks that close now are written; `launchComposed` proposes them. */
  compose (tx: KvWriter): void {
    if (this.mayCompose) this.composed.push(...this.composition.round(tx, this.room))
  }

  private get mayCompose (): boolean { return this.core.ready && this.core.proposer }

  /** How many more blocks may be written. */
  private get room (): Room {
    const { flights } = this, under = this.composed.length + this.waiting.size
    return { any: flights.room - under, urgent: flights.urgentRoom - under }
  }

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
    const tags = this.agreed.withBytes(composed, (handle) => [core.deps.vault.confirmTag(handle, 1, m), core.deps.vault.confirmTag(handle, 2, m)] as const)
    if (tags === 'full') this.waiting.add(block.number)
    if (tags === 'damaged') this.giveUpDamaged(block, frames)
    if (typeof tags === 'string') return undefined
    const [tag, answerTag] = tags
    const message: Body<'propose'> = {
      number: block.number, owner, purpose: block.purpose, lane: block.lane, epoch: block.epoch, tag,
      frames: frames.map(nameOf),
    }
    this.flights.add(message, answerTag, composed.taken, this.patience.ofUrgentMs)
    return message
  }

  /** A record of ours does not open. Whatever the other side has of this proposal goes, too. */
  private giveUpDamaged (block: BlockRow, frames: readonly FrameRef[]): void {
    const { core } = this
    core.commit((tx) => {
      core.enqueue(tx, 'drop', { frames: frames.map(nameOf) })
      core.enqueue(tx, 'burn', { blocks: [block.number], cause: 'damaged' })
      this.agreed.erasure.block(tx, block, usableBytes(block), 'damaged')
    })
  }

  /** After a resynchronisation: everything that was proposed and not confirmed goes out again, in order. */
  resend (): void {
    const open = [...this.core.blocks.values()].filter((b) => b.state === 'proposed').sort((a, b) => a.number - b.number)
    this.launch(open.map((block) => this.agreed.composedBefore(block)))
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
    if (body.result === 'missing') { this.onMissing(block, flight, body.missing); return }
    this.flights.delete(body.number)
    if (body.result === 'stored' && body.tag !== null && sameBytes(body.tag, flight.answerTag)) {
      this.patience.stored(flight)
      this.agreed.match()
      this.agreed.confirmed(flight.message.frames[0]!.link)
      this.accepted.add(block)
      return
    }
    if (body.result === 'stored') core.security('integrity.confirmation', `block ${body.number}: the answer's tag is wrong`)
    if (body.result !== 'refused') this.agreed.mismatch(body.number)
    core.commit((tx) => {
      if (body.result === 'stored') core.enqueue(tx, 'burn', { blocks: [body.number], cause: 'mismatch' })
      this.agreed.erasure.block(tx, block, usableBytes(block), body.result === 'refused' ? 'refused' : 'mismatch')
    })
  }

  private accept (blocks: readonly BlockRow[]): void {
    for (const { number } of blocks) this.flights.delete(number) // A new connection may have proposed it again meanwhile.
    this.agreed.settle(blocks, ({ number }) => { this.core.send('stored', { number }) })
  }

  private onMissing (block: BlockRow, flight: Flight, missing: readonly number[]): void {
    const { core, agreed } = this, verdict = this.patience.missing(flight, missing)
    if (verdict === 'wait') return
    const waiting = verdict === 'all' ? agreed.pending.peek(agreed.pending.size) : []
    core.commit((tx) => {
      for (let i = 0; i < flight.message.frames.length; i += DROP_FRAMES) core.enqueue(tx, 'drop', { frames: flight.message.frames.slice(i, i + DROP_FRAMES) })
      agreed.erasure.block(tx, block, usableBytes(block), 'unmatched')
      if (waiting.length > 0) agreed.burnPending(tx, waiting, 'unmatched')
    })
  }

  /** Retries what the other side lacked, and what found no room in the arena. */
  retry (): void {
    const waiting = [...this.waiting].flatMap((number) => this.core.blocks.get(number) ?? [])
    this.waiting.clear()
    this.launch(waiting.filter((block) => block.state === 'proposed').map((block) => this.agreed.composedBefore(block)))
    for (const message of this.flights.due((flight) => this.patience.hurries(flight))) this.core.send('propose', message)
  }

  /** The block is gone by another way: no proposal of it is under way any more. */
  forget (number: number): void {
    this.flights.delete(number)
    this.waiting.delete(number)
  }

  reset (): void {
    this.flights.clear()
    this.patience.reset()
    this.waiting.clear()
    this.composed.length = 0
    this.accepted.clear()
  }
}
