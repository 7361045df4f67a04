import type { PoolCore } from './core.js'
import type { Epochs } from './epochs.js'
import type { OwnerLane } from './owner-lane.js'
import type { BlockViews } from './views.js'
import type { Voids } from './voids.js'

/** Begins a pool's numbers of associations anew with the next ID epoch: when they are used up, and when the keys of an epoch are known to others. */
export class Renewal {
  constructor (
    private readonly core: PoolCore, private readonly lane: OwnerLane, private readonly epochs: Epochs, private readonly views: BlockViews,
    private readonly voids: () => Voids,
  ) {}

  /** Association numbers are used up: they begin again with the next ID epoch; blocks of older epochs are closed or burned. */
  numbers (): void {
    const { core } = this
    if (core.meta.generation > core.meta.highestEpoch) return // The epoch is being made: these numbers are used up, too.
    core.commit(() => { this.begin() })
    this.endBlocks('epoch')
  }

  private begin (): void {
    const { meta } = this.core
    meta.generation = meta.highestEpoch + 1
    meta.nextAssociation = 1
  }

  private endBlocks (cause: string): void {
    const { core, lane } = this
    lane.abandon(cause)
    lane.burnUnopened(lane.removeUnopened((b) => b.epoch < core.meta.generation), cause)
    if (!core.proposer) core.send('epochAsk', { epoch: core.meta.generation })
  }

  /**
   * The keys of these ID epochs are known to others, who could name any bytes by key IDs of their own making. So no ID of them is opened any
   * more (what was not fetched answers 400 for good), no key is named under them, and another epoch is founded. The bits themselves are
   * not known to anybody: blocks that nothing was named in are burned only because they are bound to the epoch.
   *
   * @param tell Whether the other KME must hear of it; `act` names the incident.
   */
  replace (epochs: readonly number[], act: { readonly id: string, readonly reason: string }, tell: boolean): void {
    const { core } = this
    const live = epochs.filter((epoch) => this.epochs.has(epoch))
    if (live.length === 0) return
    core.commit((tx) => { // In one step, so that no start finds blocks of an epoch without keys in its lane.
      if (core.meta.generation <= core.meta.highestEpoch) this.begin()
      for (const epoch of live) this.epochs.revoke(tx, epoch)
      if (tell) this.voids().tellEpochs(tx, act, live)
    })
    this.endBlocks('compromised')
    for (const block of core.blocks.values()) if (live.includes(block.epoch)) this.views.drop(block.number)
    core.security('integrity.epoch', `ID epoch ${live.join(', ')} is replaced (${act.reason}): its key IDs that are not fetched yet are void`)
  }
}
