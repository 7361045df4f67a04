import type { Cancel } from '../kernel/time.js'
import type { AdapterDeps, OpenAdapter } from './adapter.js'
import { DeviceHttps, type DeviceTls } from './device-https.js'
import { causeOf } from './feed-loop.js'
import { FeedSource, FRAME_FLAG, type Feed, type FeedOutlet } from './feed.js'
import { base64Room, decodeBase64 } from './formats/base64-bytes.js'
import { JsonFault } from './formats/json-bytes.js'
import { readClose, readKeyMaterial, readOpenConnect, readOpened, type OpenConnect } from './formats/push004-body.js'
import { uuidBytes, uuidText } from './formats/uuid.js'
import { FRAME_BYTES_MAX } from './native.js'
import { PushServer, type PushAnswer } from './push004-server.js'

export interface Push004Settings {
  readonly host: string
  readonly port: number
  readonly basePath: string
  readonly tls: DeviceTls
  readonly deviceName?: string | undefined
  readonly streams: number
  readonly silentMs: number
  readonly deviceUrl?: string | undefined
  readonly streamId?: string | undefined
  readonly chunkBytes: number
}

/** Status codes of ETSI GS QKD 004 V2.1.1. */
const STATUS = { ok: 0, insufficient: 2, noConnection: 4, inUse: 5, timeout: 6, qos: 7 } as const
/** Requests that wait for the store; more are asked to come again. */
const WAITING_MAX = 256
const ANSWER_MS = 5_000
const RETRY_MS = 2_000
const CHUNK_BYTES_MIN = 8

interface Waiting { readonly number: number, readonly done: (isDurable: boolean) => void, readonly cancel: Cancel }
interface Stream { next: number | undefined }

/**
 * A device that pushes key chunks over HTTPS (ETSI GS QKD 004, push mode). A chunk is a frame named by stream and index. "0,
 * successful" is answered when the chunk is durable here, so a device may forget it then; without that answer it sends it again.
 */
class Push004Feed implements Feed {
  private out!: FeedOutlet
  private server: PushServer | undefined
  private readonly streams = new Map<string, Stream>()
  private readonly waiting: Waiting[] = []
  private readonly plain = new Uint8Array(base64Room(16_384))
  private readonly caller: DeviceHttps | undefined
  private stopSilence: Cancel = () => {}
  private stopRetry: Cancel = () => {}
  private stopped = false
  private chunks = 0
  private refused = 0

  constructor (private readonly settings: Push004Settings, private readonly deps: AdapterDeps) {
    this.caller = settings.deviceUrl === undefined ? undefined : new DeviceHttps(settings.deviceUrl, settings.tls, ANSWER_MS)
  }

  start (out: FeedOutlet): void {
    this.out = out
    const { host, port, basePath, tls, deviceName } = this.settings
    try {
      this.server = new PushServer({
        host, port, basePath, tls, deviceName, handler: (method, body) => this.handle(method, body), heard: () => { this.heard() }, failed: (reason) => { this.out.fault(reason) },
      })
    } catch (error) { this.deps.clock.after(0, () => { this.out.fault(causeOf(error)) }); return }
    if (this.caller !== undefined) this.open(this.caller)
  }

  /** For tests and logs: where it listens. */
  get port (): number { return this.server?.port ?? 0 }

  room (): void {} // A chunk that found no room was refused with "come again".
  durable (number: number): void {
    while (this.waiting[0] !== undefined && this.waiting[0].number <= number) {
      const { done, cancel } = this.waiting.shift()!
      cancel()
      done(true)
    }
  }

  counters (): Record<string, number> { return { chunks: this.chunks, chunksRefused: this.refused, streams: this.streams.size, handshakesRefused: this.server?.refused ?? 0, listeningPort: this.port } }

  stop (): void {
    this.stopped = true
    this.stopSilence()
    this.stopRetry()
    this.server?.close()
    for (const { cancel } of this.waiting.splice(0)) cancel()
    this.plain.fill(0)
    const { caller, settings } = this
    if (caller === undefined) return
    caller.call('POST', '/close', JSON.stringify({ key_stream_id: settings.streamId })).then(() => {}, () => {}).finally(() => { caller.close() }) // It may be gone already.
  }

  // --- life -----------------------------------------------------------------------------------------------------------

  private heard (): void {
    this.out.state('running')
    this.watchSilence()
  }

  private watchSilence (): void {
    this.stopSilence()
    if (this.stopped) return
    this.stopSilence = this.deps.clock.after(this.settings.silentMs, () => {
      this.out.state('away', 'the device has not called for a while')
      if (this.caller !== undefined) this.open(this.caller)
    })
  }

  /** Asks the device to open the stream and to push. */
  private open (caller: DeviceHttps): void {
    if (this.stopped) return
    const { streamId, chunkBytes } = this.settings
    const qos = { key_chunk_size: chunkBytes, max_bps: 0, min_bps: 0, jitter: 0, priority: 0, timeout: ANSWER_MS, ttl: 0, metadata_mimetype: 'application/json' }
    const start = async (): Promise<void> => {
      const opened = await caller.call('POST', '/open-connect', JSON.stringify({ source: `kme-link-${this.deps.linkId}`, destination: `kme-link-${this.deps.linkId}`, key_stream_id: streamId, qos }))
      const { status } = readOpened(opened.body)
      if (status > 1 && status !== STATUS.inUse) throw new Error(`the device answers status ${status} to open-connect`)
      this.streams.set(hexOf(uuidBytes(streamId!)!), { next: undefined }) // Its first chunk may come before its answer.
      const asked = await caller.call('POST', '/get-key', JSON.stringify({ key_stream_id: streamId, index: 0, metadata: { size: 0, buffer: null } }))
      asked.body.fill(0)
      if (asked.status >= 400) throw new Error(`the device answers ${asked.status} to get-key`)
      this.watchSilence() // A device that opens and then never pushes is asked again.
    }
    start().catch((error: unknown) => {
      if (this.stopped) return
      this.out.state('away', causeOf(error))
      this.stopRetry()
      this.stopRetry = this.deps.clock.after(RETRY_MS, () => { this.open(caller) })
    })
  }

  // --- requests -------------------------------------------------------------------------------------------------------

  private handle (method: string, body: Uint8Array): PushAnswer | Promise<PushAnswer> {
    try {
      if (method === 'open-connect') return this.onOpen(readOpenConnect(body))
      if (method === 'close') return { http: 200, body: { status: this.streams.delete(hexOf(readClose(body))) ? STATUS.ok : STATUS.noConnection } }
      return this.onKey(body)
    } catch (error) {
      if (!(error instanceof JsonFault)) throw error
      this.refused++
      return { http: 400, body: { status: STATUS.noConnection, message: error.message } }
    }
  }

  private onOpen ({ stream, qos }: OpenConnect): PushAnswer {
    const chunk = qos.keyChunkBytes
    const answer = (http: number, status: number, id: Uint8Array | undefined, keyChunkBytes = chunk): PushAnswer => ({
      http, body: { status, key_stream_id: id === undefined ? null : uuidText(id), qos: { key_chunk_size: keyChunkBytes, max_bps: qos.maxBps, min_bps: qos.minBps, jitter: qos.jitter, priority: qos.priority, timeout: qos.timeoutMs, ttl: qos.ttlS, metadata_mimetype: 'application/json' } },
    })
    if (chunk < CHUNK_BYTES_MIN || chunk > FRAME_BYTES_MAX) return answer(500, STATUS.qos, undefined, chunk < CHUNK_BYTES_MIN ? 32 : FRAME_BYTES_MAX)
    // Both ends must name the stream alike, and we cannot talk with the other end's device: the devices choose the ID.
    if (stream === undefined) return { http: 400, body: { status: STATUS.noConnection, message: 'key_stream_id is needed: a UUID, the same at both ends' } }
    const id = hexOf(stream)
    if (!this.streams.has(id) && this.streams.size >= this.settings.streams) return answer(500, STATUS.noConnection, undefined)
    this.streams.set(id, { next: undefined })
    return answer(200, STATUS.ok, stream)
  }

  private onKey (body: Uint8Array): PushAnswer | Promise<PushAnswer> {
    const { stream, index, key } = readKeyMaterial(body)
    const known = this.streams.get(hexOf(stream))
    if (known === undefined) return { http: 400, body: { status: STATUS.noConnection, message: 'this key stream is not open: open-connect first' } }
    if (this.waiting.length >= WAITING_MAX) return { http: 503, body: { status: STATUS.timeout } }
    try {
      const length = decodeBase64(body, key.start, key.end, this.plain)
      if (length < CHUNK_BYTES_MIN || length > FRAME_BYTES_MAX) { this.refused++; return { http: 400, body: { status: STATUS.noConnection, message: `key_buffer must be base64 of ${CHUNK_BYTES_MIN} to ${FRAME_BYTES_MAX} bytes` } } }
      const missed = known.next !== undefined && index !== known.next && ((index - known.next) | 0) > 0
      const number = this.out.publish({ block: stream, offset: index, payload: this.plain.subarray(0, length), flags: FRAME_FLAG.last | (missed ? FRAME_FLAG.gap : 0) })
      if (number === 0) return { http: 503, body: { status: STATUS.timeout } }
      if (known.next === undefined || ((index - known.next) | 0) >= 0) known.next = (index + 1) >>> 0
      this.chunks++
      return this.whenDurable(number)
    } finally { this.plain.fill(0) }
  }

  private whenDurable (number: number): Promise<PushAnswer> {
    return new Promise((resolve) => {
      const done = (isDurable: boolean): void => { resolve(isDurable ? { http: 200, body: { status: STATUS.ok } } : { http: 503, body: { status: STATUS.timeout } }) }
      const cancel = this.deps.clock.after(ANSWER_MS, () => {
        const at = this.waiting.findIndex((w) => w.number === number)
        if (at >= 0) this.waiting.splice(at, 1)
        done(false)
      })
      this.waiting.push({ number, done, cancel })
    })
  }
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export const openPush004: OpenAdapter<Push004Settings> = (settings, deps) => new FeedSource(deps, `${settings.host}:${settings.port}`, new Push004Feed(settings, deps))
