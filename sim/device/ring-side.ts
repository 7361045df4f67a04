import { invariant } from '../../src/kernel/errors.js'
import {
  FLAWS, PLAN, PLAN_NUMBERS, PRODUCER, PRODUCER_NUMBERS, SIDE_STATE,
  type NativeAddon, type NativeFrameSource, type NativeRingProducer,
} from '../../src/device/native.js'

export interface BlockShape { readonly frameBytes: number, readonly blockFrames: number }

export interface SideOptions {
  readonly addon: NativeAddon
  readonly path: string
  readonly linkId: number
  readonly macKeyPath?: string
  readonly source: NativeFrameSource
  readonly shape: BlockShape
  /** Frames are counted from 0 at the start of the process: frame f lies in block firstBlock + floor(f / blockFrames). */
  readonly firstBlock: number
  /** Where key blocks were dropped: the first frame at or after `frame` that exists, and whether something was left out. */
  readonly skipDropped: (frame: number) => number
  readonly onSpace: () => void
}

export interface SideFaults { flaw: typeof FLAWS[number], flawFrames: number, replayBlocks: number, testFrames: number }

const FLAG_TEST = 4, FLAG_ABORTED = 8, FLAG_GAP = 16
/** The name of frames that carry no key. */
const TEST_BLOCK = 2 ** 52
/** Blocks that are written and not yet known to be durable. At this bound the side waits. */
const IN_FLIGHT_MAX = 16_384

/** One end of the link: its place in the stream of frames, its ring, and what goes wrong with it. */
export class RingSide {
  readonly faults: SideFaults = { flaw: 'none', flawFrames: 0, replayBlocks: 0, testFrames: 0 }
  readonly counts = { frames: 0, bytes: 0, attaches: 0, gaps: 0 }
  /** Next frame to write. */
  cursor = 0
  /** Every block below this is durable at this end. */
  durableBlock: number
  lastError = ''
  private producer: NativeRingProducer | undefined
  private sequence = 1
  private gapPending = false
  private readonly state = new Float64Array(PRODUCER_NUMBERS)
  private readonly plan = new Float64Array(PLAN_NUMBERS)
  private inFlight: { block: number, sequence: number }[] = []

  constructor (private readonly options: SideOptions, public epoch: number) { this.durableBlock = options.firstBlock }

  /** The first frame that is not durable at this end. */
  get durableFrame (): number { return (this.durableBlock - this.options.firstBlock) * this.options.shape.blockFrames }

  get attached (): boolean { return this.producer !== undefined }
  get waiting (): number { return this.state[PRODUCER.waiting]! }

  /** Tries once. After it the side goes on at its first frame that is not durable, in a new epoch. Returns whether it is attached. */
  attach (): boolean {
    invariant(this.producer === undefined, 'a side attaches once')
    const { addon, path, linkId, macKeyPath } = this.options
    try {
      this.producer = addon.openRingProducer({ path, linkId, epochAfter: this.epoch, ...(macKeyPath === undefined ? {} : { macKeyPath }) })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
      this.lastError = error.message
      return false
    }
    const durable = this.state[PRODUCER.durable]!, epoch = this.epoch
    this.producer.start(this.options.onSpace)
    this.producer.witness(epoch, durable)
    this.beat(SIDE_STATE.run)
    this.epoch = this.state[PRODUCER.epoch]!
    this.sequence = 1
    this.inFlight = []
    this.cursor = this.durableFrame
    this.counts.attaches += 1
    this.lastError = ''
    return true
  }

  detach (): void {
    this.producer?.close()
    this.producer = undefined
  }

  /** Forgets its epochs, and that its last blocks are durable, as a device without state does. */
  forget (blocks: number): void {
    this.epoch = 0
    this.durableBlock = Math.max(this.durableBlock - blocks, this.options.firstBlock)
  }

  /** Heartbeat; notes what became durable. Returns false if the KME is gone (then detached). */
  beat (own: number): boolean {
    const { producer, state } = this
    if (producer === undefined) return false
    producer.state(state, own)
    this.noteDurable()
    if (state[PRODUCER.consumerGone] === 0) return true
    this.detach()
    return false
  }

  /**
   * Writes frames up to `end`, at most `framesMax`; stops at a full ring. Returns how many were written.
   * `asleep` of the result: the ring is full and its bell will ring.
   */
  write (end: number, framesMax: number, qberPpm: number): { written: number, full: boolean, asleep: boolean } {
    let written = 0
    while (this.producer !== undefined && written < framesMax) {
      this.leaveOut()
      const count = Math.min(end - this.cursor, framesMax - written)
      if (count <= 0) break
      const made = this.inFlight.length >= IN_FLIGHT_MAX ? 0 : this.writeStretch(this.producer, count, qberPpm)
      written += made
      if (made === 0) return { written, full: true, asleep: this.producer.sleep() }
    }
    return { written, full: false, asleep: false }
  }

  /** So many frames are lost before the ring. */
  gap (frames: number): void {
    this.producer?.skipSequence(frames)
    this.sequence += frames
    this.cursor += frames
    this.counts.gaps += frames
  }

  /** Sends the last `frames` frames once more, under their old numbers. */
  duplicate (frames: number): void {
    const back = Math.min(frames, this.cursor, this.sequence - 1)
    this.producer?.repeatSequence(back)
    this.sequence -= back
    this.cursor -= back
  }

  /** Takes the last key block back: one frame with flag 8. */
  abortLastBlock (qberPpm: number): boolean {
    const { producer, plan, options: { source } } = this
    if (producer === undefined || this.cursor === 0) return false
    this.fill(this.blockOf(this.cursor - 1), 0, 1, qberPpm)
    plan[PLAN.flags] = FLAG_ABORTED
    const made = producer.generate(source, plan)
    this.sequence += made
    return made === 1
  }

  /** Tells a QBER without key: one test frame, whose payload is noise and which is never stored. False: no room, or no ring. */
  tellQber (qberPpm: number): boolean {
    const { producer, plan, options: { source } } = this
    if (producer === undefined) return false
    this.fill(TEST_BLOCK, 0, 1, qberPpm)
    plan[PLAN.payloadBlock] = TEST_BLOCK
    plan[PLAN.frames] = 1
    plan[PLAN.flags] = FLAG_TEST
    const made = producer.generate(source, plan)
    this.sequence += made
    return made === 1
  }

  countDrops (frames: number): void { this.producer?.countDrops(frames) }

  private leaveOut (): void {
    const next = this.options.skipDropped(this.cursor)
    if (next === this.cursor) return
    this.cursor = next
    this.gapPending = true
  }

  private blockOf (frame: number): number { return this.options.firstBlock + Math.floor(frame / this.options.shape.blockFrames) }

  private replays (block: number): boolean { return this.faults.replayBlocks > 0 && block > this.options.firstBlock }

  private fill (block: number, first: number, count: number, qberPpm: number): void {
    const { plan, faults, options: { shape } } = this
    plan[PLAN.block] = block
    plan[PLAN.payloadBlock] = this.replays(block) ? block - 1 : block
    plan[PLAN.first] = first
    plan[PLAN.count] = count
    plan[PLAN.frames] = shape.blockFrames
    plan[PLAN.frameBytes] = shape.frameBytes
    plan[PLAN.flags] = (this.gapPending ? FLAG_GAP : 0) | (faults.testFrames > 0 ? FLAG_TEST : 0)
    plan[PLAN.qberPpm] = qberPpm
    plan[PLAN.flaw] = faults.flawFrames > 0 ? FLAWS.indexOf(faults.flaw) : 0
  }

  /** One call of the addon: frames of one block that share flags and flaw. */
  private writeStretch (producer: NativeRingProducer, count: number, qberPpm: number): number {
    const { faults, options: { shape, source } } = this
    const block = this.blockOf(this.cursor), first = this.cursor % shape.blockFrames
    let stretch = Math.min(count, shape.blockFrames - first)
    if (this.gapPending) stretch = 1
    if (faults.flawFrames > 0) stretch = Math.min(stretch, faults.flawFrames)
    if (faults.testFrames > 0) stretch = Math.min(stretch, faults.testFrames)
    this.fill(block, first, stretch, qberPpm)
    const made = producer.generate(source, this.plan)
    if (made === 0) return 0
    this.gapPending = false
    faults.flawFrames = Math.max(0, faults.flawFrames - made)
    faults.testFrames = Math.max(0, faults.testFrames - made)
    this.sequence += made
    this.cursor += made
    this.counts.frames += made
    this.counts.bytes += made * shape.frameBytes
    if (first + made === shape.blockFrames) {
      this.inFlight.push({ block, sequence: this.sequence - 1 })
      if (this.replays(block)) faults.replayBlocks -= 1
    }
    return made
  }

  private noteDurable (): void {
    const durable = this.state[PRODUCER.durable]!
    let done = 0
    while (done < this.inFlight.length && this.inFlight[done]!.sequence <= durable) done += 1
    if (done === 0) return
    this.durableBlock = Math.max(this.durableBlock, this.inFlight[done - 1]!.block + 1)
    this.inFlight.splice(0, done)
  }
}
