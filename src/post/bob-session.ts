import { invariant } from '../kernel/errors.js'
import { equalBytes, packedBytes } from './bits.js'
import { checkStart, createCorrector } from './corrector.js'
import type { Corrector } from './corrector.js'
import { sum } from './counts.js'
import type { FiniteKey } from './counts.js'
import { estimateKey } from './key-length.js'
import { loadPost } from './native.js'
import type { PostOptions } from './options.js'
import { KEY_BITS_MIN, PostSession, VERIFY_BITS } from './session.js'
import type { PostOutput } from './session.js'
import { SiftBob } from './sift-bob.js'
import { blockCounts, errorsByIntensity } from './sifted-block.js'
import type { Burst, SiftedBlock } from './sifted-block.js'
import { TAG_BYTES } from './transcript.js'
import { DISCARD_REASONS } from './wire.js'
import type { BlockMessage, PostMessage, TagMessage } from './wire.js'

/** The block that is being worked on. */
interface Work {
  readonly block: SiftedBlock
  readonly corrector: Corrector
  stage: 'correct' | 'verify' | 'amplify' | 'amplify tag'
  corrected?: Uint8Array
  estimate?: FiniteKey
  keyQber?: number
  amplify?: BlockMessage & { type: 'amplify' }
}

/** Bob's side of the whole post-processing; the order of messages is told at AliceSession. */
export class BobSession extends PostSession {
  private readonly sifter: SiftBob
  private work: Work | undefined

  /** @param preShared  Alice's. Copied. @throws KmeError `BAD_REQUEST`. */
  constructor (options: PostOptions, preShared: Uint8Array) {
    super('bob', options, preShared)
    this.sifter = new SiftBob(options.source.intensities.length, options.blockBits)
  }

  /** Sifted bits of the block that is not full yet. */
  get waitingBits (): number { return this.sifter.waitingBits }

  /** His records of a burst; they are wiped. @throws KmeError `QUEUE_FULL`. */
  announce (burst: Burst): PostOutput { return this.guarded(() => { this.say(this.sifter.announce(burst)) }) }

  protected onMessage (m: Exclude<PostMessage, TagMessage>): void {
    switch (m.type) {
      case 'sifting': case 'test-errors': {
        const { reply, block } = this.sifter.receive(m)
        if (reply !== undefined) this.say(reply)
        if (block !== undefined) this.wait(block)
        return
      }
      case 'start': return this.start(m)
      case 'correct': {
        const work = this.at('correct', m)
        work.corrector.receive(m.data)
        return this.goOn(work)
      }
      case 'verify': return this.verify(this.at('verify', m), m)
      case 'amplify': {
        const work = this.at('amplify', m)
        work.amplify = m
        work.stage = 'amplify tag'
        return
      }
      case 'discard': return this.onDiscard(m)
      default: this.refuse(`Alice does not say "${m.type}"`)
    }
  }

  protected onTag (): void {
    const work = this.work
    if (work?.stage === 'amplify tag') return this.release(work)
    this.refuse('a tag out of turn')
  }

  protected wipe (): void {
    this.work?.block.bits.fill(0)
    this.work?.corrected?.fill(0)
    this.work?.corrector.close()
  }

  private start (m: BlockMessage & { type: 'start' }): void {
    if (this.work !== undefined) this.refuse('two blocks are corrected at once')
    const block = this.waiting.shift()
    if (block === undefined || block.number !== m.block || block.lengthBits !== m.lengthBits) {
      return this.refuse(`Alice starts block ${m.block} of ${m.lengthBits} bits, which is not the next one here`)
    }
    checkStart(m, Math.ceil(this.options.qberAbort * 1e6))
    this.work = { block, corrector: createCorrector(m, block.bits), stage: 'correct' }
    this.goOn(this.work)
  }

  private goOn (work: Work): void {
    const { block, corrector } = work
    for (let data = corrector.next(); data !== undefined; data = corrector.next()) this.say({ type: 'correct', block: block.number, data })
    if (corrector.done) work.stage = 'verify'
  }

  private verify (work: Work, m: BlockMessage & { type: 'verify' }): void {
    const { block, corrector } = work
    if (m.key.length !== TAG_BYTES || m.tag.length !== TAG_BYTES) this.refuse('a verification key and its hash have 16 bytes')
    const corrected = block.bits.slice()
    corrector.correct(corrected)
    const hash = new (loadPost().PolyHash)(m.key)
    hash.update(corrected)
    const good = equalBytes(hash.final(), m.tag)
    const errors = good ? errorsByIntensity(block, block.bits, corrected) : block.keyDetections.map(() => 0)
    block.bits.fill(0)
    this.say({ type: 'verdict', block: block.number, good: good ? 1 : 0, errors })
    this.sayTag()
    const { leakedBits, rounds } = corrector.result()
    if (!good) {
      corrected.fill(0)
      this.discard(block, 'not corrected', { rounds })
      return this.endBlock()
    }
    work.corrected = corrected
    work.keyQber = sum(errors) / block.lengthBits
    work.estimate = estimateKey(this.options.source, blockCounts(block, errors), leakedBits + VERIFY_BITS, this.options.security)
    work.stage = 'amplify'
  }

  private release (work: Work): void {
    const { block, corrector, corrected, estimate, keyQber, amplify } = work
    invariant(corrected !== undefined && estimate !== undefined && keyQber !== undefined && amplify !== undefined, 'a verified block')
    // Logarithms of two machines may differ in the last place: one bit is allowed.
    if (Math.abs(amplify.keyBits - estimate.bits) > 1 || amplify.keyBits < KEY_BITS_MIN) {
      this.refuse(`Alice makes ${amplify.keyBits} bits of key of block ${block.number}; here the estimate is ${estimate.bits}`)
    }
    const seedBits = block.lengthBits - 1
    if (amplify.seed.length !== packedBytes(seedBits)) this.refuse(`the seed of ${block.lengthBits} bits has ${packedBytes(seedBits)} bytes`)
    this.finish(block, corrected, { ...estimate, bits: amplify.keyBits }, amplify.seed, { ...corrector.result(), keyQber })
    this.say({ type: 'accept', block: block.number })
    this.sayTag()
    this.endBlock()
  }

  private onDiscard (m: BlockMessage & { type: 'discard' }): void {
    const reason = DISCARD_REASONS[m.reason] ?? this.refuse(`unknown reason ${m.reason}`)
    if (this.work !== undefined) {
      const { block, corrector, corrected, estimate, keyQber } = this.at('amplify', m)
      corrected?.fill(0)
      this.discard(block, reason, { rounds: corrector.result().rounds, ...(keyQber === undefined ? {} : { keyQber }), ...(estimate === undefined ? {} : { estimate }) })
      return this.endBlock()
    }
    const block = this.waiting.shift()
    if (block?.number !== m.block) return this.refuse(`Alice discards block ${m.block}, which is not the next one here`)
    this.discard(block, reason)
  }

  private endBlock (): void {
    this.work?.corrector.close()
    this.work = undefined
  }

  private at (stage: Work['stage'], m: BlockMessage): Work {
    const work = this.work
    return work !== undefined && work.stage === stage && work.block.number === m.block
      ? work
      : this.refuse(`Alice said "${m.type}" of block ${m.block} out of turn`)
  }
}
