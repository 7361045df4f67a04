import type { TLSSocket } from 'node:tls'
import type { Cancel, Clock } from '../../kernel/time.js'
import { Refusal, type CloseReason } from '../refusal.js'
import type { Transport, TransportEvents } from '../transport.js'
import { makeClose, makeRecord, RecordReader } from './records.js'

/** A secured session as transport. Frames of one turn of the event loop leave together: fewer tunnel frames, fewer tags. */
export class TlsTransport implements Transport {
  readonly #reader: RecordReader
  #events: TransportEvents | undefined
  #isClosed = false
  #isCorked = false
  #cancelClose: Cancel | undefined

  constructor (private readonly socket: TLSSocket, private readonly clock: Clock, private readonly closeTimeoutMs: number) {
    this.#reader = new RecordReader({
      frame: (bytes) => { this.#events?.frame(bytes) },
      ping: () => {
        this.#write(makeRecord('pong'))
        this.#events?.heard()
      },
      pong: () => { this.#events?.heard() },
      close: (reason, text) => { this.ended(reason, `the peer closed: ${text}`) },
    })
  }

  get bufferedBytes (): number { return this.socket.writableLength }

  attach (events: TransportEvents): void {
    this.#events = events
    if (this.#isClosed) return // The events' owner has closed it while it was made known.
    this.socket.on('data', (bytes: Buffer) => { this.#read(bytes) })
    this.socket.on('close', () => { this.ended('network', 'the session has ended') })
  }

  send (bytes: Uint8Array): boolean {
    if (this.#isClosed || !this.socket.writable) return false
    this.#write(makeRecord('frame', bytes), () => { if (!this.#isClosed) this.#events?.drained() })
    return true
  }

  ping (): void { if (!this.#isClosed) this.#write(makeRecord('ping')) }

  close (reason: CloseReason, text: string): void {
    if (this.#isClosed) return
    this.#stop()
    if (this.socket.writableLength > 0 || reason === 'network' || !this.socket.writable) { this.socket.destroy(); return }
    this.#cancelClose = this.clock.after(this.closeTimeoutMs, () => { this.socket.destroy() })
    this.socket.once('close', () => { this.#cancelClose?.() })
    this.socket.end(makeClose(reason, text), () => { this.socket.destroy() })
  }

  /** The session is over, for whatever reason was found first. */
  ended (reason: CloseReason, text: string): void {
    if (this.#isClosed) return
    this.#stop()
    this.socket.destroy()
    this.#events?.closed(reason, text)
  }

  #stop (): void {
    this.#isClosed = true
    this.#reader.stop()
  }

  #read (bytes: Buffer): void {
    if (this.#isClosed) return
    try {
      this.#reader.push(bytes)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.close(error.reason, error.message)
      this.#events?.closed(error.reason, error.message)
    }
  }

  #write (record: Uint8Array, done?: () => void): void {
    if (!this.#isCorked) {
      this.#isCorked = true
      this.socket.cork()
      process.nextTick(() => {
        this.#isCorked = false
        this.socket.uncork()
      })
    }
    this.socket.write(record, done)
  }
}
