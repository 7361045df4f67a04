import { invariant } from '../../../src/kernel/errors.js'
import { AliasTable } from '../chance/alias.js'
import { binomial, geometric, multinomial } from '../chance/binomial.js'
import type { Xoshiro } from '../chance/xoshiro.js'
import { CATEGORIES } from './law.js'
import type { SlotLaw } from './law.js'

/** What one stretch of slots leaves for the next: slots for which the receiver is still blind. */
export interface ReceiverState { deadSlots: number }

/**
 * Number of clicks in `slots` slots with dead time, drawn exactly: of the slots left, so many are tried at
 * once that even if each clicked, all their dead times would fit; so nothing has to be taken back. Costs
 * about (1 + d) / (1 + d p) binomials for each factor e in `slots`.
 *
 * @param state  Carries dead time over from the stretch before, and on to the next.
 */
export const drawClicks = (random: Xoshiro, slots: number, law: SlotLaw, state: ReceiverState): number => {
  invariant(Number.isSafeInteger(slots) && slots >= 0, `a whole number of slots, got ${slots}`)
  const d = law.deadSlots, p = law.clickProbability
  const blind = Math.min(state.deadSlots, slots)
  let left = slots - blind, clicks = 0
  state.deadSlots -= blind
  if (d === 0) return binomial(random, left, p)
  while (left >= 1 + d) {
    const tried = Math.floor(left / (1 + d)), found = binomial(random, tried, p)
    left -= tried + d * found
    clicks += found
  }
  // Fewer slots than one dead time: at most one more click.
  if (left > 0) {
    const wait = geometric(random, p)
    if (wait <= left) {
      clicks++
      state.deadSlots = d - (left - wait)
    }
  }
  return clicks
}

/** All detections of a stretch: clicks, and after-pulses counted with their cause. */
const drawTotal = (random: Xoshiro, slots: number, law: SlotLaw, state: ReceiverState): number => {
  const clicks = drawClicks(random, slots, law, state)
  return clicks + binomial(random, clicks, law.repeat)
}

/** Counts by category (64) of a stretch, in time that does not depend on its length. */
export const drawHistogram = (random: Xoshiro, slots: number, law: SlotLaw, state: ReceiverState): Float64Array => {
  const out = new Float64Array(CATEGORIES)
  const detections = drawTotal(random, slots, law, state)
  if (detections > 0) multinomial(random, detections, law.outcomes, out)
  return out
}

/**
 * The detections of a stretch one by one, in order, as category numbers. The same law as `drawHistogram`:
 * given their number, categories are independent.
 */
export const drawDetections = (random: Xoshiro, slots: number, law: SlotLaw, state: ReceiverState, table = new AliasTable(law.outcomes)): Uint8Array => {
  const out = new Uint8Array(drawTotal(random, slots, law, state))
  table.fill(random, out)
  return out
}
