import type { PeerChannel } from '../peer/ports.js'
import type { PoolCore } from './core.js'
import type { Epochs } from './epochs.js'
import type { OwnerLane } from './owner-lane.js'
import type { BlockViews } from './views.js'
import type { Voids } from './voids.js'

/** Each question costs a pad, and the oldest epoch may keep a new one waiting for a day. */
const ASK_MS = 60_000

/** Begins a pool's numbers of associations anew with another ID epoch: when they are used up, and when the keys of an epoch are known to others. */
export class Renewal {
  private asked = { epoch: 0, over: undefined as PeerChannel | undefined, atMs: -Infinity }

  constructor (
    private readonly core: PoolCore, private readonly lane: OwnerLane, private readonly epochs: Epochs, private readonly views: BlockViews,
    private readonly voids: () => Voids,
  ) {}

  /** While our numbers wait for an ID epoch, the proposer is asked for one. It takes the frames for it however full the pool is (`Epochs.awaitsBlock`). */
  tick (): void {
    const { core, epochs, asked } = this, epoch = epochs.needed
    if (!core.ready || core.proposer || epoch === 0 || epochs.isFull) return
    const now = core.deps.clock.monoMs(), over = core.channel
    if (asked.epoch === epoch && asked.over === over && now - asked.atMs < ASK_MS) return
    if (core.send('epochAsk', { epoch })) this.asked = { epoch, over, atMs: now }
  }

  /** The numbers have begun anew: blocks of older epochs are closed or burned. */
  begun (): void { this.endBlocks('epoch') }

  private endBlocks (cause: string): void {
    const { core, lane } = this
    lane.abandon(cause)
    lane.burnUnopened(lane.removeUnopened((b) => b.epoch < core.meta.generation), cause)
    this.tick()
  }

  /**
   * The keys of these ID epochs are known to others, who could name any bytes by key IDs of their own making. So no ID of them is opened any
   * more (what was not fetched answers 400 for good), no key is named under them, and another epoch is founded. The bits themselves are
   * not known to anybody: blocks that nothing was named in are burned only because they are bound to the epoch.
   *
   * @param tell Whether the other KME must hear of it; `act` names the incident.
   */
  replace (epochs: readonly number[], act: { readonly id: string, readonly reason: string }, tell: boolean): void {
    const { core } = this, { meta } = core
    const live = epochs.filter((epoch) => this.epochs.has(epoch))
    if (live.length === 0) return
    core.commit((tx) => { // In one step, so that no start finds blocks of an epoch without keys in its lane.
      if (meta.generation <= meta.highestEpoch) {
        meta.generation = meta.highestEpoch + 1
        meta.nextAssociation = 1
      }
      for (const epoch of live) this.epochs.revoke(tx, epoch)
      if (tell) this.voids().tellEpochs(tx, act, live)
    })
    this.endBlocks('compromised')
    for (const block of core.blocks.values()) if (live.includes(block.epoch)) this.views.drop(block.number)
    core.security('integrity.epoch', `ID epoch ${live.join(', ')} is replaced (${act.reason}): its key IDs that are not fetched yet are void`)
  }
}
