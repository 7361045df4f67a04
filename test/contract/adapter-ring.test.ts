import { join } from 'node:path'
import { PRODUCER, PRODUCER_NUMBERS, type NativeRingProducer } from '../../src/device/native.js'
import { openRing } from '../../src/device/ring-adapter.js'
import { addon, frameHeader, LINK, rawFrame, until } from '../native/ring-support.js'
import { adapterSuite, unitBytes, type TestDevice } from './adapter-suite.js'

/** A device that writes a ring itself, as in docs/ring-format.md. */
class RingDevice implements TestDevice {
  private producer: NativeRingProducer | undefined
  private readonly state = new Float64Array(PRODUCER_NUMBERS)

  constructor (private readonly path: string) {}

  private async attached (): Promise<NativeRingProducer> {
    this.producer?.state(this.state, 1)
    if (this.producer !== undefined && this.state[PRODUCER.consumerGone] === 0) return this.producer
    this.producer?.close()
    this.producer = undefined
    await until(() => {
      try { this.producer = addon.openRingProducer({ path: this.path, linkId: LINK }); return true } catch { return false }
    }, 'the ring is handed over')
    return this.producer!
  }

  name (n: number): { id: string, offset: number } { return { id: Buffer.from(frameHeader(n, 0).subarray(24, 40)).toString('hex'), offset: 0 } }
  bytes (n: number): Uint8Array { return unitBytes(n, 3_968) }

  private async put (n: number, bytes: Uint8Array, flags = 0): Promise<void> {
    const producer = await this.attached()
    await until(() => producer.publish(frameHeader(n, 0, flags), bytes), 'room')
  }

  give (n: number): Promise<void> { return this.put(n, this.bytes(n)) }
  giveOther (n: number): Promise<void> { return this.put(n, unitBytes(n + 500, 3_968)) }
  compromise (n: number): Promise<void> { return this.put(n, this.bytes(n), 8) }

  async giveDamaged (n: number): Promise<void> {
    const producer = await this.attached()
    producer.state(this.state, 1)
    const frame = rawFrame({ block: n, sequence: this.state[PRODUCER.nextSequence]!, epoch: this.state[PRODUCER.epoch]!, bytes: this.bytes(n) })
    frame[100]! ^= 1
    producer.publishRaw(frame)
  }

  async giveAfterGap (n: number): Promise<void> {
    (await this.attached()).skipSequence(1)
    await this.give(n)
  }

  die (): void { this.producer?.close(); this.producer = undefined }
  async comeBack (): Promise<void> { await this.attached() }
  close (): void { this.die() }
}

adapterSuite({
  name: 'ring',
  redelivers: false,
  lacks: { torn: 'a slot is published whole; half written ones are killed in native/test/ring_crash_test.cc' },
  end: (_t, folder) => {
    const path = join(folder, 'ring')
    return { open: (deps) => openRing({ path, kind: 'memory', slots: 64 }, deps), device: new RingDevice(path) }
  },
})
