import { KmeError } from '../kernel/errors.js'
import { combine, packedBytes } from './bits.js'
import { loadPost } from './native.js'
import { BURSTS_IN_FLIGHT_MAX, checkSiftMessage } from './sift-messages.js'
import type { SiftMessage } from './sift-messages.js'
import { BlockBuilder, countLevels } from './sifted-block.js'
import type { Burst, SiftedBlock } from './sifted-block.js'

interface Planes { readonly bits: Uint8Array, readonly tests: Uint8Array, readonly low: Uint8Array, readonly high: Uint8Array }
interface Open { readonly planes: Planes, readonly count: number, readonly slots: number, matched?: Uint8Array }

/**
 * Alice while sifting: takes her own records, answers Bob's messages, yields blocks. A party only ever sees
 * its own records and messages.
 */
export class SiftAlice {
  private readonly open = new Map<number, Open>()
  private readonly builder: BlockBuilder

  /** @param intensities  Number of intensities of the source, 1 to 3. */
  constructor (private readonly intensities: number, blockBits: number) {
    this.builder = new BlockBuilder(intensities, blockBits)
  }

  get waitingBits (): number { return this.builder.waitingBits }

  /** Her records of a burst, wiped here. @throws KmeError `QUEUE_FULL` beyond BURSTS_IN_FLIGHT_MAX. */
  prepare (burst: Burst): void {
    if (this.open.size >= BURSTS_IN_FLIGHT_MAX) throw new KmeError('QUEUE_FULL', `sifting: ${BURSTS_IN_FLIGHT_MAX} bursts wait for the other side`)
    const { takePlane } = loadPost(), { records } = burst
    const planes = { bits: takePlane(records, 0), tests: takePlane(records, 1), low: takePlane(records, 2), high: takePlane(records, 3) }
    this.open.set(burst.number, { planes, count: records.length, slots: burst.slots })
    records.fill(0)
  }

  /**
   * Answers `detections` with `sifting`, and `test-bits` with `test-errors` (which may fill a block).
   *
   * @throws KmeError `PROTOCOL` if the message is malformed, unexpected, or contradicts her records.
   */
  receive (message: SiftMessage): { reply: SiftMessage, block?: SiftedBlock } {
    checkSiftMessage(message)
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
    const { planes, count, slots } = burst
    if (m.count !== count || m.slots !== slots) {
      throw new KmeError('PROTOCOL', `sifting: Bob reports ${m.count} detections in ${m.slots} slots, Alice's records have ${count} in ${slots}`)
    }
    burst.matched = combine(planes.tests, m.bases, count, 'same')
    return { type: 'sifting', burst: m.burst, count, keep: burst.matched.slice(), low: planes.low, high: planes.high }
  }

  private compare (burst: Open, matched: Uint8Array, m: SiftMessage & { type: 'test-bits' }): { reply: SiftMessage, block?: SiftedBlock } {
    const { selectBits, countBoth } = loadPost(), { planes, count } = burst
    const keyMask = combine(matched, planes.tests, count, 'andNot'), testMask = combine(matched, planes.tests, count, 'and')
    const tests = countBoth(testMask, testMask, count)
    if (tests !== m.count) throw new KmeError('PROTOCOL', `sifting: Bob opens ${m.count} test bits, ${tests} were matched`)
    const chosen = (plane: Uint8Array): Uint8Array => {
      const out = new Uint8Array(packedBytes(tests))
      selectBits(plane, testMask, count, out, 0)
      return out
    }
    const low = chosen(planes.low), high = chosen(planes.high), all = chosen(testMask)
    const errors = countLevels(combine(chosen(planes.bits), m.bits, tests, 'xor'), low, high, tests, this.intensities)
    const detections = countLevels(all, low, high, tests, this.intensities)
    const block = this.builder.addBurst(planes.bits, keyMask, planes.low, planes.high, count, { detections, errors }, burst.slots)
    planes.bits.fill(0)
    return { reply: { type: 'test-errors', burst: m.burst, errors }, ...(block === undefined ? {} : { block }) }
  }
}
