import { Duplex } from 'node:stream'
import { TUNNEL_BYTES_MAX } from '../messages.js'
import type { Tunnel, TunnelEvents } from './ports.js'

type Done = (error?: Error | null) => void

/** Bytes that are read ahead; beyond, the other end is not told to send more. */
const READ_AHEAD_BYTES = 65_536

/**
 * A tunnel as a stream, for TLS to run on. Writing waits for the window of the session; what was read is acknowledged as it is
 * taken. The tunnel's end is told to `ended` and destroys the stream without an error: the reason goes another way.
 */
export class TunnelStream extends Duplex {
  readonly #tunnel: Tunnel
  #waiting: Uint8Array[] = []
  #done: Done | undefined
  #owed = 0

  constructor (attach: (events: TunnelEvents) => Tunnel, ended: TunnelEvents['ended']) {
    super({ readableHighWaterMark: READ_AHEAD_BYTES, writableHighWaterMark: TUNNEL_BYTES_MAX, allowHalfOpen: false, emitClose: true })
    this.#tunnel = attach({
      data: (bytes) => {
        this.#owed++
        if (this.push(bytes)) this.#acknowledge()
      },
      writable: () => { this.#flush() },
      ended: (reason, text) => {
        this.destroy()
        ended(reason, text)
      },
    })
  }

  get path (): readonly string[] { return this.#tunnel.path }

  allowMoves (key: Uint8Array): void { this.#tunnel.allowMoves(key) }

  override _read (): void { this.#acknowledge() }

  override _write (chunk: Buffer, _encoding: BufferEncoding, done: Done): void { this.#write([chunk], done) }

  override _writev (chunks: { chunk: Buffer, encoding: BufferEncoding }[], done: Done): void { this.#write(chunks.map(({ chunk }) => chunk), done) }

  override _final (done: Done): void { done() }

  override _destroy (error: Error | null, done: Done): void {
    this.#waiting = []
    this.#tunnel.end('the stream was closed')
    done(error)
    const waiting = this.#done
    this.#done = undefined
    waiting?.(error)
  }

  /** The bytes are copied: what TLS hands over is its own. */
  #write (chunks: readonly Buffer[], done: Done): void {
    const bytes = Buffer.concat(chunks)
    for (let at = 0; at < bytes.length; at += TUNNEL_BYTES_MAX) this.#waiting.push(bytes.subarray(at, at + TUNNEL_BYTES_MAX))
    this.#done = done
    this.#flush()
  }

  #flush (): void {
    while (this.#waiting[0] !== undefined && !this.destroyed) {
      if (!this.#tunnel.send(this.#waiting[0])) return
      this.#waiting.shift()
    }
    const done = this.#done
    this.#done = undefined
    done?.()
  }

  #acknowledge (): void {
    const owed = this.#owed
    this.#owed = 0
    for (let i = 0; i < owed && !this.destroyed; i++) this.#tunnel.consumed()
  }
}
