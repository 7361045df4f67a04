/**
 * Where the detected bits of a run went. Every detection is in exactly one of mismatched, test, waiting,
 * discarded, leaked, verification, compressed or net: `unaccounted` is 0.
 */
export interface BitAccount {
  readonly detections: number
  /** Bases differed. */
  readonly mismatched: number
  /** Test basis: opened to estimate errors. */
  readonly test: number
  /** In a block that is not full yet. */
  readonly waiting: number
  /** In blocks without key: aborted, alarmed, or too short. */
  readonly discarded: number
  /** Disclosed by error correction. */
  readonly leaked: number
  /** Taken off for verification and the security parameters. */
  readonly verification: number
  /** Removed by privacy amplification: what Eve may know. */
  readonly compressed: number
  readonly net: number
}

export const emptyAccount: BitAccount =
  { detections: 0, mismatched: 0, test: 0, waiting: 0, discarded: 0, leaked: 0, verification: 0, compressed: 0, net: 0 }

/** Detections minus everything they went to. */
export const unaccounted = (a: BitAccount): number =>
  a.detections - a.mismatched - a.test - a.waiting - a.discarded - a.leaked - a.verification - a.compressed - a.net
