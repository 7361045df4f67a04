import type { Fault } from './scenario.js'

/** What became of one request for keys and their collection at the other side. `why` is '' when both SAEs have equal keys. */
export interface Outcome { readonly why: string, readonly keys: number, readonly wholeMs: number }

/** What one KME shows at one moment. Bytes. */
export interface Sample {
  readonly kme: string, readonly isUp: boolean
  /** Stock that its own lanes could deliver, by pool. */
  readonly stock: Readonly<Record<string, number>>
  /** Whole account over its pools; empty when it does not answer. */
  readonly account: Readonly<Record<string, number>>
  /** The same of each pool with another KME. */
  readonly pools: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly differenceBits: number
}

/** A network that runs, of real processes or simulated. Time passes in `wait` only. */
export interface LiveNetwork {
  /** Milliseconds since the beginning. */
  nowMs (): number
  wait (ms: number): Promise<void>
  /** Until every pool has something to give. @throws KmeError saying which has not. */
  ready (): Promise<void>
  exchange (from: string, to: string, keys: number): Promise<Outcome>
  fault (fault: Fault): Promise<void>
  sample (): Promise<Sample[]>
  /** Ways of the blocks just now, by pool of a KME: number of hops. */
  hops (): Promise<Readonly<Record<string, number>>>
  stop (): Promise<void>
}

/** Adds up accounts by name. */
export const sumOf = (accounts: readonly Readonly<Record<string, number>>[]): Record<string, number> => {
  const sum: Record<string, number> = {}
  for (const account of accounts) for (const [what, bytes] of Object.entries(account)) sum[what] = (sum[what] ?? 0) + bytes
  return sum
}
