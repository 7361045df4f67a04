import { KmeError } from '../../../src/kernel/errors.js'
import { bitAt, compact, packedBytes } from '../chance/bits.js'
import { BlockBuilder } from './block.js'
import type { SiftedBlock } from './block.js'
import type { Burst } from './burst.js'
import { INTENSITY_BITS, checkMessage } from './messages.js'
import type { SiftMessage } from './messages.js'

/** Bursts of which Bob has not spoken to the end; more are refused. */
export const BURSTS_IN_FLIGHT_MAX = 64

interface Open { readonly records: Uint8Array, readonly slots: number, matched?: Uint8Array }

const zeros = (n: number): number[] => new Array<number>(n).fill(0)

/**
 * Alice while sifting: takes her own records, answers Bob's messages, yields blocks. A party only ever sees
 * its own records and messages.
 */
export class AliceParty {
  private readonly open = new Map<number, Open>()
  private readonly builder: BlockBuilder

  /** @param intensities  Number of intensities of the source, 1 to 3. */
  constructor (private readonly intensities: number, blockBits: number) {
    this.builder = new BlockBuilder(intensities, blockBits)
  }

  /** Her records of a burst. They are wiped when the burst is sifted. @throws KmeError `QUEUE_FULL` beyond BURSTS_IN_FLIGHT_MAX. */
  prepare (burst: Burst): void {
    if (this.open.size >= BURSTS_IN_FLIGHT_MAX) throw new KmeError('QUEUE_FULL', `sifting: ${BURSTS_IN_FLIGHT_MAX} bursts wait for the other side`)
    this.open.set(burst.number, { records: burst.records, slots: burst.slots })
  }

  /**
   * Answers `detections` with `sifting`, and `test-bits` with `test-errors` (which may fill a block).
   *
   * @throws KmeError `PROTOCOL` if the message is malformed, unexpected, or contradicts her records.
   */
  receive (message: SiftMessage): { reply: SiftMessage, block?: SiftedBlock } {
    checkMessage(message)
    const burst = this.open.get(message.burst)
    if (burst === undefined) throw new KmeError('PROTOCOL', `sifting: Bob speaks of burst ${message.burst}, which Alice has not open`)
    if (message.type === 'detections' && burst.matched === undefined) return { reply: this.sift(burst, message) }
    if (message.type === 'test-bits' && burst.matched !== undefined) {
      this.open.delete(message.burst)
      return this.compare(burst, burst.matched, message)
    }
    throw new KmeError('PROTOCOL', `sifting: Bob sent "${message.type}" out of turn for burst ${message.burst}`)
  }

  private sift (burst: Open, m: SiftMessage & { type: 'detections' }): SiftMessage {
    const { records } = burst, count = records.length
    if (m.count !== count || m.slots !== burst.slots) {
      throw new KmeError('PROTOCOL', `sifting: Bob reports ${m.count} detections in ${m.slots} slots, Alice's records have ${count} in ${burst.slots}`)
    }
    const keep = new Uint8Array(packedBytes(count)), intensities = new Uint8Array(packedBytes(count * INTENSITY_BITS))
    for (let i = 0; i < count; i++) {
      const record = records[i]!
      keep[i >>> 3]! |= ((((record >>> 1) & 1) ^ bitAt(m.bases, i)) ^ 1) << (i & 7)
      intensities[i >>> 2]! |= ((record >>> 2) & 3) << ((i & 3) * 2)
    }
    burst.matched = keep
    return { type: 'sifting', burst: m.burst, count, keep: keep.slice(), intensities }
  }

  private compare (burst: Open, matched: Uint8Array, m: SiftMessage & { type: 'test-bits' }): { reply: SiftMessage, block?: SiftedBlock } {
    const detections = zeros(this.intensities), errors = zeros(this.intensities)
    const { records } = burst, keyMask = new Uint8Array(records.length), testMask = new Uint8Array(records.length)
    for (let i = 0; i < records.length; i++) {
      const kept = bitAt(matched, i), test = (records[i]! >>> 1) & 1
      keyMask[i] = kept & (test ^ 1)
      testMask[i] = kept & test
    }
    const tests = compact(records, testMask)
    if (tests.length !== m.count) throw new KmeError('PROTOCOL', `sifting: Bob opens ${m.count} test bits, ${tests.length} were matched`)
    for (let i = 0; i < tests.length; i++) {
      const level = tests[i]! >>> 2
      errors[level]! += (tests[i]! & 1) ^ bitAt(m.bits, i)
      detections[level]! += 1
    }
    this.builder.addKey(compact(records, keyMask))
    records.fill(0)
    const block = this.builder.endBurst({ detections, errors }, burst.slots)
    return { reply: { type: 'test-errors', burst: m.burst, errors }, ...(block === undefined ? {} : { block }) }
  }
}
