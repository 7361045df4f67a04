import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { openQix, qixBlock } from '../../src/device/qix-stream.js'
import { crc32c } from '../../src/device/formats/qix-frames.js'
import { until } from '../native/ring-support.js'
import { adapterSuite, unitBytes, type TestDevice } from './adapter-suite.js'

export const qixFrame = (id: bigint, key: Uint8Array, status = 1): Buffer => {
  const frame = Buffer.alloc(47)
  frame.set([0x5a, 0xa5])
  frame.writeBigUInt64BE(id, 2)
  frame.set(key, 10)
  frame[42] = status
  frame.writeUInt32BE(crc32c(frame, 2, 43), 43)
  return frame
}

/** A stream server, as a serial line behind a terminal server looks. */
class QixDevice implements TestDevice {
  private server: Server | undefined
  private socket: Socket | undefined

  constructor (private readonly path: string) { this.comeBack() }

  name (n: number): { id: string, offset: number } { return { id: Buffer.from(qixBlock(BigInt(n))).toString('hex'), offset: 0 } }
  bytes (n: number): Uint8Array { return unitBytes(n, 32) }

  private async write (bytes: Uint8Array): Promise<void> {
    await until(() => this.socket !== undefined, 'the KME dials')
    this.socket!.write(bytes)
  }

  give (n: number): Promise<void> { return this.write(qixFrame(BigInt(n), this.bytes(n))) }
  giveOther (n: number): Promise<void> { return this.write(qixFrame(BigInt(n), unitBytes(n + 500, 32))) }
  giveHalf (n: number): Promise<void> { return this.write(qixFrame(BigInt(n), this.bytes(n)).subarray(0, 25)) }
  giveRest (n: number): Promise<void> { return this.write(qixFrame(BigInt(n), this.bytes(n)).subarray(25)) }
  giveAfterGap (n: number): Promise<void> { return this.give(n) }
  compromise (n: number): Promise<void> { return this.write(qixFrame(BigInt(n), this.bytes(n), 0xff)) }
  giveDamaged (n: number): Promise<void> {
    const frame = qixFrame(BigInt(n), this.bytes(n))
    frame[20]! ^= 4
    return this.write(frame)
  }

  die (): void {
    this.server?.close()
    this.socket?.destroy()
    this.socket = undefined
  }

  comeBack (): void {
    this.server = createServer((socket) => {
      this.socket = socket
      socket.on('error', () => {})
      socket.on('close', () => { if (this.socket === socket) this.socket = undefined })
    }).listen(this.path)
  }

  /** The KME dials anew: what was sent to its former life is lost. */
  forget (): void { this.socket = undefined }
  close (): void { this.die() }
}

adapterSuite({
  name: 'QIX stream',
  redelivers: false,
  end: (_t, folder) => {
    const path = join(folder, 'line')
    const device = new QixDevice(path)
    return { open: (deps) => { device.forget(); return openQix({ connect: path, silentMs: 0 }, deps) }, device }
  },
})
