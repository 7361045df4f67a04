/**
 * The contract of the post-processing addon (native/post) and its only loader. Byte arguments are Uint8Arrays,
 * borrowed for the call; results are fresh and owned by the caller, who wipes what is secret. An expected failure is
 * a plain Error with a `code` of KmeErrorCode; any other is `invariant violated: …`, a bug of the caller.
 */
import { createRequire } from 'node:module'
import { KmeError } from '../kernel/errors.js'

/** Polynomial hash over GF(2^128), docs in native/gf128.h: 16 bytes of key, 16 bytes out. Wipes its key at the end. */
export interface NativePolyHash {
  update (data: Uint8Array): void
  /** Once. */
  final (): Uint8Array
}

/** Variants of Cascade in the order of native/post/cascade_plan.h, by their names in the literature. */
export const CASCADE_VARIANTS = ['original', 'biconf', 'yanetal', 'option7', 'option8'] as const

/** Rules of `combinePlanes` in the order of native/post/sift.h. */
export const PLANE_RULES = ['and', 'andNot', 'xor', 'same'] as const

export interface NativeCascadeStats {
  readonly done: boolean, readonly rounds: number, readonly frames: number, readonly frameBits: number
  /** Bits that Alice sent. */
  readonly leakedBits: number
  readonly corrected: number, readonly givenUp: number
}

/** One party's Cascade over one block (native/post/cascade.h): both send `message()`, then `receive` the other's, until there is none. */
export interface NativeCascade {
  /** The own message of this round, once; undefined: it is the other's turn, or all is done. */
  message (): Uint8Array | undefined
  done (): boolean
  /** Throws with code PROTOCOL if it is not the other's message of this round; nothing has changed then. */
  receive (message: Uint8Array): void
  /** Flips the places found to be wrong, in place: Bob's bits become Alice's. */
  correct (bits: Uint8Array): void
  stats (): NativeCascadeStats
  /** Wipes and frees. Nothing but `close` may follow. */
  close (): void
}

export interface NativeLdpcPlan {
  readonly rows: number, readonly frames: number, readonly frameBits: number
  /** Of each frame. */
  readonly punctured: number
  /** Random bytes that Alice needs. */
  readonly maskBytes: number
  /** Of the first message. */
  readonly leakedBits: number
}

/** Alice's part of LDPC reconciliation of one block (native/post/ldpc_party.h). */
export interface NativeLdpcAlice {
  /** The message that is due, once; undefined if it is the other's turn or all is done. */
  message (): Uint8Array | undefined
  /** Throws with code PROTOCOL if it is not the other's next message; nothing has changed then. */
  receive (message: Uint8Array): void
  stats (): { readonly done: boolean, readonly rounds: number, readonly leakedBits: number }
  /** Wipes and frees. Nothing but `close` may follow. */
  close (): void
}

/** Bob's. */
export interface NativeLdpcBob {
  message (): Uint8Array | undefined
  receive (message: Uint8Array): void
  /** Flips the places found to be wrong, in place. */
  correct (bits: Uint8Array): void
  stats (): { readonly done: boolean, readonly rounds: number, readonly leakedBits: number, readonly frames: number, readonly failed: number, readonly iterations: number }
  close (): void
}

export interface NativePost {
  /** `mask`: plan.maskBytes random bytes. Bits are copied. */
  readonly LdpcAlice: new (lengthBits: number, errorPpm: number, blind: boolean, bits: Uint8Array, mask: Uint8Array) => NativeLdpcAlice
  /** `way` is an index of `ldpcWays` with a name. */
  readonly LdpcBob: new (lengthBits: number, bits: Uint8Array, way: number) => NativeLdpcBob
  ldpcPlan (lengthBits: number, errorPpm: number, blind: boolean): NativeLdpcPlan
  ldpcLeakedBits (message: Uint8Array): number
  readonly ldpcWays: ReadonlyArray<string | null>
  /** Privacy amplification (native/post/amplify.h); `way` is an index of `amplifyWays` with a name. */
  amplify (input: Uint8Array, inputBits: number, seed: Uint8Array, outputBits: number, way: number): Uint8Array
  /** Ways to multiply by number, null where this processor lacks the instructions. */
  readonly amplifyWays: ReadonlyArray<string | null>
  /** @param variant  Index in CASCADE_VARIANTS. `lengthBits` 2 to 2^27, `frameBits` (wanted) 64 to 2^24, `errorPpm` 1 to 500,000, `seed` 32 bytes. */
  readonly Cascade: new (variant: number, lengthBits: number, frameBits: number, errorPpm: number, seed: Uint8Array, bits: Uint8Array) => NativeCascade
  /** Bit `shift` of each record, packed. */
  takePlane (records: Uint8Array, shift: number): Uint8Array
  /** Appends the bits of `plane` where `mask` is 1 (of the first `count`) to `out`, from its bit `at` on, where it must be 0. Returns how many. */
  selectBits (plane: Uint8Array, mask: Uint8Array, count: number, out: Uint8Array, at: number): number
  /** A fresh plane of `count` bits, made bit by bit from two; 0 behind the last. `rule` is an index of PLANE_RULES. */
  combinePlanes (rule: number, a: Uint8Array, b: Uint8Array, count: number): Uint8Array
  /** Number of 1s in a AND b, of the first `count`. */
  countBoth (a: Uint8Array, b: Uint8Array, count: number): number
  readonly features: { readonly gf128: string }
  readonly PolyHash: new (key: Uint8Array) => NativePolyHash
  /** Bits in the order of a permutation drawn from `seed` (32 bytes); `back` undoes it. At most 2^30 bits. */
  shuffleBits (seed: Uint8Array, bits: Uint8Array, lengthBits: number, back: boolean): Uint8Array
}

let loaded: NativePost | undefined

/** @throws KmeError `ADDON_MISSING` if it was not built, or for another Node. */
export const loadPost = (): NativePost => {
  if (loaded !== undefined) return loaded
  const require = createRequire(import.meta.url)
  try {
    // Compiled code lies one folder deeper than sources.
    loaded = require(import.meta.url.includes('/dist/') ? '../../../build/Release/qkme_post.node' : '../../build/Release/qkme_post.node') as NativePost
  } catch (cause) {
    throw new KmeError('ADDON_MISSING', 'the post-processing addon build/Release/qkme_post.node is missing or does not load; run npm run build:native', { cause })
  }
  return loaded
}
