/**
 * Where the bits of one block went, exactly: sifted = leaked + verified + compressed + authenticated + cut + net
 * (a block without key: sifted = discarded).
 */
export interface BlockAccount {
  /** Key-basis bits of the block. */
  readonly sifted: number
  /** Test-basis bits of the same bursts, opened to estimate errors. Not part of `sifted`. */
  readonly estimated: number
  /** Disclosed by error correction, counted from the messages. */
  readonly leaked: number
  /** Disclosed by the verification hash. */
  readonly verified: number
  /** Removed by privacy amplification: what Eve may know beside, and the security parameters. */
  readonly compressed: number
  /** Put back for the tags of the next block. */
  readonly authenticated: number
  /** Bits of the last byte that is not full. */
  readonly cut: number
  readonly net: number
  /** All sifted bits of a block without key. */
  readonly discarded: number
}

export const emptyBlockAccount: BlockAccount =
  { sifted: 0, estimated: 0, leaked: 0, verified: 0, compressed: 0, authenticated: 0, cut: 0, net: 0, discarded: 0 }

/** 0, or a bit was lost or counted twice. */
export const unaccountedBits = (a: BlockAccount): number =>
  a.sifted - a.leaked - a.verified - a.compressed - a.authenticated - a.cut - a.net - a.discarded

export const addAccounts = (a: BlockAccount, b: BlockAccount): BlockAccount => ({
  sifted: a.sifted + b.sifted, estimated: a.estimated + b.estimated, leaked: a.leaked + b.leaked, verified: a.verified + b.verified,
  compressed: a.compressed + b.compressed, authenticated: a.authenticated + b.authenticated, cut: a.cut + b.cut, net: a.net + b.net,
  discarded: a.discarded + b.discarded,
})
