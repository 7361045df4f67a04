/**
 * A complete producer of key for qkme in TypeScript, over qkme's addon: takes key from standard input and writes it as frames
 * into the ring of one link. Run one at each end with the same bytes, as a QKD device would bring them.
 *
 *   node producer.js /run/qkme/link-1.sock 1 21000 0 < key.bin      (socket, link, error rate in 1e-6, number of the first frame)
 */
import { loadNative, PRODUCER, PRODUCER_NUMBERS, SIDE_STATE, type NativeRingProducer } from '../../src/device/native.js'

const PAYLOAD_BYTES = 3_968
const BLOCK_FRAMES = 256
const KEPT_FRAMES = 2_048

interface Frame { readonly number: number, readonly payload: Buffer }

class Producer {
  /** Frames that are not durable at the KME: they go again after a restart of either side, under their old names. */
  private readonly kept: Frame[] = []
  private ring: NativeRingProducer | undefined
  private readonly state = new Float64Array(PRODUCER_NUMBERS)
  private readonly header = Buffer.alloc(64)
  private sent = 0
  private firstNumber = 0
  private epoch = 0
  private stored = 0
  private wake = (): void => {}

  constructor (private readonly socket: string, private readonly linkId: number, private readonly qberPpm: number, /** Number of the next frame. */ private taken: number) {}

  /** Takes the next stretch of key; resolves when there is room for more. The bytes are copied; the caller wipes them. */
  async give (payload: Uint8Array): Promise<void> {
    this.kept.push({ number: this.taken++, payload: Buffer.from(payload) })
    this.pump()
    while (this.kept.length >= KEPT_FRAMES) await this.turn()
  }

  /** Resolves when everything is stored at the KME. */
  async finish (): Promise<number> {
    while (this.kept.length > 0) await this.turn()
    this.ring?.close()
    return this.stored
  }

  private async turn (): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.ring === undefined ? 200 : 20)
      this.wake = () => { clearTimeout(timer); resolve() }
    })
    this.pump()
  }

  private pump (): void {
    if (this.ring === undefined && !this.attach()) return
    const ring = this.ring!
    this.follow(ring)
    if (this.ring === undefined) return
    for (let frame = this.kept[this.sent]; frame !== undefined; frame = this.kept[this.sent]) {
      if (!ring.publish(this.headerOf(frame.number), frame.payload)) { ring.sleep(); return } // The bell calls `wake`.
      this.sent++
    }
  }

  /** The KME makes the ring; until it is there, and whenever it comes back, we try again. */
  private attach (): boolean {
    try {
      this.ring = loadNative().openRingProducer({ path: this.socket, linkId: this.linkId, epochAfter: this.epoch })
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'RING_INVALID') return false
      throw error
    }
    const knownEpoch = this.epoch, knownSequence = this.state[PRODUCER.durable]!
    this.ring.witness(knownEpoch, knownSequence) // What we know this KME to have: its store may have been put back.
    this.ring.start(() => { this.wake() })
    this.ring.state(this.state, SIDE_STATE.run)
    this.epoch = this.state[PRODUCER.epoch]!
    this.firstNumber = this.kept[0]?.number ?? this.taken
    this.sent = 0
    return true
  }

  /** Heartbeat; forgets what is stored; notices that the KME is gone. */
  private follow (ring: NativeRingProducer): void {
    ring.state(this.state, SIDE_STATE.run)
    const upTo = this.firstNumber + this.state[PRODUCER.durable]!
    while (this.sent > 0 && this.kept[0] !== undefined && this.kept[0].number < upTo) {
      this.kept.shift()!.payload.fill(0)
      this.sent--
      this.stored++
    }
    if (this.state[PRODUCER.consumerGone] === 0) return
    ring.close()
    this.ring = undefined
  }

  /** Only these fields are ours; the addon fills in the rest, and the checksum last. */
  private headerOf (number: number): Uint8Array {
    const { header } = this, block = Math.floor(number / BLOCK_FRAMES), inBlock = number % BLOCK_FRAMES
    header.writeUInt16LE(inBlock === BLOCK_FRAMES - 1 ? 1 : 0, 6) // The last frame of its key block.
    header.writeUInt32LE(this.qberPpm, 12)
    header.writeUInt32LE(this.linkId, 24) // Block id: equal at both ends and for ever.
    header.writeBigUInt64LE(BigInt(block), 32)
    header.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 40)
    header.writeUInt32LE(inBlock * PAYLOAD_BYTES / 32, 52)
    return header
  }
}

// A real device keeps the number on its disk: none is used for two pieces.
const [socket, link, qberPpm = '4294967295', first = '0'] = process.argv.slice(2)
if (socket === undefined || link === undefined) {
  process.stderr.write('usage: producer SOCKET LINK [ERROR_RATE_PPM [FIRST_FRAME]] < key\n')
  process.exit(2)
}
const producer = new Producer(socket, Number(link), Number(qberPpm), Number(first))
let rest = Buffer.alloc(0)
for await (const part of process.stdin as AsyncIterable<Buffer>) {
  let bytes = Buffer.concat([rest, part])
  part.fill(0)
  for (; bytes.length >= PAYLOAD_BYTES; bytes = bytes.subarray(PAYLOAD_BYTES)) {
    const frame = bytes.subarray(0, PAYLOAD_BYTES)
    await producer.give(frame)
    frame.fill(0)
  }
  rest = bytes
}
if (rest.length > 0) await producer.give(rest)
const stored = await producer.finish()
process.stdout.write(`${stored} frames are stored; other key goes on from frame ${Number(first) + stored}\n`)
