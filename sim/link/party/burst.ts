import { AliasTable } from '../chance/alias.js'
import type { Xoshiro } from '../chance/xoshiro.js'
import { drawDetections } from '../physics/draw.js'
import type { ReceiverState } from '../physics/draw.js'
import { slotLaw } from '../physics/law.js'
import type { SlotLaw } from '../physics/law.js'
import type { LinkConfig } from '../physics/config.js'
import type { Attack } from '../physics/eve.js'

/**
 * One side's records of the detections of a burst, one byte each: bit 0 the bit, bit 1 the basis (0 key, 1
 * test), at Alice bits 2-3 the intensity. Secret.
 */
export interface Burst { readonly number: number, readonly slots: number, readonly records: Uint8Array }

/**
 * The quantum part of a link as a stream of bursts: what Alice's electronics know of the pulses that Bob
 * detected, and what Bob's know. Deterministic in the seed and the sequence of calls.
 */
export class BurstSource {
  private number = 0
  private readonly state: ReceiverState = { deadSlots: 0 }
  private law!: SlotLaw
  private table!: AliasTable | undefined

  constructor (private readonly random: Xoshiro, config: LinkConfig, attack?: Attack) { this.setConditions(config, attack) }

  /** From the next burst on: drift, a cut, Eve. */
  setConditions (config: LinkConfig, attack?: Attack): void {
    this.law = slotLaw(config, attack)
    this.table = this.law.clickProbability > 0 ? new AliasTable(this.law.outcomes) : undefined
  }

  /** The next `slots` slots. */
  next (slots: number): { alice: Burst, bob: Burst } {
    const codes = this.table === undefined ? new Uint8Array(0) : drawDetections(this.random, slots, this.law, this.state, this.table)
    const coins = this.random.fill(new Uint8Array((codes.length + 7) >>> 3))
    const alice = new Uint8Array(codes.length), bob = new Uint8Array(codes.length)
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]!, bit = (coins[i >>> 3]! >>> (i & 7)) & 1
      alice[i] = bit | ((code >>> 1) & 2) | ((code & 3) << 2)
      bob[i] = (bit ^ ((code >>> 4) & 1)) | ((code >>> 2) & 2)
    }
    const number = this.number++
    return { alice: { number, slots, records: alice }, bob: { number, slots, records: bob } }
  }
}
