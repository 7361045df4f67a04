import type { SaeId } from '../kernel/ids.js'
import type { KeyPool } from './key-pool.js'

const KEPT = 1_024
const WORDS = 4

export interface Delivery {
  /** Its number in the audit trail, from 1. */
  readonly number: number
  readonly pool: KeyPool, readonly caller: SaeId, readonly slave: SaeId, readonly association: number
  /** Where its first key lies. */
  readonly block: number, readonly place: number
  readonly keys: number, readonly sizeBytes: number
  /** Takes the keys back at further KMEs that have them. */
  readonly takeBack: (() => void) | undefined
}

/**
 * What the last deliveries were, so that an aborted answer can be booked. To keep one costs no look-up and leaves no object behind
 * that outlives the request, which the collector would have to carry along; an abort, which is rare, walks.
 */
export class Deliveries {
  private readonly numbers = new Float64Array(KEPT)
  private readonly blocks = new Float64Array(KEPT)
  private readonly words = new Uint32Array(KEPT * WORDS)
  private readonly pools = new Array<KeyPool | undefined>(KEPT).fill(undefined)
  private readonly callers = new Array<SaeId>(KEPT).fill('')
  private readonly slaves = new Array<SaeId>(KEPT).fill('')
  private readonly takeBacks = new Array<(() => void) | undefined>(KEPT).fill(undefined)
  private next = 0

  keep (d: Delivery): void {
    const at = this.next, w = at * WORDS, { words } = this
    this.numbers[at] = d.number
    this.pools[at] = d.pool
    this.callers[at] = d.caller
    this.slaves[at] = d.slave
    this.takeBacks[at] = d.takeBack
    this.blocks[at] = d.block
    words[w] = d.association
    words[w + 1] = d.place
    words[w + 2] = d.keys
    words[w + 3] = d.sizeBytes
    this.next = (at + 1) % KEPT
  }

  /** Each is taken once. */
  take (number: number): Delivery | undefined {
    const at = this.numbers.indexOf(number), pool = this.pools[at]
    if (pool === undefined) return undefined
    this.pools[at] = undefined
    const [association, place, keys, sizeBytes] = this.words.subarray(at * WORDS) as unknown as [number, number, number, number]
    return { number, pool, caller: this.callers[at]!, slave: this.slaves[at]!, association, block: this.blocks[at]!, place, keys, sizeBytes, takeBack: this.takeBacks[at] }
  }
}
