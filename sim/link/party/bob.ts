import { KmeError } from '../../../src/kernel/errors.js'
import { FieldWriter, bitAt, fieldAt, packedBytes } from '../chance/bits.js'
import { BURSTS_IN_FLIGHT_MAX } from './alice.js'
import { BlockBuilder } from './block.js'
import type { SiftedBlock } from './block.js'
import type { Burst } from './burst.js'
import { INTENSITY_BITS, checkMessage } from './messages.js'
import type { SiftMessage } from './messages.js'

interface Open { readonly records: Uint8Array, readonly slots: number, sifted?: { readonly keep: Uint8Array, readonly intensities: Uint8Array, readonly tests: readonly number[] } }

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
    const bits = new FieldWriter(1, count), tests = new Array<number>(this.intensities).fill(0)
    for (let i = 0; i < count; i++) {
      const level = fieldAt(m.intensities, INTENSITY_BITS, i)
      if (level >= this.intensities) throw new KmeError('PROTOCOL', `sifting: there is no intensity ${level}`)
      if (bitAt(m.keep, i) === 0 || (burst.records[i]! & 2) === 0) continue
      bits.push(burst.records[i]! & 1)
      tests[level]! += 1
    }
    burst.sifted = { keep: m.keep, intensities: m.intensities, tests }
    const length = bits.length
    return { type: 'test-bits', burst: m.burst, count: length, bits: bits.take() }
  }

  private finish (burst: Open, sifted: NonNullable<Open['sifted']>, m: SiftMessage & { type: 'test-errors' }): SiftedBlock | undefined {
    if (m.errors.length !== this.intensities || m.errors.some((n, i) => n > sifted.tests[i]!)) {
      throw new KmeError('PROTOCOL', `sifting: Alice reports impossible errors for burst ${m.burst}`)
    }
    for (let i = 0; i < burst.records.length; i++) {
      const record = burst.records[i]!
      if ((record & 2) === 0 && bitAt(sifted.keep, i) === 1) this.builder.addKeyBit(record & 1, fieldAt(sifted.intensities, INTENSITY_BITS, i))
    }
    burst.records.fill(0)
    return this.builder.endBurst({ detections: sifted.tests, errors: m.errors }, burst.slots)
  }
}
