import { KmeError, invariant } from '../kernel/errors.js'
import type { BlockAccount } from './account.js'
import { emptyBlockAccount } from './account.js'
import { amplify } from './amplify.js'
import { packedBytes } from './bits.js'
import { sum } from './counts.js'
import type { FiniteKey } from './counts.js'
import { checkPostOptions } from './options.js'
import type { PostOptions } from './options.js'
import type { SiftedBlock } from './sifted-block.js'
import { REFILL_BYTES, Transcript } from './transcript.js'
import { DISCARD_REASONS, decode, encode } from './wire.js'
import type { PostMessage, TagMessage } from './wire.js'

export type DiscardReason = typeof DISCARD_REASONS[number]

/** Bits of the verification hash, all of them counted as leaked. */
export const VERIFY_BITS = 128
/** Blocks that are sifted and wait for their turn; more are refused. */
export const BLOCKS_WAITING_MAX = 4

/** What became of a block, equal at both parties. */
export interface BlockReport {
  readonly number: number
  /** Secret key, whole bytes, owned by the taker, who wipes it. Absent if there is none. */
  readonly key?: Uint8Array
  readonly reason?: DiscardReason
  /** Error rate of the test basis, and of the key basis where it became known. */
  readonly testQber: number, readonly keyQber?: number
  /** The estimate behind the length, where there was one. */
  readonly estimate?: FiniteKey
  /** Messages of error correction, one party's. */
  readonly rounds: number
  readonly slots: number, readonly detections: number
  readonly account: BlockAccount
}

/** What a session wants done after a call: messages to send, in order, and blocks that ended. */
export interface PostOutput { readonly messages: readonly Uint8Array[], readonly blocks: readonly BlockReport[] }

/** What both parties have in common: the channel, its authentication, and the ends of blocks. */
export abstract class PostSession {
  protected readonly transcript: Transcript
  protected readonly waiting: SiftedBlock[] = []
  private messages: Uint8Array[] = []
  private blocks: BlockReport[] = []
  private broken: KmeError | undefined

  /** @throws KmeError `BAD_REQUEST`. */
  constructor (role: 'alice' | 'bob', protected readonly options: PostOptions, preShared: Uint8Array) {
    checkPostOptions(options)
    this.transcript = new Transcript(role, preShared)
  }

  /** Key bits spent on tags since the start, pre-shared ones included. */
  get authenticationBits (): number { return this.transcript.usedBits }
  /** Upper bound of the probability that a forged tag passes. */
  get forgeryBound (): number { return this.transcript.forgeryBound }

  /**
   * Takes one message of the other party; they must come in the order in which they were sent.
   *
   * @throws KmeError `PROTOCOL`, `TAG_INVALID`, `NO_KEYS`. Then the session is over: secrets are wiped, and every
   *   later call throws the same.
   */
  receive (bytes: Uint8Array): PostOutput {
    return this.guarded(() => {
      const message = decode(bytes)
      if (message.type === 'tag') {
        this.transcript.checkTag(message.number, message.tag)
        this.onTag()
        return
      }
      this.transcript.heard(bytes)
      this.onMessage(message)
    })
  }

  /** Wipes everything secret. Nothing may follow. */
  close (): void { this.end(new KmeError('STOPPING', 'post-processing: the session is closed')) }

  protected abstract onMessage (message: Exclude<PostMessage, TagMessage>): void
  protected abstract onTag (): void
  protected abstract wipe (): void

  protected guarded (act: () => void): PostOutput {
    if (this.broken !== undefined) throw this.broken
    try {
      act()
    } catch (error) {
      // What the addon refuses has a code, too.
      const failure = error instanceof KmeError ? error
        : error instanceof Error && 'code' in error && error.code === 'PROTOCOL' ? new KmeError('PROTOCOL', error.message, { cause: error }) : undefined
      if (failure === undefined) throw error
      this.end(failure)
      throw failure
    }
    const output = { messages: this.messages, blocks: this.blocks }
    this.messages = []
    this.blocks = []
    return output
  }

  protected say (message: Exclude<PostMessage, TagMessage>): void {
    const bytes = encode(message)
    this.transcript.said(bytes)
    this.messages.push(bytes)
  }

  protected sayTag (): void { this.messages.push(encode({ type: 'tag', ...this.transcript.ownTag() })) }

  protected wait (block: SiftedBlock): void {
    if (this.waiting.length >= BLOCKS_WAITING_MAX) {
      throw new KmeError('QUEUE_FULL', `post-processing: ${BLOCKS_WAITING_MAX} blocks wait; sifting is faster than error correction`)
    }
    this.waiting.push(block)
  }

  protected testQber (block: SiftedBlock): number {
    const tests = sum(block.test.detections)
    return tests === 0 ? NaN : sum(block.test.errors) / tests
  }

  protected refuse (what: string): never { throw new KmeError('PROTOCOL', `post-processing: ${what}`) }

  protected discard (block: SiftedBlock, reason: DiscardReason, known: Partial<BlockReport> = {}): void {
    block.bits.fill(0)
    this.blocks.push({
      rounds: 0, ...known, number: block.number, reason, testQber: this.testQber(block), slots: block.slots, detections: block.detections,
      account: { ...emptyBlockAccount, sifted: block.lengthBits, estimated: sum(block.test.detections), discarded: block.lengthBits },
    })
  }

  /** Makes the key of a corrected block, keeps what the next tags need, and reports it. `bits` are wiped. */
  protected finish (block: SiftedBlock, bits: Uint8Array, estimate: FiniteKey, seed: Uint8Array, known: { leakedBits: number, rounds: number, keyQber: number }): void {
    const key = amplify(bits, block.lengthBits, seed, estimate.bits)
    bits.fill(0)
    this.transcript.refill(key.subarray(0, REFILL_BYTES))
    const netBytes = Math.floor(estimate.bits / 8) - REFILL_BYTES
    invariant(netBytes > 0 && key.length === packedBytes(estimate.bits), 'a key is longer than its tags')
    const net = key.slice(REFILL_BYTES, REFILL_BYTES + netBytes)
    key.fill(0)
    this.blocks.push({
      number: block.number, key: net, estimate, rounds: known.rounds, testQber: this.testQber(block), keyQber: known.keyQber,
      slots: block.slots, detections: block.detections,
      account: {
        sifted: block.lengthBits, estimated: sum(block.test.detections), leaked: known.leakedBits, verified: VERIFY_BITS,
        compressed: block.lengthBits - known.leakedBits - VERIFY_BITS - estimate.bits, authenticated: REFILL_BYTES * 8,
        cut: estimate.bits % 8, net: netBytes * 8, discarded: 0,
      },
    })
  }

  private end (why: KmeError): void {
    if (this.broken !== undefined) return
    this.broken = why
    for (const block of this.waiting.splice(0)) block.bits.fill(0)
    this.transcript.wipe()
    this.wipe()
  }
}

/** Key bits below which a block is not worth its tags. */
export const KEY_BITS_MIN = REFILL_BYTES * 8 + 8
