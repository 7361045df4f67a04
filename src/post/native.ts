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

export interface NativePost {
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
