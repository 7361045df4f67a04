/** The load generator of native/bench, as JavaScript sees it. */
import { createRequire } from 'node:module'

/** Key IDs collected from answers, for requests of another slice. */
export interface KeyIds { size (): number }

export interface SliceOptions {
  /** closed: each connection asks again at once. open: at a fixed rate. connect: a new TLS connection for each request. flood: pipelining without reading. */
  readonly mode: 'closed' | 'open' | 'connect' | 'flood'
  readonly durationMs: number
  /** Whole HTTP requests, sent in turn. With `take`, an ID and `suffix` follow. */
  readonly requests: readonly string[]
  readonly suffix: string
  readonly ratePerS: number
  readonly requestsMax: number
  readonly take: KeyIds | undefined
  readonly collect: KeyIds | undefined
}

/** Latencies count from when a request was due. `closed`: connections that ended without an answer. */
export interface SliceResult {
  readonly sent: number, readonly answers: number, readonly closed: number, readonly bodyBytes: number, readonly elapsedMs: number
  readonly p50Us: number, readonly p99Us: number, readonly maxUs: number
  /** The IDs in `take` were used up: the slice is shorter. */
  readonly ranDry: boolean
  readonly statuses: Readonly<Record<string, number>>
}

export interface GeneratorOptions {
  readonly host: string, readonly port: number
  readonly certificateFile: string, readonly keyFile: string, readonly caFile: string
  readonly connections: number
  /** -1: not pinned. */
  readonly core: number
}

interface Generator {
  run (options: SliceOptions): Promise<SliceResult>
  close (): void
}

interface Addon {
  readonly KeyIds: new () => KeyIds
  readonly LoadGenerator: new (options: GeneratorOptions) => Generator
  drainPerSecond (payloadBytes: number, seal: boolean, durationMs: number): number
  wakeMedianUs (waiterCore: number, ringerCore: number, count: number, gapUs: number): number
}

const addon = createRequire(import.meta.url)('../../build/Release/loadgen.node') as Addon

/** Frames per second that one thread takes from ring slots and checks, and seals if asked (native/bench/drain.h). Blocks for `durationMs` and more. */
export const drainPerSecond = (payloadBytes: number, seal: boolean, durationMs: number): number => addon.drainPerSecond(payloadBytes, seal, durationMs)

/** What kernel and machine alone take to wake a sleeping thread by an eventfd, median (native/bench/wake.h). Blocks for `count` times `gapUs`. */
export const wakeMedianUs = (waiterCore: number, ringerCore: number, count: number, gapUs: number): number => addon.wakeMedianUs(waiterCore, ringerCore, count, gapUs)

export const createKeyIds = (): KeyIds => new addon.KeyIds()

const defaults: SliceOptions = {
  mode: 'closed', durationMs: 1_000, requests: [], suffix: '', ratePerS: 0, requestsMax: 0, take: undefined, collect: undefined,
}

/** A set of connections to one server, with one client certificate. One slice at a time. */
export class Load {
  private readonly generator: Generator

  constructor (readonly options: GeneratorOptions) { this.generator = new addon.LoadGenerator(options) }

  slice (options: Partial<SliceOptions>): Promise<SliceResult> { return this.generator.run({ ...defaults, ...options }) }
  close (): void { this.generator.close() }
}

/** A GET as an SAE sends it. */
export const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

export const requestsPerS = (result: SliceResult): number => result.answers / result.elapsedMs * 1_000

/** Says what went wrong in a slice whose answers are not all good; '' if they are. */
export const faultOf = (result: SliceResult): string => {
  const bad = Object.entries(result.statuses).filter(([status]) => status !== '200').map(([status, count]) => `${count} x ${status}`)
  if (bad.length > 0) return `of ${result.answers} answers ${bad.join(', ')}`
  return result.closed > 0 ? `${result.closed} connections ended without an answer` : ''
}
