import { signsOfLife } from '../limits.js'

/** Bounds and times of tunnels: what an end may have under way, and what a node in between does for others. */
export interface TunnelLimits {
  /** Pieces of `data` that one end may have sent without word that they were dealt with. Each is at most TUNNEL_BYTES_MAX. */
  readonly windowPieces: number
  /** Bytes of others' frames that wait for one neighbour. */
  readonly queueBytesMax: number
  /** Of these, bytes of one source. */
  readonly sourceBytesMax: number
  /** A frame that waited longer is dropped, and its session is over. */
  readonly queueAgeMaxMs: number
  /** How soon a frame that found no tag or no room is tried again. */
  readonly retryMs: number
  /** Frames of one source, through one neighbour, in one second. The same in the whole network: sources keep to it by themselves. */
  readonly sourceFramesPerS: number
  /** Sources counted at a time; further ones share one account. */
  readonly sourcesMax: number
  /** Sessions that end here. */
  readonly sessionsMax: number
  /** An end that has heard no acknowledgement for this long gives up. */
  readonly stallMs: number
  /** An answer to a probe is due within this time. */
  readonly probeMs: number
  /** How long a session whose path is broken waits for another one. Longer than it takes until both ends know of the break. */
  readonly patienceMs: number
  /** An acknowledgement waits so long for data to travel with. */
  readonly ackDelayMs: number
}

export const defaultTunnelLimits: TunnelLimits = {
  windowPieces: 4, queueBytesMax: 1_048_576, sourceBytesMax: 262_144, queueAgeMaxMs: 5_000, retryMs: 20,
  sourceFramesPerS: 1_000, sourcesMax: 1_024, sessionsMax: 1_024, stallMs: 10_000, probeMs: 500, patienceMs: 3_000, ackDelayMs: 20,
}

const KEEP_ALIVE_FACTOR = 3
const PING_AFTER_MIN_MS = 5_000

/**
 * Signs of life of a control channel travel over several links and cost tags on each: they are rarer than between neighbours. A broken link
 * does not wait for them: the router tells.
 */
export const controlSigns = (keepAliveMs: number): ReturnType<typeof signsOfLife> => signsOfLife(Math.max(PING_AFTER_MIN_MS, KEEP_ALIVE_FACTOR * keepAliveMs))
