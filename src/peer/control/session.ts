import type { KmeId } from '../../kernel/ids.js'
import type { Cancel, Clock } from '../../kernel/time.js'
import { invariant } from '../../kernel/errors.js'
import { TUNNEL_BYTES_MAX, type Body } from '../messages.js'
import type { CloseReason } from '../refusal.js'
import type { TunnelLimits } from './limits.js'
import { MoveProof } from './move-proof.js'
import type { OtherWay, Path, Tunnel, TunnelEvents } from './ports.js'

export interface SessionOptions {
  readonly path: Path
  /** 16 bytes, drawn by the end that opened it. */
  readonly id: Uint8Array
  readonly clock: Clock
  readonly limits: TunnelLimits
  /** Hands a frame to the first neighbour on its path; '' or why it is lost. */
  readonly post: (body: Body<'tunnel'>) => '' | 'unroutable' | 'congested'
  /** Whether a piece may go now to the first node of the path (pace.ts); `wake` is called when it may be asked again. */
  readonly mayPost: (first: KmeId, wake: () => void) => boolean
  /** The session is over, before its events are told. */
  readonly gone: () => void
  /** Of the end that opened it: where else to go. Absent at the other end, which follows. */
  readonly otherWay?: OtherWay | undefined
  /** It is on another path now. */
  readonly moved: (path: Path) => void
}

const nothing = new Uint8Array()
const deaf: TunnelEvents = { data: () => {}, writable: () => {}, ended: () => {} }

/**
 * One end of a tunnel. Pieces are numbered without gaps in each direction; a lost, repeated or reordered piece ends the
 * session, because whoever is above begins anew and resends what was not acknowledged. At most a window of pieces is under way,
 * so that a slow end fills no memory on the way.
 *
 * A path that breaks ends nothing once both ends can prove who they are (`allowMoves`): the opener goes over to another path, says so
 * with a proof, and both ends send again what is not acknowledged. Until then both wait, sending nothing, for a bounded time.
 */
export class TunnelSession implements Tunnel {
  readonly remote: KmeId
  path: Path
  /** In hexadecimal. */
  readonly id: string
  events: TunnelEvents = deaf
  /** What may still come over the path before this one is late, not wrong. */
  formerPath: Path = []
  #sent = 0
  #acknowledged = 0
  #received = 0
  #consumed = 0
  #told = 0
  #isOver = false
  #isFull = false
  /** Pieces that may have to go out again: at most a window. */
  #kept: Uint8Array[] = []
  #proof: MoveProof | undefined
  #moves = 0
  /** The path is broken, and there is no other yet: nothing goes out. */
  #isStuck = false
  /** On a path that has not brought an answer yet. */
  #isMoving = false
  /** After a move, pieces up to this number may come again, each once. */
  #repeatsTo = 0
  #repeated = 0
  #stall: Cancel | undefined
  #probe: Cancel | undefined
  #ack: Cancel | undefined
  #patience: Cancel | undefined

  constructor (private readonly o: SessionOptions) {
    this.path = o.path
    this.id = Buffer.from(o.id).toString('hex')
    this.remote = o.path.at(-1) as KmeId
  }

  get isOver (): boolean { return this.#isOver }
  /** It waits for another path. */
  get isStuck (): boolean { return this.#isStuck }

  send (bytes: Uint8Array): boolean {
    invariant(bytes.length >= 1 && bytes.length <= TUNNEL_BYTES_MAX, 'a piece of a tunnel has 1 to 16384 bytes')
    if (this.#isOver) return false
    if (this.#sent - this.#acknowledged >= this.o.limits.windowPieces || !this.o.mayPost(this.path[1] as KmeId, this.#wake)) {
      this.#isFull = true
      return false
    }
    this.#sent++
    this.#kept.push(bytes)
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
    if (this.#isOver || this.#isStuck || this.#probe !== undefined) return
    this.#startProbe()
    this.#post('probe', 0, nothing)
  }

  allowMoves (key: Uint8Array): void { this.#proof = new MoveProof(key) }

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
    if (!this.#isStuck) this.#settle()
    if (body.ack > this.#sent) { this.abort('malformed', 'an acknowledgement of what was never sent'); return }
    if (body.kind === 'data') this.#onData(body)
    else if (body.kind === 'end') { this.lost('closed', `${this.remote} has ended the session`); return }
    else if (body.kind === 'probe') this.#post('ack', 0, nothing)
    this.#onAck(body.ack)
  }

  // --- another path ---------------------------------------------------------------------------------------------------

  /** The path does not carry any more: frames of ours were lost. */
  broken (text: string): void {
    if (this.#isOver || this.#isMoving) return // On a new path its probe decides: what is said now may be meant for the former.
    if (this.#proof === undefined) { this.lost('network', text); return }
    this.#getStuck(text)
    this.move()
  }

  /** Goes over to another path, if this end chooses it and there is one. @returns whether. */
  move (): boolean {
    const proof = this.#proof, path = this.#isOver || proof === undefined ? undefined : this.o.otherWay?.(this.path)
    if (path === undefined || proof === undefined) return false
    this.#moves++
    this.#takePath(path)
    this.#isMoving = true
    this.#probe?.()
    this.#startProbe()
    this.#post('move', this.#moves, proof.make(this.o.id, this.#moves, path))
    this.#repeat()
    return true
  }

  /** The opener says that it has taken another path. @returns whether it proves that. */
  follow (body: Body<'tunnel'>): boolean {
    const { seq, ack, path, bytes } = body
    if (this.#isOver || this.o.otherWay !== undefined || seq <= this.#moves || this.#proof?.fits(this.o.id, seq, path, bytes) !== true) return false
    if (ack > this.#sent) { this.abort('malformed', 'an acknowledgement of what was never sent'); return true }
    this.#moves = seq
    this.#isStuck = true // What the acknowledgement lets go out has its place behind what goes out again.
    this.#onAck(ack)
    if (this.#isOver) return true
    this.#takePath([...path].reverse())
    this.#settle()
    this.#post('ack', 0, nothing)
    this.#repeat()
    return true
  }

  #takePath (path: Path): void {
    const isOther = path.length !== this.path.length || path.some((kme, i) => kme !== this.path[i])
    if (isOther) this.formerPath = this.path
    this.path = path
    this.#isStuck = false
    this.#repeatsTo = this.#received
    this.#repeated = 0
    if (isOther) this.o.moved(path)
  }

  #repeat (): void {
    const first = this.#acknowledged + 1
    for (const [i, bytes] of [...this.#kept].entries()) this.#post('data', first + i, bytes)
  }

  #getStuck (text: string): void {
    this.#isStuck = true
    this.#isMoving = false
    this.#probe?.()
    this.#probe = undefined
    this.#patience ??= this.o.clock.after(this.o.limits.patienceMs, () => { this.abort('network', text) })
  }

  /** The path carries. */
  #settle (): void {
    this.#isMoving = false
    for (const cancel of [this.#probe, this.#patience]) cancel?.()
    this.#probe = this.#patience = undefined
  }

  #startProbe (): void {
    this.#probe = this.o.clock.after(this.o.limits.probeMs, () => {
      const text = `${this.remote} cannot be reached any more over ${this.path.join(' ')}`
      this.#isMoving = false
      if (this.#proof === undefined) this.abort('network', text)
      else this.broken(text)
    })
  }

  // --- pieces ---------------------------------------------------------------------------------------------------------

  #onData ({ seq, bytes }: Body<'tunnel'>): void {
    if (seq <= this.#repeatsTo && seq > this.#repeated) { this.#repeated = seq; return }
    if (seq !== this.#received + 1) { this.abort(seq <= this.#received ? 'replayed' : 'gap', `piece ${seq} after ${this.#received}`); return }
    if (seq - this.#consumed > this.o.limits.windowPieces) { this.abort('refused', 'more was sent than the window allows'); return }
    if (bytes.length === 0) { this.abort('malformed', 'an empty piece'); return }
    this.#received = seq
    this.#repeatsTo = 0
    this.events.data(bytes)
  }

  #onAck (ack: number): void {
    if (this.#isOver || ack <= this.#acknowledged) return
    this.#kept.splice(0, ack - this.#acknowledged)
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
    if (this.#isOver) return
    if (this.#isStuck && kind !== 'end') return // It goes out with the move.
    this.#told = this.#consumed
    const lost = this.o.post({ path: [...this.path], hop: 1, session: this.o.id, kind, seq, ack: this.#consumed, bytes })
    if (lost === '' || kind === 'end') return
    const text = `the next node towards ${this.remote} is ${lost === 'congested' ? 'congested' : 'not connected'}`
    if (lost === 'congested') this.lost('network', text)
    else this.broken(text)
  }

  #close (): void {
    this.#isOver = true
    this.#kept = []
    for (const cancel of [this.#stall, this.#probe, this.#ack, this.#patience]) cancel?.()
    this.#stall = this.#probe = this.#ack = this.#patience = undefined
    this.o.gone()
  }
}
