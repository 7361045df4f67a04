import type { RelayFailure } from '../peer/messages.js'
import { relayFailures } from '../peer/messages.js'

/** What the relay of this KME did since the process started; read at scrape. Bytes are of key, without tags. */
export interface RelayCounters {
  /** As the source of a block. */
  jobs: number
  jobsDone: number
  /** Refused by a node on the way before a bit was spent. */
  jobsRefused: number
  jobsFailed: number
  /** Of failed jobs: taken out of our lanes for nothing. */
  lostBytes: number
  /** For others. */
  passedJobs: number
  passedBytes: number
  /** Messages to neighbours that waited too long for pads or room, and were dropped. */
  agedMessages: number
  /** As the destination. */
  arrivedJobs: number
  arrivedBytes: number
  /** Shares whose tag did not fit: their path lied. */
  lyingPaths: number
  /** Jobs of others that were refused here, by cause. */
  readonly refused: Record<RelayFailure, number>
}

export const createRelayCounters = (): RelayCounters => ({
  jobs: 0, jobsDone: 0, jobsRefused: 0, jobsFailed: 0, lostBytes: 0, passedJobs: 0, passedBytes: 0, agedMessages: 0, arrivedJobs: 0, arrivedBytes: 0, lyingPaths: 0,
  refused: Object.fromEntries(relayFailures.map((f) => [f, 0])) as Record<RelayFailure, number>,
})
