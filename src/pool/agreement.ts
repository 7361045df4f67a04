import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import { Agreed } from './agreed.js'
import { Answers } from './answers.js'
import type { NextBlock } from './composition.js'
import type { PoolCore } from './core.js'
import type { Erasure } from './erasure.js'
import type { PendingFrames } from './pending.js'
import { frameOf } from './proposal.js'
import { Proposals } from './proposals.js'
import type { BlockRow, FrameRef } from './rows.js'
import type { BlockViews } from './views.js'

export interface AgreementDeps {
  readonly core: PoolCore
  readonly pending: PendingFrames
  readonly views: BlockViews
  readonly erasure: Erasure
  /** What the proposer's next block is for. */
  readonly next: () => NextBlock | undefined
  /** Whether a key ID of this epoch can name a block of this number. */
  readonly canName: (epoch: number, number: number) => boolean
  readonly onUsable: (block: BlockRow) => void
  /** Both ends get the frames in the same order. */
  readonly inOrder: boolean
}

/**
 * Propose and confirm (design 3.2, 3.3): both KMEs agree on which frames form block n and that their bytes are equal,
 * without revealing any that will be used. One side proposes, the other answers.
 */
export class Agreement {
  readonly proposals: Proposals
  readonly answers: Answers
  private readonly agreed: Agreed

  constructor (private readonly deps: AgreementDeps) {
    this.agreed = new Agreed(deps.core, deps.pending, deps.views, deps.erasure, deps.onUsable)
    this.proposals = new Proposals(this.agreed, deps.next, deps.inOrder)
    this.answers = new Answers(this.agreed, deps.canName)
  }

  /** The block is gone by another way. */
  forget (number: number): void {
    this.proposals.forget(number)
    this.answers.forget(number)
  }

  /** After a resynchronisation: what is not settled is said again. */
  resend (): void {
    if (this.deps.core.proposer) this.proposals.resend()
    else this.answers.confirmAgain()
  }

  tick (): void {
    if (this.deps.core.proposer) { this.proposals.propose(); this.proposals.retry() } else this.answers.tick()
  }

  /** The proposer gave up frames that were not here then. */
  onDrop (tx: KvWriter, body: Body<'drop'>): void {
    const frames = [...new Set(body.frames.flatMap((f) => this.deps.pending.find(frameOf(f)) ?? []))]
    this.burnPending(tx, frames, 'unmatched')
  }

  burnPending (tx: KvWriter, frames: readonly FrameRef[], cause: string): void { this.agreed.burnPending(tx, frames, cause) }

  /** A new connection. */
  reset (): void {
    this.proposals.reset()
    this.answers.reset()
    this.deps.pending.restartClocks()
  }
}
