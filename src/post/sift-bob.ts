import { KmeError } from '../kernel/errors.js'
import { combine, packedBytes } from './bits.js'
import { loadPost } from './native.js'
import { BURSTS_IN_FLIGHT_MAX, checkSiftMessage } from './sift-messages.js'
import type { SiftMessage } from './sift-messages.js'
import { BlockBuilder, countLevels } from './sifted-block.js'
import type { Burst, SiftedBlock } from './sifted-block.js'

/** What Alice said of a burst, and his test detections by intensity. */
interface Sifted { readonly keep: Uint8Array, readonly low: Uint8Array, readonly high: Uint8Array, readonly tests: readonly number[] }
interface Open { readonly bits: Uint8Array, readonly bases: Uint8Array, readonly count: number, readonly slots: number, sifted?: Sifted }

/** Bob while sifting: announces his detections, answers Alice's messages, yields blocks equal to hers but for errors. */
export class SiftBob {
  private readonly open = new Map<number, Open>()
  private readonly builder: BlockBuilder

  /** @param intensities  Number of intensities of the source, 1 to 3. */
  constructor (private readonly intensities: number, blockBits: number) {
    this.builder = new BlockBuilder(intensities, blockBits)
  }

  get waitingBits (): number { return this.builder.waitingBits }

  /** His records of a burst, wiped here. @returns the announcement for Alice. @throws KmeError `QUEUE_FULL`. */
  announce (burst: Burst): SiftMessage {
    if (this.open.size >= BURSTS_IN_FLIGHT_MAX) throw new KmeError('QUEUE_FULL', `sifting: ${BURSTS_IN_FLIGHT_MAX} bursts wait for the other side`)
    const { takePlane } = loadPost(), { records, number, slots } = burst
    const bases = takePlane(records, 1)
    this.open.set(number, { bits: takePlane(records, 0), bases, count: records.length, slots })
    const count = records.length
    records.fill(0)
    return { type: 'detections', burst: number, slots, count, bases }
  }

  /**
   * Answers `sifting` with `test-bits`; `test-errors` ends the burst and may fill a block.
   *
   * @throws KmeError `PROTOCOL` if the message is malformed, unexpected, or contradicts his records.
   */
  receive (message: SiftMessage): { reply?: SiftMessage, block?: SiftedBlock } {
    checkSiftMessage(message)
    const burst = this.open.get(message.burst)
    if (burst === undefined) throw new KmeError('PROTOCOL', `sifting: Alice speaks of burst ${message.burst}, which Bob has not open`)
    if (message.type === 'sifting' && burst.sifted === undefined) return { reply: this.openTestBits(burst, message) }
    if (message.type === 'test-errors' && burst.sifted !== undefined) {
      const block = this.finish(burst, burst.sifted, message)
      this.open.delete(message.burst)
      return block === undefined ? {} : { block }
    }
    throw new KmeError('PROTOCOL', `sifting: Alice sent "${message.type}" out of turn for burst ${message.burst}`)
  }

  private openTestBits (burst: Open, m: SiftMessage & { type: 'sifting' }): SiftMessage {
    const { selectBits, countBoth } = loadPost(), { count, bases, bits } = burst
    if (m.count !== count) throw new KmeError('PROTOCOL', `sifting: Alice sifts ${m.count} detections, Bob has ${count}`)
    const beyond = this.intensities < 2 ? countBoth(m.low, m.low, count) + countBoth(m.high, m.high, count)
      : this.intensities < 3 ? countBoth(m.high, m.high, count) : countBoth(m.low, m.high, count)
    if (beyond > 0) throw new KmeError('PROTOCOL', `sifting: ${beyond} pulses have an intensity that the source does not have`)
    const mask = combine(m.keep, bases, count, 'and'), opened = countBoth(mask, mask, count)
    const chosen = new Uint8Array(packedBytes(opened))
    selectBits(bits, mask, count, chosen, 0)
    burst.sifted = { keep: m.keep, low: m.low, high: m.high, tests: countLevels(mask, m.low, m.high, count, this.intensities) }
    return { type: 'test-bits', burst: m.burst, count: opened, bits: chosen }
  }

  private finish (burst: Open, sifted: Sifted, m: SiftMessage & { type: 'test-errors' }): SiftedBlock | undefined {
    if (m.errors.length !== this.intensities || m.errors.some((n, i) => n > sifted.tests[i]!)) {
      throw new KmeError('PROTOCOL', `sifting: Alice reports impossible errors for burst ${m.burst}`)
    }
    const { bits, bases, count, slots } = burst, mask = combine(sifted.keep, bases, count, 'andNot')
    const block = this.builder.addBurst(bits, mask, sifted.low, sifted.high, count, { detections: sifted.tests, errors: m.errors }, slots)
    bits.fill(0)
    return block
  }
}
