/**
 * QEMU's edu device (docs/specs/edu) as the DMA engine of a QKD device. It has a buffer of 4 KiB and copies between it and
 * the machine's memory; what it is to send lies in a slot of the ring that is not in use yet. So every byte that the KME
 * finds in a published slot was put there by DMA.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { systemClock } from '../../src/kernel/system-clock.js'
import type { PortSource } from '../../src/device/pci/port-source.js'
import { rawFrame } from '../native/ring-support.js'
import { LINK } from './guest-store.js'

const BUFFER = 0x40000n
const at = (offset: number): { bar: number, offset: number } => ({ bar: 0, offset })
export const EDU = { vendor: '0x1234', device: '0x11e8', interruptStatus: at(0x24), interruptAck: at(0x64) } as const

const u64 = (...values: readonly number[]): Buffer => { const bytes = Buffer.alloc(8 * values.length); values.forEach((value, i) => { bytes.writeBigUInt64LE(BigInt(value), 8 * i) }); return bytes }

export class Edu {
  private sequence = 0

  constructor (private readonly port: PortSource, private readonly slots: number) {}

  /** The identification and the inverting register answer as the specification says. */
  alive (): boolean {
    this.port.writeRegister(at(4), 4, 0x12345678n)
    return this.port.readRegister(at(0), 4) === 0x010000edn && this.port.readRegister(at(4), 4) === 0xedcba987n
  }

  /** Epoch, then beat and state, by DMA. */
  async attach (): Promise<void> {
    await this.send(0x018, u64(1))
    await this.send(0x088, u64(1, 1 * 2 ** 32 + 1)) // beat; pid 1, state 1
  }

  /** One frame into the next slot; the turn last, and with it the interrupt. */
  async publish (block: number, payload: Uint8Array): Promise<void> {
    const slot = 4096 + (this.sequence % this.slots) * 4096
    await this.send(slot + 64, rawFrame({ link: LINK, block, sequence: this.sequence + 1, epoch: 1, bytes: payload }))
    this.sequence += 1
    await this.send(slot, u64(this.sequence), 4n)
  }

  /** A DMA write of the device's buffer to any address. */
  async writeTo (address: bigint, bytes: number): Promise<void> { await this.transfer(BUFFER, address, bytes, 2n) }

  private async send (offset: number, bytes: Uint8Array, interrupt = 0n): Promise<void> {
    const staging = 4096 + (this.slots - 1) * 4096 + 64
    stage(staging, bytes)
    await this.transfer(BigInt(this.port.ringAddress + staging), BUFFER, bytes.length, 0n)
    await this.transfer(BUFFER, BigInt(this.port.ringAddress + offset), bytes.length, 2n | interrupt)
  }

  private async transfer (from: bigint, to: bigint, bytes: number, flags: bigint): Promise<void> {
    this.port.writeRegister(at(0x80), 8, from)
    this.port.writeRegister(at(0x88), 8, to)
    this.port.writeRegister(at(0x90), 8, BigInt(bytes))
    this.port.writeRegister(at(0x98), 8, 1n | flags)
    while ((this.port.readRegister(at(0x98), 8) & 1n) !== 0n) await new Promise<void>((resolve) => { systemClock.after(10, resolve) })
  }
}

// The ring is a memfd of this process; a helper that maps it stands for the device's own memory.
const stage = (offset: number, bytes: Uint8Array): void => {
  const fd = readdirSync('/proc/self/fd').find((name) => { try { return readlinkSync(`/proc/self/fd/${name}`).includes('qkme-ring') } catch { return false } })
  const { status } = spawnSync('/bin/stage', [String(process.pid), String(fd), String(offset)], { input: bytes })
  if (status !== 0) throw new Error(`stage ended with ${status}`)
}
