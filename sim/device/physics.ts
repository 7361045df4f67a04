import { invariant } from '../../src/kernel/errors.js'
import type { Clock } from '../../src/kernel/time.js'
import { addAccounts, emptyBlockAccount } from '../../src/post/account.js'
import type { BlockAccount } from '../../src/post/account.js'
import { equalBytes } from '../../src/post/bits.js'
import { defaultCorrection } from '../../src/post/options.js'
import type { PostOptions } from '../../src/post/options.js'
import { presetNamed } from '../link/analysis/presets.js'
import { PostLink } from '../link/party/post-link.js'
import type { PostBlock } from '../link/party/post-link.js'
import type { LinkConfig } from '../link/physics/config.js'
import { noDrift, drifted } from '../link/physics/drift.js'
import type { Eve } from '../link/physics/eve.js'

export interface PhysicsOptions {
  readonly preset: string
  /** Sifted key-basis bits per block of post-processing. */
  readonly blockBits: number
  readonly seed: number
}

/** One burst: short enough that a turn of the event loop stays short. */
const BURST_S = 0.01
/** Work in one turn; the device's heartbeat and its control socket must go on. */
const TURN_MS = 4
const MESSAGES_PER_PUMP = 8
/** Link time that may be owed; a machine that is too slow runs behind instead of never resting. */
const OWED_S_MAX = 1
/** Key that waits for the rings; beyond, the link pauses. */
const READY_BYTES_MAX = 4 * 1_048_576
/** QBER of the test basis from which a block is given up. The secret fraction ends before. */
const QBER_ABORT = 0.08

/** What a block told, for the frames and for people. */
export interface BlockNews { readonly qber: number, readonly keyBytes: number, readonly reason: string | undefined }

/** Key bytes of both ends as they come out of a simulated link: physics, Eve, two parties, post-processing. */
export class PhysicsSupply {
  private readonly link: PostLink
  private readonly config: LinkConfig
  private readonly post: PostOptions
  private startMs: number
  private doneS = 0
  private eve: Eve | undefined
  private cut = false
  private ready: { alice: Uint8Array, bob: Uint8Array }[] = []
  private readyBytes = 0
  private blocks = 0
  private goodBlocks = 0
  private account: BlockAccount = emptyBlockAccount
  private last: BlockNews | undefined

  /** @throws KmeError `BAD_REQUEST` for a preset that does not exist. */
  constructor (private readonly options: PhysicsOptions, private readonly clock: Clock, private readonly onBlock: (news: BlockNews) => void) {
    const { config, finite: { security } } = presetNamed(options.preset)
    this.config = config
    this.post = {
      source: config.source, blockBits: options.blockBits, qberAbort: QBER_ABORT, correction: defaultCorrection,
      security: 'secrecy' in security ? security : { secrecy: security.secrecyPerBit * options.blockBits, correctness: security.correctness },
    }
    this.link = new PostLink(config, this.post, options.seed)
    this.startMs = clock.monoMs()
  }

  /** Eve comes, changes her ways, or leaves (undefined). From the next burst on. */
  setEve (eve: Eve | undefined): void {
    this.eve = eve
    this.conditions()
  }

  /** A cut fibre leaves dark counts; their blocks give no key. */
  setCut (cut: boolean): void {
    this.cut = cut
    this.conditions()
  }

  /** Works for at most TURN_MS. @returns whether more is to be done at once. */
  turn (): boolean {
    const untilMs = this.clock.monoMs() + TURN_MS
    this.forgetOldDebt()
    while (this.clock.monoMs() < untilMs) {
      if (!this.link.idle) this.link.pump(MESSAGES_PER_PUMP)
      else if (this.owedS() >= BURST_S && this.readyBytes < READY_BYTES_MAX) {
        this.link.burst(Math.round(BURST_S * this.config.source.pulseRateHz))
        this.doneS += BURST_S
      } else return false
      for (const block of this.link.takeBlocks()) this.take(block)
    }
    return true
  }

  /** Takes `bytes` of both ends' key; undefined if there is not so much. The taker wipes them. */
  takeKey (bytes: number): { alice: Uint8Array, bob: Uint8Array } | undefined {
    if (this.readyBytes < bytes) return undefined
    const out = { alice: new Uint8Array(bytes), bob: new Uint8Array(bytes) }
    for (let at = 0; at < bytes;) {
      const first = this.ready[0]
      invariant(first !== undefined, 'as many bytes as were counted')
      const count = Math.min(first.alice.length, bytes - at)
      for (const party of ['alice', 'bob'] as const) {
        out[party].set(first[party].subarray(0, count), at)
        first[party].fill(0, 0, count)
        first[party] = first[party].subarray(count)
      }
      if (first.alice.length === 0) this.ready.shift()
      at += count
    }
    this.readyBytes -= bytes
    return out
  }

  /** Time stood still (a stall): nothing is owed for it. */
  skipTime (): void { this.startMs = this.clock.monoMs() - this.doneS * 1_000 }

  stats (): Record<string, unknown> {
    return {
      preset: this.options.preset, linkS: Math.round(this.doneS * 100) / 100, eve: this.eve ?? null, cut: this.cut, blocks: this.blocks, blocksWithKey: this.goodBlocks,
      ...(this.last === undefined ? {} : { lastQber: this.last.qber, lastReason: this.last.reason ?? null }),
      account: this.account, authenticationBits: this.link.authenticationBits, readyBytes: this.readyBytes,
    }
  }

  stop (): void {
    this.link.close()
    for (const { alice, bob } of this.ready.splice(0)) {
      alice.fill(0)
      bob.fill(0)
    }
  }

  private conditions (): void {
    this.link.setConditions(drifted(this.config, noDrift, this.cut), this.cut ? undefined : this.eve)
  }

  private owedS (): number { return (this.clock.monoMs() - this.startMs) / 1_000 - this.doneS }

  private forgetOldDebt (): void {
    const tooMuch = this.owedS() - OWED_S_MAX
    if (tooMuch > 0) this.startMs += tooMuch * 1_000
  }

  private take ({ alice, bob }: PostBlock): void {
    this.blocks += 1
    this.account = addAccounts(this.account, alice.account)
    if (alice.key !== undefined && bob.key !== undefined) {
      invariant(equalBytes(alice.key, bob.key), 'both parties made the same key')
      this.goodBlocks += 1
      this.ready.push({ alice: alice.key, bob: bob.key })
      this.readyBytes += alice.key.length
    }
    const qber = alice.keyQber ?? (Number.isNaN(alice.testQber) ? 0.5 : alice.testQber)
    this.last = { qber, keyBytes: alice.key?.length ?? 0, reason: alice.reason }
    this.onBlock(this.last)
  }
}
