import type { NextBlock } from './composition.js'
import type { PoolCore } from './core.js'
import type { Epochs } from './epochs.js'
import type { Pads } from './pads.js'
import type { Owner } from './rows.js'

const AUTH_FRAMES = 4
const APP_FRAMES = 16
const FIRST_PADS_BYTES = 512
const FIRST_APP_BLOCKS = 4
/** A side without a whole block gets the next one when the other has had so many one after the other. */
const IN_A_ROW_MAX = 4
/** A pool that holds less may have all its blocks open at once: eight of 16 whole frames of either side. */
const LARGE_BYTES = 2 * 8 * APP_FRAMES * 3_968

export interface NextBlockDeps {
  readonly core: PoolCore
  readonly epochs: Epochs
  readonly pads: Pads
  /** Whether messages of this pool need pads; TLS authenticates those of a relayed pool. */
  readonly padded: boolean
  /** Blocks opened lately by either side. */
  readonly use: () => { readonly mine: number, readonly theirs: number }
}

/**
 * What the proposer's next block is for (design 3.2, 6): first an ID epoch, then both reserves, then keys by use. A slow link
 * would fill its reserves for minutes: so little stock of keys comes before all but the least of the pads.
 */
export const nextBlock = ({ core, epochs, pads, padded, use }: NextBlockDeps): NextBlock | undefined => {
  if (core.meta.suspended !== '') return undefined
  if (epochs.due()) return { owner: 'mine', purpose: 'id', epoch: epochs.next(), framesMax: 1 }
  const epoch = epochs.current?.epoch
  const { unopened } = core.tally
  const reserve = core.deps.limits.authReserveBytes
  const isYoung = epoch !== undefined && unopened.mine + unopened.theirs < FIRST_APP_BLOCKS
  for (const owner of padded ? ['mine', 'theirs'] as const : []) {
    if (pads.left(owner) < (isYoung ? Math.min(leastPads(core), reserve) : reserve)) return { owner, purpose: 'auth', epoch: epoch ?? 0, framesMax: AUTH_FRAMES }
  }
  if (epoch === undefined || !epochs.canName(epoch, core.meta.highestBlock + 1)) return undefined // Older epochs end first: keyTtlMs, at the latest.
  return { owner: poorer(core, use(), padded && core.deps.limits.maxStockBytes >= LARGE_BYTES), purpose: 'app', epoch, framesMax: APP_FRAMES }
}

/**
 * Pads that come before any key. Once a first stock has been opened they are kept above the floor under which all but vital messages wait: else
 * stock that cannot be used, or is used up as fast as it comes, would leave new associations without an answer.
 */
const leastPads = ({ meta, deps }: PoolCore): number =>
  meta.horizonMine + meta.horizonTheirs < FIRST_APP_BLOCKS ? FIRST_PADS_BYTES : Math.max(FIRST_PADS_BYTES, 2 * deps.limits.authFloorBytes)

/**
 * The side whose unopened stock is the smaller for its use. Small pools, as the relay's are, open all they have at once: there it is what each side
 * has at all, or one of them would own a full stock of which the other gets nothing. A side that uses a slow link's key as fast as it comes would
 * get all of it: so when both have nothing they take turns, and one that has a single block, of which nobody knows here how much is left, waits for no
 * more than a few blocks of the other.
 */
const poorer = ({ tally, given }: PoolCore, use: { mine: number, theirs: number }, isLarge: boolean): Owner => {
  const has = isLarge ? tally.unopened : tally.live, other = given.owner === 'mine' ? 'theirs' : 'mine'
  if ((has.mine === 0 && has.theirs === 0) || (has[other] < 2 && given.inARow >= IN_A_ROW_MAX)) return other
  const share = Math.min(0.9, Math.max(0.1, (use.mine + 1) / (use.mine + use.theirs + 2)))
  return has.mine * (1 - share) <= has.theirs * share ? 'mine' : 'theirs'
}
