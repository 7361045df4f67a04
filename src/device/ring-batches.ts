import { invariant } from '../kernel/errors.js'
import { DRAIN_RECORDS_MAX, META_NUMBERS, RECORD_STRIDE } from './native.js'

/** Up to which of its frames a device is told that everything is done with: epoch (low half) and sequence. */
export interface DurableMark { readonly epoch: number, readonly sequence: number }

/** Sealed records of one drain: record i is at records[i * RECORD_STRIDE], meta[i * META_NUMBERS] is its length. */
export interface RingBatch {
  /** 0: the drain took frames, but none to store (repeats, refusals). */
  readonly count: number
  /** What the device is told by `acknowledge`: must be durable first, so that a store can see later that it is an old copy. */
  readonly mark: DurableMark
  /** Ciphertext behind 64-byte record headers. Borrowed until `release` or `acknowledge`. */
  readonly records: Uint8Array
  readonly meta: Uint32Array
  /** Records and meta were copied, but are not durable yet: the next drain may have their memory. */
  release (): void
  /** The batch is durable: the device is told as soon as all earlier batches are durable too. Once, in any order. */
  acknowledge (): void
}

interface Buffers { readonly records: Uint8Array, readonly meta: Uint32Array }
interface Ticket { readonly number: number, done: boolean }

/** Batches that are durable but wait for an earlier one, and, of these and the others, what the ring can number. */
const TICKETS_MAX = 48
/**
 * Batches that are in the store's hands and not durable. A commit of the data file syncs twice whatever its size, so that the
 * more of them come together, the faster the disk is; two rows of four keep it busy.
 */
const STORING_MAX = 8

/**
 * The batches under way, acknowledged to the device in the order of the drains. Memory for records: `buffersMax` times 1 MiB,
 * used again as soon as the store has copied them.
 */
export class RingBatches {
  private readonly free: Buffers[] = []
  private readonly tickets: Ticket[] = []
  private made = 0
  private unfinished = 0

  /**
   * @param acknowledge Tells the ring that everything up to a ticket is durable.
   * @param onFree There is room for a drain again.
   */
  constructor (private readonly buffersMax: number, private readonly acknowledge: (ticket: number) => void, private readonly onFree: () => void) {}

  /** Batches that are not acknowledged. */
  get inFlight (): number { return this.unfinished }

  /** Buffers for a drain, or undefined while the store is behind. */
  borrow (): Buffers | undefined {
    if (this.tickets.length >= TICKETS_MAX || this.unfinished >= this.buffersMax + STORING_MAX) return undefined
    const buffers = this.free.pop()
    if (buffers !== undefined || this.made >= this.buffersMax) return buffers
    this.made += 1
    return { records: new Uint8Array(DRAIN_RECORDS_MAX * RECORD_STRIDE), meta: new Uint32Array(DRAIN_RECORDS_MAX * META_NUMBERS) }
  }

  /** The drain took nothing. */
  giveBack (buffers: Buffers): void { this.free.push(buffers) }

  /** The drain wrote `count` records. */
  issue (buffers: Buffers, count: number, ticket: number, mark: DurableMark): RingBatch {
    const mine: Ticket = { number: ticket, done: false }
    this.tickets.push(mine)
    this.unfinished += 1
    let lent = true
    const release = (): void => {
      invariant(lent, 'the memory of a batch is given back once')
      lent = false
      this.free.push(buffers)
      this.onFree()
    }
    return {
      count,
      mark,
      records: buffers.records,
      meta: buffers.meta,
      release,
      acknowledge: () => {
        invariant(!mine.done, 'a batch is acknowledged once')
        mine.done = true
        this.unfinished -= 1
        this.advance()
        if (lent) release()
        else this.onFree()
      },
    }
  }

  private advance (): void {
    let last: Ticket | undefined
    while (this.tickets[0]?.done === true) last = this.tickets.shift()
    if (last !== undefined) this.acknowledge(last.number)
  }
}
