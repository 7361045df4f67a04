import { KmeError } from '../kernel/errors.js'
import { equalBytes, combine } from './bits.js'
import { loadPost } from './native.js'
import type { NativePolyHash } from './native.js'

export const TAG_BYTES = 16
/** Pre-shared secret bytes at least: two hash keys, and pads for two blocks. */
export const PRESHARED_BYTES_MIN = 128
/** Tags of one block: Bob's verdict, Alice's amplification, Bob's acceptance. */
export const TAGS_PER_BLOCK = { alice: 1, bob: 2 } as const
/** Key that one block puts back for its tags, Alice's pads first. */
export const REFILL_BYTES = TAG_BYTES * (TAGS_PER_BLOCK.alice + TAGS_PER_BLOCK.bob)

/** Pads of one direction: each authenticates one tag, and is wiped. Both ends take them in the same order. */
class Pads {
  private readonly waiting: Uint8Array[] = []
  used = 0

  get left (): number { return this.waiting.length }

  /** `bytes`: a multiple of TAG_BYTES, copied. */
  add (bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += TAG_BYTES) this.waiting.push(bytes.slice(at, at + TAG_BYTES))
  }

  take (): Uint8Array {
    const pad = this.waiting.shift()
    if (pad === undefined) throw new KmeError('NO_KEYS', 'authentication: no key is left for a tag; the parties need a new pre-shared key')
    this.used += 1
    return pad
  }

  wipe (): void { for (const pad of this.waiting.splice(0)) pad.fill(0) }
}

/**
 * One direction of the channel. Everything said goes into P(k; ...); a tag is that hash under a pad that is used
 * once (Wegman, Carter 1981; native/gf128.h). The hash key stays for all tags of its direction, which pads of full length
 * allow (Portmann, IEEE Trans. IT 60, 4383 (2014)). A forger passes one tag over L blocks of 16 bytes with probability
 * at most (L + 2) / 2^128.
 */
class Direction {
  private hash!: NativePolyHash
  private number = 0
  private readonly length = new DataView(new ArrayBuffer(8))
  readonly pads = new Pads()
  /** Blocks of 16 bytes under the longest tag so far. */
  longestBlocks = 0
  private blocks = 0

  constructor (private readonly key: Uint8Array) { this.begin() }

  add (message: Uint8Array): void {
    // The length first: or two messages could be cut in another way.
    this.length.setBigUint64(0, BigInt(message.length), true)
    this.hash.update(new Uint8Array(this.length.buffer))
    this.hash.update(message)
    this.blocks += (message.length + 8) / TAG_BYTES
  }

  /** The tag over everything since the last one. */
  tag (): { number: number, tag: Uint8Array } {
    const pad = this.pads.take(), digest = this.hash.final()
    const tag = combine(digest, pad, TAG_BYTES * 8, 'xor'), number = this.number++
    pad.fill(0)
    digest.fill(0)
    this.longestBlocks = Math.max(this.longestBlocks, Math.ceil(this.blocks))
    this.begin()
    return { number, tag }
  }

  wipe (): void {
    this.key.fill(0)
    this.pads.wipe()
  }

  private begin (): void {
    this.hash = new (loadPost().PolyHash)(this.key)
    this.blocks = 0
    this.length.setBigUint64(0, BigInt(this.number), true)
    this.hash.update(new Uint8Array(this.length.buffer))
  }
}

/** Both directions of the channel as one party sees them. */
export class Transcript {
  private readonly alice: Direction
  private readonly bob: Direction
  private readonly own: Direction
  private readonly other: Direction

  /**
   * @param preShared  The same secret bytes at both ends, at least PRESHARED_BYTES_MIN, used for nothing else.
   *   Copied; the caller wipes it.
   * @throws KmeError `BAD_REQUEST` if it is too short.
   */
  constructor (role: 'alice' | 'bob', preShared: Uint8Array) {
    if (preShared.length < PRESHARED_BYTES_MIN) {
      throw new KmeError('BAD_REQUEST', `authentication: the pre-shared key must have at least ${PRESHARED_BYTES_MIN} bytes, got ${preShared.length}`)
    }
    this.alice = new Direction(preShared.slice(0, TAG_BYTES))
    this.bob = new Direction(preShared.slice(TAG_BYTES, 2 * TAG_BYTES))
    for (let at = 2 * TAG_BYTES; at + REFILL_BYTES <= preShared.length; at += REFILL_BYTES) this.refill(preShared.subarray(at, at + REFILL_BYTES))
    this.own = role === 'alice' ? this.alice : this.bob
    this.other = role === 'alice' ? this.bob : this.alice
  }

  /** Blocks for whose tags there are pads. */
  get blocksLeft (): number { return Math.min(this.alice.pads.left / TAGS_PER_BLOCK.alice, Math.floor(this.bob.pads.left / TAGS_PER_BLOCK.bob)) }

  /** Key bits spent on tags so far. */
  get usedBits (): number { return (this.alice.pads.used + this.bob.pads.used) * TAG_BYTES * 8 }

  /** Upper bound of the probability that one forged tag is taken for a good one. */
  get forgeryBound (): number { return (Math.max(this.alice.longestBlocks, this.bob.longestBlocks) + 3) / 2 ** 128 }

  said (message: Uint8Array): void { this.own.add(message) }
  heard (message: Uint8Array): void { this.other.add(message) }

  /** The tag over everything said since the last one. @throws KmeError `NO_KEYS`. */
  ownTag (): { number: number, tag: Uint8Array } { return this.own.tag() }

  /** @throws KmeError `TAG_INVALID` if what was heard is not what the other party said. Then nothing may be used any more. */
  checkTag (number: number, tag: Uint8Array): void {
    const expected = this.other.tag()
    if (number !== expected.number || !equalBytes(tag, expected.tag)) {
      throw new KmeError('TAG_INVALID', `authentication: tag ${expected.number} of the other party is wrong; somebody changed its messages, or the parties have different pre-shared keys`)
    }
  }

  /** Pads from fresh key: REFILL_BYTES, copied. */
  refill (key: Uint8Array): void {
    const alice = TAG_BYTES * TAGS_PER_BLOCK.alice
    this.alice.pads.add(key.subarray(0, alice))
    this.bob.pads.add(key.subarray(alice, REFILL_BYTES))
  }

  wipe (): void {
    this.alice.wipe()
    this.bob.wipe()
  }
}
