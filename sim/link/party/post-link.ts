import { invariant } from '../../../src/kernel/errors.js'
import type { Random } from '../../../src/kernel/random.js'
import { AliceSession } from '../../../src/post/alice-session.js'
import { BobSession } from '../../../src/post/bob-session.js'
import type { PostOptions } from '../../../src/post/options.js'
import type { BlockReport, PostOutput } from '../../../src/post/session.js'
import { Xoshiro } from '../chance/xoshiro.js'
import { addEvidence, clickAlarms, expectClicks, noEvidence } from '../physics/alarm.js'
import type { Evidence } from '../physics/alarm.js'
import { checkConfig, derive } from '../physics/config.js'
import type { LinkConfig } from '../physics/config.js'
import { setUpAttack } from '../physics/eve.js'
import type { Eve } from '../physics/eve.js'
import { addTally, emptyTally, tally } from '../physics/tally.js'
import type { Tally } from '../physics/tally.js'
import { BurstSource } from './burst.js'

/** Secret bytes that both parties of a simulated link begin with. */
const PRESHARED_BYTES = 1_024

/** A block that ended at both parties. */
export interface PostBlock { readonly alice: BlockReport, readonly bob: BlockReport }

/** What changes a message on its way, for tests: Eve on the classical channel. */
export type Tamper = (from: 'alice' | 'bob', message: Uint8Array) => Uint8Array

/** Random of the sessions from the simulation's generator: equal runs for equal seeds. Not secret. */
const randomOf = (chance: Xoshiro): Random => ({
  bytes: (length) => chance.fill(new Uint8Array(length)),
  integer: (bound) => chance.below(bound),
})

/**
 * A link from pulses to key: the physics, Alice's and Bob's post-processing, and a channel of two queues between them.
 * Nothing happens by itself: `burst` lets pulses fly, `pump` carries messages. Deterministic in the seed and in the
 * sequence of bursts and conditions; how often `pump` is called changes nothing.
 */
export class PostLink {
  private readonly source: BurstSource
  private readonly alice: AliceSession
  private readonly bob: BobSession
  private readonly toAlice: Uint8Array[] = []
  private readonly toBob: Uint8Array[] = []
  private readonly ended: { alice: BlockReport[], bob: BlockReport[] } = { alice: [], bob: [] }
  private seen: { counts: Tally, expected: Evidence }
  /** Bits and bytes so far. */
  readonly totals = { detections: 0, slots: 0, messages: 0, messageBytes: 0 }

  /** @throws KmeError `BAD_REQUEST` if an option makes no sense. */
  constructor (private config: LinkConfig, private readonly options: PostOptions, seed: number, private readonly tamper?: Tamper) {
    checkConfig(config)
    const chance = Xoshiro.seeded(seed), drawing = chance.split(), preShared = chance.split().fill(new Uint8Array(PRESHARED_BYTES))
    this.source = new BurstSource(drawing, config)
    this.alice = new AliceSession(options, preShared, randomOf(chance.split()))
    this.bob = new BobSession(options, preShared)
    preShared.fill(0)
    this.seen = this.nothingSeen()
  }

  /** From the next burst on: drift, a cut, Eve (set up for the link as it is). */
  setConditions (config: LinkConfig, eve?: Eve): void {
    this.config = config
    this.source.setConditions(config, eve === undefined ? undefined : setUpAttack(config, eve))
  }

  get authenticationBits (): number { return this.alice.authenticationBits }
  get forgeryBound (): number { return this.alice.forgeryBound }
  /** Sifted bits of the block that is not full yet. */
  get waitingBits (): number { return this.alice.waitingBits }
  /** No message is on its way. */
  get idle (): boolean { return this.toAlice.length + this.toBob.length === 0 }

  /** `slots` more pulses. Only while `idle`: what waits between the parties stays bounded. */
  burst (slots: number): { detections: number } {
    invariant(this.idle, 'a burst comes when the channel is quiet')
    const { alice, bob, histogram } = this.source.next(slots), detections = alice.records.length
    this.totals.detections += detections
    this.totals.slots += slots
    this.watch(histogram, slots)
    this.take('alice', this.alice.prepare(alice))
    this.take('bob', this.bob.announce(bob))
    return { detections }
  }

  /**
   * Carries at most `max` messages each way.
   *
   * @returns whether more wait.
   * @throws KmeError `PROTOCOL`, `TAG_INVALID`: somebody changed a message. The link is dead then.
   */
  pump (max: number): boolean {
    for (let i = 0; i < max && !this.idle; i++) {
      const forBob = this.toBob.shift()
      if (forBob !== undefined) this.take('bob', this.bob.receive(this.carry('alice', forBob)))
      const forAlice = this.toAlice.shift()
      if (forAlice !== undefined) this.take('alice', this.alice.receive(this.carry('bob', forAlice)))
    }
    return !this.idle
  }

  /** Blocks that ended at both, in order. The taker owns and wipes their keys. */
  takeBlocks (): PostBlock[] {
    const { alice, bob } = this.ended, blocks: PostBlock[] = []
    while (alice.length > 0 && bob.length > 0) {
      const pair = { alice: alice.shift()!, bob: bob.shift()! }
      invariant(pair.alice.number === pair.bob.number, 'both parties end their blocks in one order')
      blocks.push(pair)
    }
    return blocks
  }

  close (): void {
    this.alice.close()
    this.bob.close()
  }

  private carry (from: 'alice' | 'bob', message: Uint8Array): Uint8Array {
    this.totals.messages += 1
    this.totals.messageBytes += message.length
    return this.tamper === undefined ? message : this.tamper(from, message)
  }

  private take (party: 'alice' | 'bob', output: PostOutput): void {
    const queue = party === 'alice' ? this.toBob : this.toAlice
    queue.push(...output.messages)
    this.ended[party].push(...output.blocks)
    if (party === 'alice' && output.blocks.length > 0) this.seen = this.nothingSeen()
  }

  private nothingSeen (): { counts: Tally, expected: Evidence } {
    return { counts: emptyTally(this.options.source.intensities.length), expected: noEvidence }
  }

  /** Bright light that controls the detectors is in no formula: a block in which clicks are missing gives no key. */
  private watch (histogram: Float64Array, slots: number): void {
    const burst = tally(histogram, slots, this.options.source.intensities.length)
    const expected = expectClicks(this.config, burst, slots - burst.detections * derive(this.config).deadSlots)
    this.seen = { counts: addTally(this.seen.counts, burst), expected: addEvidence(this.seen.expected, expected) }
    const alarms = clickAlarms(this.seen.counts, this.seen.expected, this.options.qberAbort)
    if (alarms.some(({ kind }) => kind !== 'qber')) this.alice.distrustBlock()
  }
}
