import type { Burst } from '../../../src/post/sifted-block.js'
import { AliasTable } from '../chance/alias.js'
import type { Xoshiro } from '../chance/xoshiro.js'
import { drawDetections } from '../physics/draw.js'
import type { ReceiverState } from '../physics/draw.js'
import { CATEGORIES, slotLaw } from '../physics/law.js'
import type { SlotLaw } from '../physics/law.js'
import type { LinkConfig } from '../physics/config.js'
import type { Attack } from '../physics/eve.js'

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

  /** The next `slots` slots; `histogram` counts them by category, as only the simulation knows. */
  next (slots: number): { alice: Burst, bob: Burst, histogram: Float64Array } {
    const codes = this.table === undefined ? new Uint8Array(0) : drawDetections(this.random, slots, this.law, this.state, this.table)
    const coins = this.random.fill(new Uint8Array((codes.length + 7) >>> 3))
    const alice = new Uint8Array(codes.length), bob = new Uint8Array(codes.length), histogram = new Float64Array(CATEGORIES)
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]!, bit = (coins[i >>> 3]! >>> (i & 7)) & 1
      alice[i] = bit | ((code >>> 1) & 2) | ((code & 3) << 2)
      histogram[code]! += 1
      bob[i] = (bit ^ ((code >>> 4) & 1)) | ((code >>> 2) & 2)
    }
    const number = this.number++
    return { alice: { number, slots, records: alice }, bob: { number, slots, records: bob }, histogram }
  }
}
