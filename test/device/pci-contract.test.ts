/** Devices on PCI Express and character devices against the rules of every adapter, with files and FIFOs in place of the kernel's. */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { PRODUCER, PRODUCER_NUMBERS, type NativeRingProducer } from '../../src/device/native.js'
import { openPciBar, openUio } from '../../src/device/pci/port-source.js'
import { openStream } from '../../src/device/pci/stream-source.js'
import { addon, frameHeader, LINK, rawFrame, until } from '../native/ring-support.js'
import { adapterSuite, unitBytes, type TestDevice } from '../contract/adapter-suite.js'
import { ADDRESS, fakeDevice } from './pci-support.js'

const nameOf = (n: number): { id: string, offset: number } => ({ id: Buffer.from(frameHeader(n, 0).subarray(24, 40)).toString('hex'), offset: 0 })

/** A device that keeps the ring in its own memory, and raises an interrupt if it has a node for it. */
class CardDevice implements TestDevice {
  private producer: NativeRingProducer | undefined
  private readonly state = new Float64Array(PRODUCER_NUMBERS)
  private beating: NodeJS.Timeout | undefined

  constructor (private readonly memory: string, private readonly node?: string) { this.comeBack() }

  name = nameOf
  bytes (n: number): Uint8Array { return unitBytes(n, 3_968) }
  give (n: number): Promise<void> { return this.put(n, this.bytes(n)) }
  giveOther (n: number): Promise<void> { return this.put(n, unitBytes(n + 500, 3_968)) }
  compromise (n: number): Promise<void> { return this.put(n, this.bytes(n), 8) }

  giveDamaged (n: number): void {
    this.producer!.state(this.state, 1)
    const frame = rawFrame({ block: n, sequence: this.state[PRODUCER.nextSequence]!, epoch: this.state[PRODUCER.epoch]!, bytes: this.bytes(n) })
    frame[100]! ^= 1
    this.producer!.publishRaw(frame)
    this.interrupt()
  }

  async giveAfterGap (n: number): Promise<void> {
    this.producer!.skipSequence(1)
    await this.give(n)
  }

  // A card without power: its memory stays in this test, its beats stop.
  die (): void {
    clearInterval(this.beating)
    this.producer?.close()
    this.producer = undefined
  }

  comeBack (): void {
    this.producer = addon.openRingProducer({ path: this.memory, linkId: LINK })
    this.beating = setInterval(() => { this.producer?.state(this.state, 1) }, 100)
  }

  close (): void { this.die() }

  private async put (n: number, bytes: Uint8Array, flags = 0): Promise<void> {
    await until(() => this.producer!.publish(frameHeader(n, 0, flags), bytes), 'room')
    this.interrupt()
  }

  private interrupt (): void {
    if (this.node === undefined) return
    const fd = openSync(this.node, constants.O_RDWR | constants.O_NONBLOCK)
    writeSync(fd, Uint32Array.of(1))
    closeSync(fd)
  }
}

const torn = { torn: 'a slot is published whole; half written ones are killed in native/test/ring_crash_test.cc' }

adapterSuite({
  name: 'PCI BAR', redelivers: false, lacks: torn,
  end: (_t, folder) => {
    const device = fakeDevice(folder)
    return { open: (deps) => openPciBar({ address: ADDRESS, bar: 2, offset: 0, stalledMs: 700, ...device.roots }, deps), device: new CardDevice(device.memory) }
  },
})

adapterSuite({
  name: 'UIO', redelivers: false, lacks: torn,
  end: (_t, folder) => {
    const device = fakeDevice(folder)
    return {
      open: (deps) => openUio({ address: ADDRESS, ringIn: 'bar', bar: 2, offset: 0, stalledMs: 700, ...device.roots }, deps),
      device: new CardDevice(device.memory, device.uioNode),
    }
  },
})

/** A device that streams, through a FIFO. */
class StreamDevice implements TestDevice {
  private fd = -1
  private sequence = 0
  private epoch = 0
  private rest: Uint8Array = new Uint8Array()

  constructor (private readonly fifo: string) { this.comeBack() }

  name = nameOf
  bytes (n: number): Uint8Array { return unitBytes(n, 3_968) }
  give (n: number): Promise<void> { return this.write(this.frame(n, this.bytes(n))) }
  giveOther (n: number): Promise<void> { return this.write(this.frame(n, unitBytes(n + 500, 3_968))) }
  compromise (n: number): Promise<void> { return this.write(this.frame(n, this.bytes(n), 8)) }

  async giveDamaged (n: number): Promise<void> {
    const frame = this.frame(n, this.bytes(n))
    frame[100]! ^= 1
    await this.write(frame)
  }

  async giveHalf (n: number): Promise<void> {
    const frame = this.frame(n, this.bytes(n))
    await this.write(frame.subarray(0, 1_000))
    this.rest = frame.subarray(1_000)
  }

  giveRest (): Promise<void> { return this.write(this.rest) }

  giveAfterGap (n: number): Promise<void> {
    this.sequence += 1
    return this.give(n)
  }

  die (): void { closeSync(this.fd); this.fd = -1 }

  // O_RDWR needs no reader yet; the reader sees the end when this one goes.
  comeBack (): void {
    this.fd = openSync(this.fifo, constants.O_RDWR | constants.O_NONBLOCK)
    this.epoch += 1
    this.sequence = 0
  }

  close (): void { if (this.fd >= 0) this.die() }

  private frame (n: number, bytes: Uint8Array, flags = 0): Uint8Array {
    this.sequence += 1
    const frame = rawFrame({ block: n, sequence: this.sequence, epoch: this.epoch, flags, bytes }), whole = new Uint8Array(Math.ceil(frame.length / 64) * 64)
    whole.set(frame)
    return whole
  }

  private async write (bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      await until(() => {
        try { at += writeSync(this.fd, bytes, at); return true } catch (error) { if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false; throw error }
      }, 'room in the FIFO')
    }
  }
}

adapterSuite({
  name: 'character device', redelivers: false,
  end: (_t, folder) => {
    const fifo = join(folder, 'c2h')
    spawnSync('mkfifo', [fifo])
    return { open: (deps) => openStream({ data: fifo, slots: 64, stalledMs: 700 }, deps), device: new StreamDevice(fifo) }
  },
})
