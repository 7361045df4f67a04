import type { KmeId } from '../../kernel/ids.js'
import type { Cancel, Clock } from '../../kernel/time.js'
import { invariant } from '../../kernel/errors.js'
import { TUNNEL_BYTES_MAX, type Body } from '../messages.js'
import type { CloseReason } from '../refusal.js'
import type { TunnelLimits } from './limits.js'
import type { Path, Tunnel, TunnelEvents } from './ports.js'

export interface SessionOptions {
  readonly path: Path
  /** 16 bytes, drawn by the end that opened it. */
  readonly id: Uint8Array
  readonly clock: Clock
  readonly limits: TunnelLimits
  /** Hands a frame to the first neighbour on the path; '' or why it is lost. */
  readonly post: (body: Body<'tunnel'>) => '' | 'unroutable' | 'congested'
  /** Whether a piece may go now (pace.ts); `wake` is called when it may be asked again. */
  readonly mayPost: (wake: () => void) => boolean
  /** The session is over, before its events are told. */
  readonly gone: () => void
}

const nothing = new Uint8Array()
const deaf: TunnelEvents = { data: () => {}, writable: () => {}, ended: () => {} }

/**
 * One end of a tunnel. Pieces are numbered without gaps in each direction; a lost, repeated or reordered piece ends the
 * session, because whoever is above begins anew and resends what was not acknowledged. At most a window of pieces is under way,
 * so that a slow end fills no memory on the way.
 */
export class TunnelSession implements Tunnel {
  readonly remote: KmeId
  readonly path: Path
  /** In hexadecimal. */
  readonly id: string
  events: TunnelEvents = deaf
  #sent = 0
  #acknowledged = 0
  #received = 0
  #consumed = 0
  #told = 0
  #isOver = false
  #isFull = false
  #stall: Cancel | undefined
  #probe: Cancel | undefined
  #ack: Cancel | undefined

  constructor (private readonly o: SessionOptions) {
    this.path = o.path
    this.id = Buffer.from(o.id).toString('hex')
    this.remote = o.path.at(-1) as KmeId
  }

  get isOver (): boolean { return this.#isOver }

  send (bytes: Uint8Array): boolean {
    invariant(bytes.length >= 1 && bytes.length <= TUNNEL_BYTES_MAX, 'a piece of a tunnel has 1 to 16384 bytes')
    if (this.#isOver) return false
    if (this.#sent - this.#acknowledged >= this.o.limits.windowPieces || !this.o.mayPost(this.#wake)) {
      this.#isFull = true
      return false
    }
    this.#sent++
    this.#stall ??= this.#startStall()
    this.#post('data', this.#sent, bytes)
    return !this.#isOver
  }

  consumed (): void {
    if (this.#isOver) return
    invariant(this.#consumed < this.#received, 'only what came is dealt with')
    this.#consumed++
    if (this.#consumed - this.#told >= this.o.limits.windowPieces / 2) this.#post('ack', 0, nothing)
    else this.#ack ??= this.o.clock.after(this.o.limits.ackDelayMs, () => { this.#post('ack', 0, nothing) })
  }

  probe (): void {
    if (this.#isOver || this.#probe !== undefined) return
    this.#probe = this.o.clock.after(this.o.limits.probeMs, () => { this.abort('network', `${this.remote} cannot be reached any more over ${this.path.join(' ')}`) })
    this.#post('probe', 0, nothing)
  }

  end (_text: string): void {
    if (this.#isOver) return
    this.#post('end', 0, nothing)
    this.#close()
  }

  /** Ends the session for a reason that this end found; the other end is told that it is over. */
  abort (reason: CloseReason, text: string): void {
    if (this.#isOver) return
    this.#post('end', 0, nothing)
    this.lost(reason, text)
  }

  /** The session cannot go on; there is nobody to tell but our own side. */
  lost (reason: CloseReason, text: string): void {
    if (this.#isOver) return
    this.#close()
    this.events.ended(reason, text)
  }

  /** A frame of this session has come, over its path. */
  receive (body: Body<'tunnel'>): void {
    if (this.#isOver) return
    this.#probe?.()
    this.#probe = undefined
    if (body.ack > this.#sent) { this.abort('malformed', 'an acknowledgement of what was never sent'); return }
    if (body.kind === 'data') this.#onData(body)
    else if (body.kind === 'end') { this.lost('closed', `${this.remote} has ended the session`); return }
    else if (body.kind === 'probe') this.#post('ack', 0, nothing)
    this.#onAck(body.ack)
  }

  #onData ({ seq, bytes }: Body<'tunnel'>): void {
    if (seq !== this.#received + 1) { this.abort(seq <= this.#received ? 'replayed' : 'gap', `piece ${seq} after ${this.#received}`); return }
    if (seq - this.#consumed > this.o.limits.windowPieces) { this.abort('refused', 'more was sent than the window allows'); return }
    if (bytes.length === 0) { this.abort('malformed', 'an empty piece'); return }
    this.#received = seq
    this.events.data(bytes)
  }

  #onAck (ack: number): void {
    if (this.#isOver || ack <= this.#acknowledged) return
    this.#acknowledged = ack
    this.#stall?.()
    this.#stall = ack < this.#sent ? this.#startStall() : undefined
    this.#wake()
  }

  readonly #wake = (): void => {
    if (this.#isOver || !this.#isFull) return
    this.#isFull = false
    this.events.writable()
  }

  #startStall (): Cancel {
    return this.o.clock.after(this.o.limits.stallMs, () => { this.abort('idle', `${this.remote} has acknowledged nothing for ${this.o.limits.stallMs} ms`) })
  }

  #post (kind: Body<'tunnel'>['kind'], seq: number, bytes: Uint8Array): void {
    this.#ack?.()
    this.#ack = undefined
    this.#told = this.#consumed
    const lost = this.o.post({ path: [...this.path], hop: 1, session: this.o.id, kind, seq, ack: this.#consumed, bytes })
    if (lost !== '' && kind !== 'end') this.lost('network', `the next node towards ${this.remote} is ${lost === 'congested' ? 'congested' : 'not connected'}`)
  }

  #close (): void {
    this.#isOver = true
    for (const cancel of [this.#stall, this.#probe, this.#ack]) cancel?.()
    this.#stall = this.#probe = this.#ack = undefined
    this.o.gone()
  }
}
