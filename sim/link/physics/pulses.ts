import { binomial, geometric, poissonDraw } from '../chance/binomial.js'
import type { Xoshiro } from '../chance/xoshiro.js'
import { transmittance } from '../analysis/channel.js'
import type { LinkConfig } from './config.js'
import type { Attack } from './eve.js'
import { CATEGORIES, category } from './law.js'
import type { Basis } from './law.js'

/** Mean number of live gates after which an after-pulse comes: long against every other correlation. */
const AFTERPULSE_MEAN_SLOTS = 40

/** What was chosen for each slot, and which detectors saw light in it (bit b: detector b). */
interface Slots { readonly intensity: Uint8Array, readonly alice: Uint8Array, readonly bits: Uint8Array, readonly bob: Uint8Array, readonly lit: Uint8Array }
interface Pulse { readonly basis: number, readonly bit: number, readonly photons: number, readonly survives: number }

const chance = (random: Xoshiro, p: number): 0 | 1 => random.uniform() < p ? 1 : 0

const choose = (random: Xoshiro, c: LinkConfig, slots: number): Slots => {
  const s = { intensity: new Uint8Array(slots), alice: new Uint8Array(slots), bits: new Uint8Array(slots), bob: new Uint8Array(slots), lit: new Uint8Array(slots) }
  const [p0, p1] = c.source.probabilities
  for (let i = 0; i < slots; i++) {
    const u = random.uniform()
    s.intensity[i] = u < p0! ? 0 : u < p0! + (p1 ?? 1) ? 1 : 2
    s.alice[i] = chance(random, 1 - c.keyBasis)
    s.bits[i] = chance(random, 0.5)
    s.bob[i] = chance(random, 1 - c.keyBasis)
  }
  return s
}

/** What Eve does to one pulse. */
const disturb = (random: Xoshiro, pulse: Pulse, attack: Attack): Pulse => {
  const { eve } = attack
  switch (eve.kind) {
    case 'beam-splitting': return { ...pulse, survives: pulse.survives * (1 - eve.share) }
    case 'intercept-resend': {
      if (chance(random, eve.share) === 0) return pulse
      const basis = chance(random, 0.5)
      return { ...pulse, basis, bit: basis === pulse.basis ? pulse.bit : chance(random, 0.5) }
    }
    case 'photon-number-splitting':
      if (pulse.photons === 1) return { ...pulse, photons: 1 - chance(random, eve.blocked) }
      return pulse.photons === 0 ? pulse : { ...pulse, photons: pulse.photons - 1, survives: attack.lineTransmittance }
    case 'blinding': {
      const basis = chance(random, 0.5), seen = binomial(random, pulse.photons, attack.eveEfficiency) > 0
      return { basis, bit: basis === pulse.basis ? pulse.bit : chance(random, 0.5), photons: seen ? 1 : 0, survives: 1 }
    }
  }
}

/** Sends each pulse, photon by photon, through Eve, fibre, jitter and analyser. */
const send = (random: Xoshiro, c: LinkConfig, s: Slots, attack?: Attack): void => {
  const survives = transmittance(c.fibre.lengthKm, c.fibre.lossDbPerKm, c.fibre.extraLossDb) * c.receiver.efficiency
  const period = 1 / c.source.pulseRateHz, gate = c.receiver.gateS === 0 ? period : c.receiver.gateS
  const blinded = attack?.eve.kind === 'blinding', slots = s.lit.length
  for (let i = 0; i < slots; i++) {
    const sent: Pulse = { basis: s.alice[i]!, bit: s.bits[i]!, photons: poissonDraw(random, c.source.intensities[s.intensity[i]!]!), survives }
    const pulse = attack === undefined ? sent : disturb(random, sent, attack)
    for (let n = 0; n < pulse.photons; n++) {
      if (chance(random, pulse.survives) === 0) continue
      const offset = random.normal() * c.receiver.jitterS, shift = Math.round(offset / period), to = i + shift
      if (Math.abs(offset - shift * period) >= gate / 2 || to < 0 || to >= slots) continue
      const same = s.bob[to] === pulse.basis
      if (blinded && !same) continue // Bright light split between two bases stays below the threshold.
      const error = chance(random, c.source.preparationError) ^ chance(random, c.receiver.misalignment)
      s.lit[to]! |= 1 << (same ? pulse.bit ^ error : chance(random, 0.5))
    }
  }
}

/** Bob's electronics, slot by slot: dark counts, after-pulses, dead time, double clicks. */
const receive = (random: Xoshiro, c: LinkConfig, s: Slots, blinded: boolean): Float64Array => {
  const histogram = new Float64Array(CATEGORIES), pending = new Map<number, number>()
  const deadSlots = Math.round(c.receiver.deadTimeS * c.source.pulseRateHz), p = blinded ? 0 : c.receiver.afterpulse
  const dark = blinded ? 0 : c.receiver.darkPerDetector, ownClass = c.receiver.afterpulseLands === 'own-class'
  let live = 0
  for (let i = 0; i < s.lit.length; i++) {
    live++
    let clicked = s.lit[i]! | chance(random, dark) | (chance(random, dark) << 1)
    const after = pending.get(live)
    if (after !== undefined) { clicked |= after; pending.delete(live) }
    if (clicked === 0) continue
    const double = clicked === 3 ? 1 : 0, bit = double === 1 ? chance(random, 0.5) : clicked >> 1
    const count = (wrong: 0 | 1, twice: 0 | 1): void => {
      const code = category(s.intensity[i]!, s.alice[i]! as Basis, s.bob[i]! as Basis, wrong, twice)
      histogram[code]! += 1
    }
    count((bit ^ s.bits[i]!) as 0 | 1, double)
    if (chance(random, p) === 1) {
      if (ownClass) count(chance(random, 0.5), 0)
      else {
        const when = live + geometric(random, 1 / AFTERPULSE_MEAN_SLOTS)
        pending.set(when, (pending.get(when) ?? 0) | (1 << chance(random, 0.5)))
      }
    }
    i += deadSlots
  }
  return histogram
}

/**
 * The reference: every pulse and every photon by itself, straight from the description of the apparatus and
 * without the probabilities of law.ts, which it is there to check. About 100 ns per slot, for up to some 10^7.
 *
 * @returns Counts by category (64), as `drawHistogram` gives them.
 */
export const simulatePulses = (random: Xoshiro, config: LinkConfig, slots: number, attack?: Attack): Float64Array => {
  const s = choose(random, config, slots)
  send(random, config, s, attack)
  return receive(random, config, s, attack?.eve.kind === 'blinding')
}
