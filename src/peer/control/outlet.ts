import type { KmeId } from '../../kernel/ids.js'
import type { Cancel, Clock } from '../../kernel/time.js'
import type { Body } from '../messages.js'
import type { PeerChannel } from '../ports.js'
import type { TunnelLimits } from './limits.js'

/** What travels through neighbours. */
export type Parcel =
  | { readonly name: 'tunnel', readonly body: Body<'tunnel'> }
  | { readonly name: 'tunnelFault', readonly body: Body<'tunnelFault'> }

interface Waiting { readonly parcel: Parcel, readonly bytes: number, readonly sinceMs: number, readonly lost: (why: LossReason) => void }

export type LossReason = 'unroutable' | 'congested'

/** Fields and path of a parcel beside its bytes, for the account: a path of 32 long names is the worst. */
const overheadOf = (path: readonly KmeId[]): number => 64 + path.reduce((sum, id) => sum + id.length + 2, 0)
const bytesOf = ({ name, body }: Parcel): number => overheadOf(body.path) + (name === 'tunnel' ? body.bytes.length : 0)
const sourceOf = ({ body }: Parcel): KmeId => body.path[0] as KmeId

/**
 * The way to one neighbour for tunnel frames, in order. What finds no room or no tag waits here, within bounds: a channel has
 * moments without a pad while the next ones are marked as spent. No source can take the whole queue.
 */
export class Outlet {
  readonly #queue: Waiting[] = []
  readonly #bytesOf = new Map<KmeId, number>()
  #bytes = 0
  #cancel: Cancel | undefined

  constructor (private readonly self: KmeId, private readonly channel: PeerChannel, private readonly clock: Clock, private readonly limits: TunnelLimits) {}

  get waitingBytes (): number { return this.#bytes }

  /**
   * Sends, or keeps for later. Our own frames are bounded by the windows of our sessions, so they always have a place.
   *
   * @param lost Called at most once, later, if a kept frame cannot be sent.
   * @returns '' or why it was not taken.
   */
  put (parcel: Parcel, lost: (why: LossReason) => void): '' | LossReason {
    if (this.#queue.length === 0) {
      const answer = this.channel.send(parcel.name, parcel.body)
      if (answer === 'sent') return ''
      if (answer === 'closed') return 'unroutable'
    }
    const bytes = bytesOf(parcel), source = sourceOf(parcel)
    const ofSource = this.#bytesOf.get(source) ?? 0
    if (source !== this.self && (this.#bytes + bytes > this.limits.queueBytesMax || ofSource + bytes > this.limits.sourceBytesMax)) return 'congested'
    this.#queue.push({ parcel, bytes, sinceMs: this.clock.monoMs(), lost })
    this.#bytes += bytes
    this.#bytesOf.set(source, ofSource + bytes)
    this.#retryLater()
    return ''
  }

  /** The channel may have room again. */
  readonly flush = (): void => {
    this.#cancel?.()
    this.#cancel = undefined
    const oldestMs = this.clock.monoMs() - this.limits.queueAgeMaxMs
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const answer = first.sinceMs < oldestMs ? 'late' : this.channel.send(first.parcel.name, first.parcel.body)
      if (answer === 'full' || answer === 'no-pad') break
      this.#remove()
      if (answer !== 'sent') first.lost(answer === 'late' ? 'congested' : 'unroutable')
    }
    if (this.#queue.length > 0) this.#retryLater()
  }

  /** The channel has ended: everything that waits is lost. */
  close (): void {
    this.#cancel?.()
    this.#cancel = undefined
    const lost = this.#queue.splice(0)
    this.#bytes = 0
    this.#bytesOf.clear()
    for (const waiting of lost) waiting.lost('unroutable')
  }

  #remove (): void {
    const first = this.#queue.shift() as Waiting
    const source = sourceOf(first.parcel)
    const left = (this.#bytesOf.get(source) ?? 0) - first.bytes
    this.#bytes -= first.bytes
    if (left > 0) this.#bytesOf.set(source, left)
    else this.#bytesOf.delete(source)
  }

  #retryLater (): void { this.#cancel ??= this.clock.after(this.limits.retryMs, this.flush) }
}
