import { SHARE_FRAMES_MAX } from '../peer/messages.js'

/** Bounds and times of the relay. What is refused at a bound is said to the job's source, which tries again or elsewhere. */
export interface RelayLimits {
  /** Jobs of one relayed pool under way from here, at most: as many as go well are (window.ts). One of several parts counts as so many. */
  readonly jobsMax: number
  /** Frames of 3968 bytes of one job, where key is plentiful; up to SHARE_FRAMES_MAX. */
  readonly framesPerJob: number
  /** A job of more than one part gets no more than this part of the spare bits: where key is short, all jobs are small. */
  readonly sparePart: number
  /** From the first hop to the end-to-end confirmation; then the job's bits are burned. */
  readonly jobMs: number
  /** Parts of jobs of others that wait here for a lease, per next neighbour. */
  readonly passingMax: number
  /** Jobs of others that one neighbour was told that they may come. */
  readonly promisesMax: number
  /** How long a job of others waits here for a lease. */
  readonly passMs: number
  /** Parts of jobs that arrive here and lack shares or confirmation, per pool. */
  readonly arrivingMax: number
  /** Of a lane with a neighbour, this much stays for the SAEs of the two ends. */
  readonly reserveBytes: number
  /** A path or node that failed is avoided for so long, and doubled for each failure in a row. */
  readonly avoidMs: number
  readonly avoidMaxMs: number
}

export const defaultRelayLimits: RelayLimits = {
  jobsMax: 64, framesPerJob: SHARE_FRAMES_MAX, sparePart: 1 / 16, jobMs: 10_000, passingMax: 128, promisesMax: 256, passMs: 2_000, arrivingMax: 128, reserveBytes: 65_536, avoidMs: 1_000, avoidMaxMs: 60_000,
}
