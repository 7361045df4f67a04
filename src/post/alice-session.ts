import { invariant } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import { packedBytes } from './bits.js'
import { createCorrector, startFields } from './corrector.js'
import type { Corrector } from './corrector.js'
import { sum } from './counts.js'
import type { FiniteKey } from './counts.js'
import { binaryEntropy } from './entropy.js'
import { estimateKey } from './key-length.js'
import { loadPost } from './native.js'
import type { PostOptions } from './options.js'
import { KEY_BITS_MIN, PostSession, VERIFY_BITS } from './session.js'
import type { DiscardReason, PostOutput } from './session.js'
import { SiftAlice } from './sift-alice.js'
import { blockCounts } from './sifted-block.js'
import type { Burst, SiftedBlock } from './sifted-block.js'
import { DISCARD_REASONS } from './wire.js'
import type { BlockMessage, PostMessage, TagMessage } from './wire.js'

/** The block that is being worked on. */
interface Work {
  readonly block: SiftedBlock
  readonly corrector: Corrector
  stage: 'correct' | 'verdict' | 'verdict tag' | 'accept' | 'accept tag'
  verdict?: BlockMessage & { type: 'verdict' }
  key?: { readonly estimate: FiniteKey, readonly seed: Uint8Array, readonly keyQber: number }
}

/**
 * Alice's side of the whole post-processing: her records go in, secret key comes out, equal to Bob's.
 *
 *   sifting -> start -> error correction -> verify -> Bob's verdict, tag -> amplify, tag -> Bob's accept, tag
 *
 * Bob's tag after the verdict covers everything he said of the block, so nothing is computed from what somebody else
 * said. Alice's tag covers everything she said; Bob releases his key after it. His last tag tells her that he has
 * checked hers; then she releases hers. If it never comes, she keeps the key back, and Bob has one that she lacks:
 * whoever stores keys must confirm them (a KME does, block by block).
 */
export class AliceSession extends PostSession {
  private readonly sifter: SiftAlice
  private work: Work | undefined
  private distrusted = false

  /**
   * @param preShared  Secret bytes, equal at both parties and used for nothing else (Transcript). Copied.
   * @param random  Seeds and hash keys: they must be unpredictable until they are sent.
   * @throws KmeError `BAD_REQUEST`.
   */
  constructor (options: PostOptions, preShared: Uint8Array, private readonly random: Random) {
    super('alice', options, preShared)
    this.sifter = new SiftAlice(options.source.intensities.length, options.blockBits)
  }

  /** Sifted bits of the block that is not full yet. */
  get waitingBits (): number { return this.sifter.waitingBits }

  /** Her records of a burst, before Bob announces it; they are wiped. @throws KmeError `QUEUE_FULL`. */
  prepare (burst: Burst): PostOutput { return this.guarded(() => { this.sifter.prepare(burst) }) }

  /** No key from the block that is being sifted: its receiver showed something that no formula covers (blinding). */
  distrustBlock (): void { this.distrusted = true }

  protected onMessage (m: Exclude<PostMessage, TagMessage>): void {
    switch (m.type) {
      case 'detections': case 'test-bits': return this.sift(m)
      case 'correct': return this.onCorrect(m)
      case 'verdict': {
        const work = this.at('verdict', m)
        if (m.good > 1) this.refuse('a verdict is 0 or 1')
        work.verdict = m
        work.stage = 'verdict tag'
        return
      }
      case 'accept':
        this.at('accept', m).stage = 'accept tag'
        return
      default: this.refuse(`Bob does not say "${m.type}"`)
    }
  }

  protected onTag (): void {
    const work = this.work
    if (work?.stage === 'verdict tag') return this.amplify(work)
    if (work?.stage === 'accept tag') return this.release(work)
    this.refuse('a tag out of turn')
  }

  protected wipe (): void {
    this.work?.block.bits.fill(0)
    this.work?.corrector.close()
  }

  private sift (m: PostMessage & { type: 'detections' | 'test-bits' }): void {
    const { reply, block } = this.sifter.receive(m)
    this.say(reply)
    if (block === undefined) return
    // A QBER that is too high is the plainer word for it.
    const alarmed = this.distrusted && this.testQber(block) < this.options.qberAbort
    this.distrusted = false
    if (alarmed) this.giveUp(block, 'alarm')
    else this.wait(block)
    this.startNext()
  }

  private giveUp (block: SiftedBlock, reason: DiscardReason, known: Parameters<PostSession['discard']>[2] = {}): void {
    this.say({ type: 'discard', block: block.number, reason: DISCARD_REASONS.indexOf(reason) })
    this.discard(block, reason, known)
  }

  /** Looks at what the test basis says before anything is disclosed. */
  private startNext (): void {
    while (this.work === undefined) {
      const block = this.waiting.shift()
      if (block === undefined) return
      const qber = this.testQber(block)
      if (this.transcript.blocksLeft < 1) this.giveUp(block, 'no tag keys')
      else if (!(qber < this.options.qberAbort)) this.giveUp(block, 'qber')
      else if (this.expectedKeyBits(block, qber) < KEY_BITS_MIN) this.giveUp(block, 'too short')
      else this.start(block, qber)
    }
  }

  /** The length if error correction were ideal, and errors spread over intensities as in the test basis: an upper bound. */
  private expectedKeyBits (block: SiftedBlock, qber: number): number {
    const { source, security } = this.options
    const errors = block.keyDetections.map((n, i) => n * block.test.errors[i]! / Math.max(1, block.test.detections[i]!))
    return estimateKey(source, blockCounts(block, errors), block.lengthBits * binaryEntropy(qber) * 0.9, security).bits
  }

  private start (block: SiftedBlock, qber: number): void {
    const message = {
      type: 'start' as const, block: block.number, lengthBits: block.lengthBits, ...startFields(this.options.correction),
      errorPpm: Math.max(500, Math.round(qber * 1e6)), seed: this.random.bytes(32),
    }
    this.say(message)
    this.work = { block, corrector: createCorrector(message, block.bits, this.random), stage: 'correct' }
    this.goOn(this.work)
  }

  private onCorrect (m: BlockMessage & { type: 'correct' }): void {
    const work = this.at('correct', m)
    work.corrector.receive(m.data)
    this.goOn(work)
  }

  private goOn ({ block, corrector }: Work): void {
    for (let data = corrector.next(); data !== undefined; data = corrector.next()) this.say({ type: 'correct', block: block.number, data })
    if (!corrector.done) return
    const key = this.random.bytes(16), hash = new (loadPost().PolyHash)(key)
    hash.update(block.bits)
    this.say({ type: 'verify', block: block.number, key, tag: hash.final() })
    this.work!.stage = 'verdict'
  }

  private amplify (work: Work): void {
    const { block, corrector, verdict } = work
    invariant(verdict !== undefined, 'a verdict was said')
    const { leakedBits, rounds } = corrector.result()
    const { errors } = verdict
    if (errors.length !== block.keyDetections.length || errors.some((n, i) => n > block.keyDetections[i]!)) this.refuse('Bob reports impossible errors')
    if (verdict.good === 0) {
      this.discard(block, 'not corrected', { rounds })
      return this.next()
    }
    const keyQber = sum(errors) / block.lengthBits
    const estimate = estimateKey(this.options.source, blockCounts(block, errors), leakedBits + VERIFY_BITS, this.options.security)
    if (estimate.bits < KEY_BITS_MIN) {
      this.giveUp(block, 'too short', { rounds, keyQber, estimate })
      return this.next()
    }
    const seed = this.random.bytes(packedBytes(block.lengthBits - 1))
    this.say({ type: 'amplify', block: block.number, keyBits: estimate.bits, seed })
    this.sayTag()
    work.key = { estimate, seed, keyQber }
    work.stage = 'accept'
  }

  private release ({ block, corrector, key }: Work): void {
    invariant(key !== undefined, 'the length was said')
    this.finish(block, block.bits, key.estimate, key.seed, { ...corrector.result(), keyQber: key.keyQber })
    this.next()
  }

  private next (): void {
    this.work?.corrector.close()
    this.work = undefined
    this.startNext()
  }

  private at (stage: Work['stage'], m: BlockMessage): Work {
    const work = this.work
    return work !== undefined && work.stage === stage && work.block.number === m.block
      ? work
      : this.refuse(`Bob said "${m.type}" of block ${m.block} out of turn`)
  }
}
