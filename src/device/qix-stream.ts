import { connect, createServer, type NetConnectOpts, type Server } from 'node:net'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { ReadStream } from 'node:tty'
import type { Cancel } from '../kernel/time.js'
import type { AdapterDeps, OpenAdapter } from './adapter.js'
import { causeOf } from './feed-loop.js'
import { FeedSource, FRAME_FLAG, type Feed, type FeedOutlet } from './feed.js'
import { QixReader } from './formats/qix-frames.js'

export interface QixSettings { readonly connect?: string | undefined, readonly listen?: string | undefined, readonly baud: number, readonly silentMs: number }

const RETRY_MS = 1_000
/** Frames' payloads are small: a high mark of one ring keeps little key in Node's buffers. */
const CHUNK_BYTES = 4_096

/** Name of a key: eight zero bytes and its ID, big endian. */
export const qixBlock = (id: bigint): Uint8Array => {
  const block = new Uint8Array(16)
  new DataView(block.buffer).setBigUint64(8, BigInt.asUintN(64, id))
  return block
}

const addressOf = (text: string): NetConnectOpts => {
  if (text.startsWith('/')) return { path: text }
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}

/**
 * A device that sends QIX frames over a stream: TCP, a Unix socket, or a serial device. Each key is a frame named by its ID.
 * A status other than "ok" takes the key back. The format has no acknowledgement: what is lost on the way is lost, and the other
 * end burns it.
 */
class QixFeed implements Feed {
  private out!: FeedOutlet
  private stream: Readable | undefined
  private server: Server | undefined
  private readonly reader: QixReader
  private stopped = false
  private rest: Uint8Array | undefined
  private lastMs = 0
  private lastId: bigint | undefined
  private stopTimer: Cancel = () => {}
  private stopSilence: Cancel = () => {}
  private endPending = false
  private halves = 0
  private refusedConnections = 0

  constructor (private readonly settings: QixSettings, private readonly deps: AdapterDeps) {
    this.reader = new QixReader({
      frame: (id, key, safe) => this.publish(id, key, safe),
      damaged: (id) => this.out.publishBad({ block: qixBlock(id), offset: 0 }),
    })
  }

  start (out: FeedOutlet): void {
    this.out = out
    if (this.settings.listen !== undefined) this.listen(this.settings.listen)
    else this.dial()
  }

  private publish (id: bigint, key: Uint8Array, safe: boolean): boolean {
    // IDs count up by one: a step forward says that something was lost on the line.
    const missed = this.lastId !== undefined && id > this.lastId + 1n
    const flags = FRAME_FLAG.last | (safe ? 0 : FRAME_FLAG.aborted) | (missed && safe ? FRAME_FLAG.gap : 0)
    if (this.out.publish({ block: qixBlock(id), offset: 0, payload: key, flags }) === 0) return false
    if (safe && (this.lastId === undefined || id > this.lastId)) this.lastId = id
    return true
  }

  room (): void {
    const { rest } = this
    if (this.stopped || !this.reader.resume()) return
    if (rest !== undefined) {
      const taken = this.reader.take(rest)
      rest.fill(0, 0, taken)
      this.rest = taken < rest.length ? rest.subarray(taken) : undefined
    }
    if (this.rest !== undefined || this.reader.isBlocked) return
    if (this.endPending) this.endLine()
    this.stream?.resume()
  }

  durable (): void {}
  counters (): Record<string, number> { return { qixFrames: this.reader.frames, qixSkippedBytes: this.reader.skippedBytes, qixHalfFrames: this.halves, qixRefusedConnections: this.refusedConnections } }

  stop (): void {
    this.stopped = true
    this.stopTimer()
    this.stopSilence()
    this.server?.close()
    this.stream?.destroy()
    this.rest?.fill(0)
    this.reader.end()
  }

  // --- the line -------------------------------------------------------------------------------------------------------

  private listen (where: string): void {
    const server = this.server = createServer({ highWaterMark: CHUNK_BYTES }, (socket) => {
      if (this.stream !== undefined || this.stopped) { this.refusedConnections++; socket.destroy(); return }
      this.attach(socket)
    })
    server.maxConnections = 4
    server.on('error', (error) => { this.out.fault(`cannot listen on ${where}: ${error.message}`) })
    server.listen(addressOf(where))
  }

  private dial (): void {
    if (this.stopped) return
    const where = this.settings.connect!
    this.openLine(where).then((stream) => {
      if (this.stopped) stream.destroy()
      else this.attach(stream)
    }, (error: unknown) => { this.lost(causeOf(error)) })
  }

  /** A path may be a Unix socket or a serial device; that one is made raw. */
  private async openLine (where: string): Promise<Readable> {
    if (where.startsWith('/') && !(await stat(where)).isSocket()) return new ReadStream(this.deps.addon.openSerialLine(where, this.settings.baud))
    return await new Promise((resolve, reject) => {
      const socket = connect(addressOf(where))
      socket.once('error', reject)
      socket.once('connect', () => { socket.off('error', reject); resolve(socket) })
    })
  }

  private attach (stream: Readable): void {
    this.stream = stream
    this.lastId = undefined
    this.heard()
    stream.on('data', (bytes: Buffer) => { this.take(bytes) })
    if (this.endPending) stream.pause() // What the last line brought goes out first.
    stream.on('error', () => {}) // `close` follows, and tells.
    stream.on('close', () => { this.ended() })
  }

  private take (bytes: Buffer): void {
    this.heard()
    const taken = this.reader.take(bytes)
    bytes.fill(0, 0, taken)
    if (taken === bytes.length && !this.reader.isBlocked) return
    this.stream?.pause()
    this.rest = taken === bytes.length ? undefined : bytes.subarray(taken)
  }

  private heard (): void {
    this.lastMs = this.deps.clock.monoMs()
    this.out.state('running')
    this.watchSilence()
  }

  private watchSilence (): void {
    const { silentMs } = this.settings
    this.stopSilence()
    if (silentMs === 0) return
    this.stopSilence = this.deps.clock.after(silentMs, () => {
      if (this.stream === undefined || this.reader.isBlocked) return
      if (this.deps.clock.monoMs() - this.lastMs >= silentMs) this.out.state('stalled', 'it is connected and sends nothing')
    })
  }

  private ended (): void {
    if (this.stopped) return
    this.stream = undefined
    this.stopSilence()
    // What was read completely still goes out, when there is room.
    if (this.reader.isBlocked) this.endPending = true
    else this.endLine()
    this.lost('the device closed the line')
  }

  private endLine (): void {
    this.endPending = false
    if (this.reader.end() > 0) this.halves++
  }

  private lost (why: string): void {
    if (this.stopped) return
    this.out.state('away', why)
    if (this.settings.connect === undefined) return
    this.stopTimer()
    this.stopTimer = this.deps.clock.after(RETRY_MS, () => { this.dial() })
  }
}

export const openQix: OpenAdapter<QixSettings> = (settings, deps) => new FeedSource(deps, settings.connect ?? settings.listen ?? 'qix', new QixFeed(settings, deps))
