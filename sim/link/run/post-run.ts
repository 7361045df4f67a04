import { KmeError } from '../../../src/kernel/errors.js'
import { addAccounts, emptyBlockAccount } from '../../../src/post/account.js'
import type { BlockAccount } from '../../../src/post/account.js'
import { binaryEntropy } from '../../../src/post/entropy.js'
import { equalBytes } from '../../../src/post/bits.js'
import type { PostOptions } from '../../../src/post/options.js'
import { PostLink } from '../party/post-link.js'
import type { Tamper } from '../party/post-link.js'
import { drifted, noDrift } from '../physics/drift.js'
import type { LinkConfig } from '../physics/config.js'
import type { Eve } from '../physics/eve.js'
import type { Interval } from './run.js'

export interface PostRunOptions {
  readonly config: LinkConfig
  readonly post: PostOptions
  /** Blocks to make; the run ends with the last of them, or at `durationS` of link time. */
  readonly blocks: number
  readonly durationS: number
  /** Length of a burst. */
  readonly burstS: number
  readonly seed: number
  readonly cuts?: readonly Interval[]
  readonly attacks?: readonly (Interval & { readonly eve: Eve })[]
  /** For tests. */
  readonly tamper?: Tamper
}

/** A block of a run. The key itself stays with the run; `keysEqual` says whether both parties made the same. */
export interface PostRunBlock {
  readonly timeS: number, readonly number: number, readonly eve: Eve['kind'] | undefined
  readonly testQber: number, readonly keyQber: number | undefined
  /** Leaked bits of error correction over n h(QBER). */
  readonly efficiency: number | undefined
  readonly rounds: number, readonly phaseError: number | undefined
  readonly reason: string | undefined, readonly keysEqual: boolean, readonly account: BlockAccount
}

export interface PostRunResult {
  readonly blocks: readonly PostRunBlock[]
  readonly account: BlockAccount
  readonly linkS: number, readonly detections: number, readonly waitingBits: number
  readonly messages: number, readonly messageBytes: number
  /** Bits of the tags, and how likely a forged tag passes at most. */
  readonly authenticationBits: number, readonly forgeryBound: number
}

const MESSAGES_PER_TURN = 64
const active = (timeS: number) => (i: Interval): boolean => timeS >= i.fromS && timeS < i.toS

/**
 * Runs a link through the whole post-processing.
 *
 * @param onKey  Gets both keys of each block (equal, or something is very wrong); they are wiped after it.
 * @returns A generator that yields each block as it ends, and returns the result. Deterministic in `seed`.
 * @throws KmeError `BAD_REQUEST` for options that make no sense, `INTERNAL` if the parties' keys differ.
 */
export const runPost = function * (o: PostRunOptions, onKey?: (alice: Uint8Array, bob: Uint8Array) => void): Generator<PostRunBlock, PostRunResult> {
  const slots = Math.round(o.burstS * o.config.source.pulseRateHz)
  if (!(slots >= 1 && slots <= 2 ** 40)) throw new KmeError('BAD_REQUEST', `link run: a burst of ${o.burstS} s has no pulses, or too many`)
  const link = new PostLink(o.config, o.post, o.seed, o.tamper), blocks: PostRunBlock[] = []
  let account = emptyBlockAccount, timeS = 0, conditions = ''
  for (let i = 0; blocks.length < o.blocks && timeS < o.durationS; i++) {
    const cut = (o.cuts ?? []).some(active(timeS)), attack = cut ? undefined : (o.attacks ?? []).find(active(timeS))
    const now = `${cut} ${JSON.stringify(attack?.eve)}`
    if (now !== conditions) {
      link.setConditions(drifted(o.config, noDrift, cut), attack?.eve)
      conditions = now
    }
    link.burst(slots)
    timeS = (i + 1) * slots / o.config.source.pulseRateHz
    while (link.pump(MESSAGES_PER_TURN));
    for (const { alice, bob } of link.takeBlocks()) {
      const keysEqual = alice.key !== undefined && bob.key !== undefined && equalBytes(alice.key, bob.key)
      if ((alice.key !== undefined || bob.key !== undefined) && !keysEqual) throw new KmeError('INTERNAL', `link run: the keys of block ${alice.number} differ`)
      if (keysEqual) onKey?.(alice.key!, bob.key!)
      alice.key?.fill(0)
      bob.key?.fill(0)
      const block: PostRunBlock = {
        timeS, number: alice.number, eve: attack?.eve.kind, testQber: alice.testQber, keyQber: alice.keyQber, rounds: alice.rounds,
        efficiency: alice.keyQber === undefined || alice.account.leaked === 0 ? undefined : alice.account.leaked / (alice.account.sifted * binaryEntropy(alice.keyQber)),
        phaseError: alice.estimate?.phaseError, reason: alice.reason, keysEqual, account: alice.account,
      }
      account = addAccounts(account, alice.account)
      blocks.push(block)
      yield block
    }
  }
  const { detections, messages, messageBytes } = link.totals, { authenticationBits, forgeryBound, waitingBits } = link
  link.close()
  return { blocks, account, linkS: timeS, detections, waitingBits, messages, messageBytes, authenticationBits, forgeryBound }
}
