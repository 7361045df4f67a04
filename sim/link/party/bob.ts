import { KmeError } from '../../../src/kernel/errors.js'
import { FieldWriter, bitAt, compact, fieldAt, packedBytes } from '../chance/bits.js'
import { BURSTS_IN_FLIGHT_MAX } from './alice.js'
import { BlockBuilder } from './block.js'
import type { SiftedBlock } from './block.js'
import type { Burst } from './burst.js'
import { INTENSITY_BITS, checkMessage } from './messages.js'
import type { SiftMessage } from './messages.js'

/** His records joined with Alice's intensities, what she keeps, and his test detections by intensity. */
interface Sifted { readonly joined: Uint8Array, readonly keep: Uint8Array, readonly tests: readonly number[] }
interface Open { readonly records: Uint8Array, readonly slots: number, sifted?: Sifted }

/** Bob while sifting: announces his detections, answers Alice's messages, yields blocks equal to hers but for errors. */
export class BobParty {
  private readonly open = new Map<number, Open>()
  private readonly builder: BlockBuilder

  /** @param intensities  Number of intensities of the source, 1 to 3. */
  constructor (private readonly intensities: number, blockBits: number) {
    this.builder = new BlockBuilder(intensities, blockBits)
  }

  /** His records of a burst; they are wiped when it is sifted. @returns the announcement for Alice. @throws KmeError `QUEUE_FULL`. */
  announce (burst: Burst): SiftMessage {
    if (this.open.size >= BURSTS_IN_FLIGHT_MAX) throw new KmeError('QUEUE_FULL', `sifting: ${BURSTS_IN_FLIGHT_MAX} bursts wait for the other side`)
    this.open.set(burst.number, { records: burst.records, slots: burst.slots })
    const count = burst.records.length, bases = new Uint8Array(packedBytes(count))
    for (let i = 0; i < count; i++) bases[i >>> 3]! |= ((burst.records[i]! >>> 1) & 1) << (i & 7)
    return { type: 'detections', burst: burst.number, slots: burst.slots, count, bases }
  }

  /**
   * Answers `sifting` with `test-bits`; `test-errors` ends the burst and may fill a block.
   *
   * @throws KmeError `PROTOCOL` if the message is malformed, unexpected, or contradicts his records.
   */
  receive (message: SiftMessage): { reply?: SiftMessage, block?: SiftedBlock } {
    checkMessage(message)
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
    const count = burst.records.length
    if (m.count !== count) throw new KmeError('PROTOCOL', `sifting: Alice sifts ${m.count} detections, Bob has ${count}`)
    const tests = new Array<number>(this.intensities).fill(0), joined = new Uint8Array(count), mask = new Uint8Array(count)
    let high = 0
    for (let i = 0; i < count; i++) {
      const record = burst.records[i]!, level = fieldAt(m.intensities, INTENSITY_BITS, i)
      if (level > high) high = level
      joined[i] = (record & 3) | (level << 2)
      mask[i] = bitAt(m.keep, i) & (record >>> 1)
    }
    if (high >= this.intensities) throw new KmeError('PROTOCOL', `sifting: there is no intensity ${high}`)
    const opened = compact(joined, mask), bits = new FieldWriter(1, opened.length)
    for (let i = 0; i < opened.length; i++) tests[opened[i]! >>> 2]! += 1
    bits.append(opened, 0)
    burst.sifted = { joined, keep: m.keep, tests }
    return { type: 'test-bits', burst: m.burst, count: opened.length, bits: bits.take() }
  }

  private finish (burst: Open, sifted: Sifted, m: SiftMessage & { type: 'test-errors' }): SiftedBlock | undefined {
    if (m.errors.length !== this.intensities || m.errors.some((n, i) => n > sifted.tests[i]!)) {
      throw new KmeError('PROTOCOL', `sifting: Alice reports impossible errors for burst ${m.burst}`)
    }
    const mask = new Uint8Array(sifted.joined.length)
    for (let i = 0; i < mask.length; i++) mask[i] = bitAt(sifted.keep, i) & ((sifted.joined[i]! >>> 1) & 1 ^ 1)
    this.builder.addKey(compact(sifted.joined, mask))
    sifted.joined.fill(0)
    burst.records.fill(0)
    return this.builder.endBurst({ detections: sifted.tests, errors: m.errors }, burst.slots)
  }
}
