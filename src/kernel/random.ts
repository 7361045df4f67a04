/** Source of numbers that are not key: nonces, incarnations, jitter, store IDs. Key bytes come from the addon. */
export interface Random {
  /** Fresh bytes, owned by the caller. */
  bytes (length: number): Uint8Array
  /** Uniform integer in [0, bound). `bound` is at most 2^48. */
  integer (bound: number): number
}
