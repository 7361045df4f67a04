import type { AdapterDeps, FrameName, OpenAdapter } from './adapter.js'
import type { Cancel } from '../kernel/time.js'
import { DeviceHttps, type DeviceAnswer, type DeviceTls } from './device-https.js'
import { FeedLoop, causeOf } from './feed-loop.js'
import { FeedSource, FRAME_FLAG, type Feed, type FeedOutlet } from './feed.js'
import { base64Room, decodeBase64 } from './formats/base64-bytes.js'
import { JsonFault } from './formats/json-bytes.js'
import { readDeviceStatus, readKeyContainer, readMessage, type ContainedKey, type DeviceStatus } from './formats/key-container.js'
import { uuidText } from './formats/uuid.js'
import { FRAME_BYTES_MAX } from './native.js'

export interface Pull014Settings {
  readonly url: string
  readonly remoteSaeId: string
  readonly tls: DeviceTls
  readonly keySizeBits: number
  readonly keysPerRequest: number
  readonly pollMs: number
  readonly timeoutMs: number
}

/** IDs that the other end proposed and that are not fetched yet; and the last ones that were. */
const WANTED_MAX = 4_096
const FETCHED_MAX = 8_192
/** An ID that the device does not know is asked for again this often: the other end's device may be ahead. */
const ATTEMPTS_MAX = 30
/** First wait after an answer without keys; it doubles up to `pollMs`. */
const FIRST_WAIT_MS = 20
/** Nothing to do before the next kick. */
const UNTIL_ASKED = Infinity
/** Answers stay below the bound of DeviceHttps. */
const ANSWER_BYTES_MAX = 524_288

interface Wanted { readonly attempts: number, readonly dueMs: number }
interface Container { readonly body: Uint8Array, readonly keys: ContainedKey[], next: number }

/**
 * A device that acts as a KME (ETSI GS QKD 014). The end that proposes takes new keys (enc_keys); the other end learns their IDs
 * from the proposals, as names of frames that it lacks, and fetches the same keys (dec_keys). So both ends need no channel of
 * their own, and a key is taken from the device at the moment at which it is put into our store. Keys are asked for one request
 * after the other while they come; a KME that has fewer than are asked for refuses, so the number is halved then, and doubled again.
 */
class Pull014Feed implements Feed {
  private out!: FeedOutlet
  private readonly loop: FeedLoop
  private readonly https: DeviceHttps
  private readonly plain = new Uint8Array(base64Room(base64Length(FRAME_BYTES_MAX) * 6)) // Each character may be escaped.
  private readonly wanted = new Map<string, Wanted>()
  private readonly fetched = new Set<string>()
  private container: Container | undefined
  private status: DeviceStatus | undefined
  private notBeforeMs = -Infinity
  private number: number
  private emptyAnswers = 0
  private stopTimer: Cancel = () => {}
  private requests = 0
  private failures = 0
  private keys = 0

  constructor (private readonly settings: Pull014Settings, private readonly deps: AdapterDeps) {
    this.number = settings.keysPerRequest
    this.https = new DeviceHttps(settings.url, settings.tls, settings.timeoutMs)
    this.loop = new FeedLoop(() => this.work(), (error) => { this.out.fault(causeOf(error)) })
  }

  start (out: FeedOutlet): void {
    this.out = out
    this.loop.kick()
  }

  room (): void { this.loop.kick() }
  durable (): void {}
  counters (): Record<string, number> { return { requests: this.requests, requestFailures: this.failures, keysTaken: this.keys, keysWanted: this.wanted.size } }

  want (frames: readonly FrameName[]): void {
    for (const { id, offset } of frames) {
      if (offset !== 0 || this.fetched.has(id) || this.wanted.has(id) || this.wanted.size >= WANTED_MAX) continue
      this.wanted.set(id, { attempts: 0, dueMs: -Infinity })
    }
    if (this.wanted.size > 0) this.loop.kick()
  }

  stop (): void {
    this.stopTimer()
    this.loop.stop(() => {
      this.container?.body.fill(0)
      this.plain.fill(0)
      this.https.close()
    })
  }

  private async work (): Promise<void> {
    while (!this.loop.stopped && this.publishWaiting()) {
      const restMs = this.notBeforeMs - this.deps.clock.monoMs()
      if (restMs > 0) { this.later(restMs); return }
      try {
        const waitMs = await this.ask()
        if (waitMs === 0) continue
        // New wishes do not wait for old ones; new keys are not asked for before their time.
        if (this.deps.proposes) this.notBeforeMs = this.deps.clock.monoMs() + waitMs
        this.later(waitMs)
      } catch (error) {
        if (this.loop.stopped) return
        this.failures++
        this.status = undefined
        this.out.state('away', causeOf(error))
        this.notBeforeMs = this.deps.clock.monoMs() + this.settings.pollMs
        this.later(this.settings.pollMs)
      }
      return
    }
  }

  private later (ms: number): void {
    this.stopTimer()
    if (ms === UNTIL_ASKED || this.loop.stopped) return
    this.stopTimer = this.deps.clock.after(ms, () => { this.notBeforeMs = -Infinity; this.loop.kick() })
  }

  private backoffMs (attempt: number): number { return Math.min(this.settings.pollMs, FIRST_WAIT_MS * 2 ** Math.min(attempt, 20)) }

  /** One step. @returns how long to wait for the next one; 0: at once. */
  private async ask (): Promise<number> {
    this.status ??= await this.askStatus()
    if (this.deps.proposes) return await this.takeNew(this.status)
    this.out.state(this.wanted.size === 0 ? 'idle' : 'running')
    return this.wanted.size === 0 ? UNTIL_ASKED : await this.fetchWanted(this.status)
  }

  private path (method: string): string { return `/api/v1/keys/${encodeURIComponent(this.settings.remoteSaeId)}/${method}` }

  private async call (method: 'GET' | 'POST', name: string, body?: string): Promise<DeviceAnswer> {
    if (this.loop.stopped) throw new Error('closed') // Nothing is taken from the device that nobody stores.
    this.requests++
    const answer = await this.https.call(method, this.path(name), body)
    if (answer.status !== 401 && answer.status !== 403 && answer.status !== 404) return answer
    if (answer.status === 404 && name === 'dec_keys') return answer
    answer.body.fill(0)
    throw new Error(`the device answers ${answer.status} to ${name}: it does not know this KME's certificate, or not ${this.settings.remoteSaeId}`)
  }

  private async askStatus (): Promise<DeviceStatus> {
    const { status, body } = await this.call('GET', 'status')
    if (status !== 200) throw new Error(`the device answers ${status} to status ${readMessage(body)}`)
    const device = readDeviceStatus(body)
    this.out.state('idle')
    return device
  }

  private sizeBits ({ minKeySizeBits, maxKeySizeBits }: DeviceStatus): number {
    const most = Math.min(maxKeySizeBits, FRAME_BYTES_MAX * 8)
    const size = this.settings.keySizeBits === 0 ? most - most % 8 : this.settings.keySizeBits
    if (size >= Math.max(8, minKeySizeBits) && size <= most && size % 8 === 0) return size
    throw new Error(`the device gives keys of ${minKeySizeBits} to ${maxKeySizeBits} bits, which does not fit pull014.keySizeBits (${this.settings.keySizeBits})`)
  }

  private async takeNew (device: DeviceStatus): Promise<number> {
    const size = this.sizeBits(device)
    const room = Math.max(1, Math.floor(ANSWER_BYTES_MAX / (base64Length(size / 8) + 128)))
    const most = Math.min(this.settings.keysPerRequest, device.maxKeyPerRequest, room)
    const number = Math.min(this.number, most)
    const { status, body } = await this.call('POST', 'enc_keys', JSON.stringify({ number, size }))
    if (status !== 200) {
      this.failures++
      this.out.state('idle', `the device answers ${status} to enc_keys ${readMessage(body)}`)
      body.fill(0)
      this.number = Math.max(1, number >> 1)
      return number > 1 ? 0 : this.backoffMs(this.emptyAnswers++)
    }
    if (this.take(body) === 0) return this.backoffMs(this.emptyAnswers++)
    this.emptyAnswers = 0
    this.number = Math.min(most, number * 2)
    return 0
  }

  private async fetchWanted (device: DeviceStatus): Promise<number> {
    const nowMs = this.deps.clock.monoMs(), all = [...this.wanted]
    // One ID that the device refuses fails its whole request: what failed once is asked for alone, when it is due.
    const fresh = all.filter(([, { attempts }]) => attempts === 0).slice(0, Math.min(this.settings.keysPerRequest, device.maxKeyPerRequest))
    const ids = (fresh.length > 0 ? fresh : all.filter(([, { dueMs }]) => dueMs <= nowMs).slice(0, 1)).map(([id]) => id)
    if (ids.length === 0) return Math.max(1, Math.min(...all.map(([, { dueMs }]) => dueMs)) - nowMs)
    const { status, body } = await this.call('POST', 'dec_keys', JSON.stringify({ key_IDs: ids.map((id) => ({ key_ID: uuidText(Buffer.from(id, 'hex')) })) }))
    if (status === 200) {
      this.take(body)
      for (const id of ids) this.wanted.delete(id) // What the answer left out does not come.
      this.emptyAnswers = 0
      return 0
    }
    body.fill(0)
    this.failures++
    for (const id of ids) {
      const attempts = this.wanted.get(id)!.attempts + 1
      this.wanted.delete(id) // To the end of the row.
      if (attempts < ATTEMPTS_MAX) this.wanted.set(id, { attempts, dueMs: ids.length > 1 ? nowMs : nowMs + this.backoffMs(attempts) })
    }
    return status >= 500 ? this.backoffMs(this.emptyAnswers++) : 0 // A device in trouble is not asked ID by ID.
  }

  /** @returns how many keys the container has. */
  private take (body: Uint8Array): number {
    try {
      const keys = readKeyContainer(body)
      this.container = { body, keys, next: 0 }
      this.out.state(keys.length > 0 ? 'running' : 'idle')
      return keys.length
    } catch (error) {
      body.fill(0)
      if (error instanceof JsonFault) throw new Error(`the device's answer cannot be read: ${error.message}`, { cause: error })
      throw error
    }
  }

  /** @returns false if the ring is full: `room` goes on. */
  private publishWaiting (): boolean {
    const { container } = this
    if (container === undefined) return true
    try {
      for (; container.next < container.keys.length; container.next++) {
        const { id, key } = container.keys[container.next]!
        const fits = base64Room(key.end - key.start) <= this.plain.length
        const length = fits ? decodeBase64(container.body, key.start, key.end, this.plain) : -1
        const isGood = length >= 1 && length <= FRAME_BYTES_MAX
        const done = isGood ? this.out.publish({ block: id, offset: 0, payload: this.plain.subarray(0, length), flags: FRAME_FLAG.last }) !== 0 : this.out.publishBad({ block: id, offset: 0 })
        if (!done) return false
        this.keys++
        this.noteFetched(Buffer.from(id).toString('hex'))
      }
    } finally { this.plain.fill(0) }
    container.body.fill(0)
    this.container = undefined
    return true
  }

  private noteFetched (id: string): void {
    this.wanted.delete(id)
    this.fetched.add(id)
    if (this.fetched.size <= FETCHED_MAX) return
    for (const oldest of this.fetched) { this.fetched.delete(oldest); break }
  }
}

const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4

export const openPull014: OpenAdapter<Pull014Settings> = (settings, deps) => new FeedSource(deps, settings.url, new Pull014Feed(settings, deps))
