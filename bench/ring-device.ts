/**
 * A device for the measurements of the ring, as a process: `node dist/bench/ring-device.js <socket> <max|frames per second>`.
 * `max`: as fast as the ring takes them. Else each frame's block id carries the monotonic time of its publication; the first
 * WARM_FRAMES come one by one in quick succession, because a KME in service has long compiled what a bell runs.
 */
import { randomFillSync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadNative, FRAME_BYTES_MAX, PLAN, PLAN_NUMBERS, PRODUCER_NUMBERS, SIDE_STATE, type NativeRingProducer } from '../src/device/native.js'
import { systemClock } from '../src/kernel/system-clock.js'

const BLOCK_FRAMES = 64
const WARM_FRAMES = 2_000
const [path = '', rate = 'max'] = process.argv.slice(2)

const connect = async (): Promise<NativeRingProducer> => {
  for (;;) {
    try { return loadNative().openRingProducer({ path, linkId: 1 }) } catch { await sleep(50) } // The KME's side is not there yet.
  }
}

const pour = async (producer: NativeRingProducer): Promise<void> => {
  const source = loadNative().createFrameSource(), plan = new Float64Array(PLAN_NUMBERS)
  plan[PLAN.frames] = BLOCK_FRAMES
  plan[PLAN.frameBytes] = FRAME_BYTES_MAX
  let wake = (): void => {}
  producer.start(() => { wake() })
  for (let block = 1; ; block++) {
    plan[PLAN.block] = plan[PLAN.payloadBlock] = block
    for (let first = 0; first < BLOCK_FRAMES;) {
      plan[PLAN.first] = first
      plan[PLAN.count] = BLOCK_FRAMES - first
      first += producer.generate(source, plan)
      if (first < BLOCK_FRAMES && producer.sleep()) await new Promise<void>((resolve) => { wake = resolve })
    }
    if (block % 64 === 0) await new Promise((resolve) => { setImmediate(resolve) }) // The heartbeat gets its turn.
  }
}

const drip = async (producer: NativeRingProducer, framesPerS: number): Promise<void> => {
  const header = Buffer.alloc(64), payload = Buffer.alloc(FRAME_BYTES_MAX)
  let made = 0
  header.writeUInt32LE(20_000, 12)
  const publish = (): void => {
    randomFillSync(payload)
    header.writeBigUInt64LE(process.hrtime.bigint(), 24)
    header.writeUInt32LE(made++, 32)
    producer.publish(header, payload)
  }
  while (made < WARM_FRAMES) {
    publish()
    await sleep(1)
  }
  for (const startMs = systemClock.monoMs(); ;) {
    for (const due = WARM_FRAMES + (systemClock.monoMs() - startMs) / 1_000 * framesPerS; made < due;) publish()
    await sleep(Math.max(1, Math.min(1_000 / framesPerS, 100)))
  }
}

const producer = await connect()
const state = new Float64Array(PRODUCER_NUMBERS)
setInterval(() => { producer.state(state, SIDE_STATE.run) }, 250)
if (rate === 'max') await pour(producer)
else await drip(producer, Number(rate))
