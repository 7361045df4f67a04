import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openQix, qixBlock } from '../../src/device/qix-stream.js'
import { crc32c } from '../../src/device/formats/qix-frames.js'
import { bench, folder, until } from '../native/ring-support.js'
import { adapterSuite, Store, unitBytes, type TestDevice } from './adapter-suite.js'

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
    return { open: (deps) => { device.forget(); return openQix({ connect: path, baud: 0, silentMs: 0 }, deps) }, device }
  },
})

/** A serial line without hardware: a pseudo-terminal, as the system makes it (echo, lines, signs), fed from standard input. */
const PTY = `import os
master, slave = os.openpty()
os.write(1, (os.ttyname(slave) + '\\n').encode())
while True:
    data = os.read(0, 4096)
    if not data: break
    while data: data = data[os.write(master, data):]
`

const serialLine = async (t: Test): Promise<{ path: string, write: (bytes: Uint8Array) => void, hangUp: () => void }> => {
  const helper = spawn('python3', ['-c', PTY], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => { helper.kill() })
  const path = await new Promise<string>((resolve, reject) => {
    helper.stdout.once('data', (text: Buffer) => { resolve(text.toString().trim()) })
    helper.once('error', reject)
  })
  return { path, write: (bytes) => { helper.stdin.write(bytes) }, hangUp: () => { helper.kill() } }
}

const serialStore = (t: Test, path: string, baud: number): Store => {
  const line = new QixDevice(join(folder(t), 'unused')) // For the names and bytes of units only.
  const store = new Store({ open: (deps) => openQix({ connect: path, baud, silentMs: 0 }, deps), device: line }, folder(t), bench())
  t.teardown(() => { store.close(); line.close() })
  store.open()
  return store
}

t.test('a serial line is made raw: every value of a byte comes through', async (t) => {
  const line = await serialLine(t), store = serialStore(t, line.path, 115_200)
  await until(() => store.source!.view().state !== 'detached', 'the line is open')
  // 256 values in 8 keys: what a terminal takes as end of line, signs, flow control or erasure is among them.
  for (let n = 0; n < 8; n++) line.write(qixFrame(BigInt(n), Uint8Array.from({ length: 32 }, (_, i) => n * 32 + i)))
  await until(() => store.frames.size === 8, 'all frames')
  t.match(store.source!.counters(), { qixFrames: 8, qixSkippedBytes: 0 })
  line.hangUp()
  await until(() => store.source!.view().state === 'detached', 'a line that is gone is told')
})

t.test('what is no serial line, or cannot have the speed, is told with what to do', async (t) => {
  const path = join(folder(t), 'file')
  writeFileSync(path, '')
  const told = (store: Store, what: RegExp): Promise<void> => until(() => store.reports.some((r) => r.type === 'device.absent' && what.test(r.reason)), String(what))
  await told(serialStore(t, path, 0), /is no serial line/)
  await told(serialStore(t, (await serialLine(t)).path, 31), /31 baud: choose a usual speed/)
})
