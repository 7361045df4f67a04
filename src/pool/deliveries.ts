import type { KeyPool } from './key-pool.js'
import type { EncKeysRequest } from './service.js'

const KEPT = 1_024

export interface Delivery {
  /** Its number in the audit trail. */
  readonly number: number
  readonly request: EncKeysRequest, readonly pool: KeyPool, readonly association: number
  /** Where its first key lies. */
  readonly block: number, readonly place: number
  /** Takes the keys back at further KMEs that have them. */
  readonly takeBack: (() => void) | undefined
}

/** What the last deliveries were, so that an aborted answer can be booked. To keep one costs no look-up; an abort, which is rare, walks. */
export class Deliveries {
  private readonly kept: (Delivery | undefined)[] = []
  private next = 0

  keep (delivery: Delivery): void {
    this.kept[this.next] = delivery
    this.next = (this.next + 1) % KEPT
  }

  take (number: number): Delivery | undefined {
    const at = this.kept.findIndex((delivery) => delivery?.number === number)
    const found = this.kept[at]
    if (found !== undefined) this.kept[at] = undefined
    return found
  }
}
