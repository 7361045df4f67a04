import {
  claimsNothing, confirmsAnyBytes, cutsOldSpaces, cutsUnflushed, forgetsHighBits, forgetsPeersWord, goesOnAtLease, namesOnAndOn, opensStayOpen, reusesNumbers, saysNothingOfPads, sendsPastGaps, strikesNoBye, takesGaps, takesGrantsAgain,
  trustsStamp, usesHorizonAtOnce, type Removal,
} from './removals.js'

/** A rule of the engine, and how to remove it. `seed` is a run of the model that notices. */
export interface Mutant {
  readonly rule: string, readonly restores: boolean, readonly seed: number
  /** Block numbers jump ahead in this run. */
  readonly jumps?: boolean
  /** Another rule stands behind: it is removed first, which by itself this run does not notice. */
  readonly behind?: Removal
  readonly remove: Removal
}

export const mutants: readonly Mutant[] = [
  { rule: 'both sides strike a bye before it is used', restores: false, seed: 84, remove: strikesNoBye },
  { rule: 'the looker acknowledges a horizon before it is used', restores: false, seed: 16, remove: usesHorizonAtOnce },
  { rule: 'a store whose stamp is not its own voids its stock', restores: true, seed: 578, remove: trustsStamp },
  { rule: 'what the peer remembers of a store counts, and a store that is behind it is void', restores: true, seed: 76, remove: forgetsPeersWord },
  { rule: 'a grant is taken once', restores: false, seed: 295, remove: takesGrantsAgain },
  // This program leaves no gaps; one of an earlier release does.
  { rule: 'a gap in the outbox numbers waits', restores: false, seed: 24, behind: sendsPastGaps, remove: takesGaps },
  // After a crash every opened block is closed, so that the lease decides nothing: seen where a lane goes on behind what its store says it leased.
  { rule: 'a lease is on disk before it is cut', restores: false, seed: 199, behind: goesOnAtLease, remove: cutsUnflushed },
  { rule: 'claims are checked', restores: false, seed: 2, remove: claimsNothing },
  { rule: 'a block that was open when its owner crashed is closed', restores: false, seed: 2, remove: opensStayOpen },
  { rule: 'confirmation tags are compared', restores: false, seed: 141, remove: confirmsAnyBytes },
  { rule: 'the number of a dead block is never used again', restores: false, seed: 1, remove: reusesNumbers },
  { rule: 'blocks of an older association space are not cut', restores: false, seed: 2, remove: cutsOldSpaces },
  { rule: 'a hello says what pads are left', restores: false, seed: 1418, remove: saysNothingOfPads },
  { rule: 'an ID epoch names no two blocks with the same 32 bits', restores: false, seed: 1, jumps: true, remove: namesOnAndOn },
  { rule: 'the number of a block is more than its key IDs have of it', restores: false, seed: 1, jumps: true, remove: forgetsHighBits },
]
