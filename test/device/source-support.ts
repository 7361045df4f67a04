import { spawn, type ChildProcess } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { DeviceReport } from '../../machines/device.js'
import { RECORD_HEADER_BYTES, RECORD_STRIDE } from '../../src/device/native.js'
import type { RingBatch } from '../../src/device/ring-batches.js'
import type { RingNotice } from '../../src/device/ring-notices.js'
import { RingSource, type RingSourceOptions } from '../../src/device/ring-source.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { addon, bench, fingerprintKey, folder, LINK, until, type Bench } from '../native/ring-support.js'

/** Names and fingerprints of everything that a source delivered, and all that it told. */
export class Listener {
  readonly source: RingSource
  readonly frames = new Map<string, string>()
  readonly reports: DeviceReport[] = []
  readonly notices: RingNotice[] = []
  readonly held: RingBatch[] = []
  twice = 0
  hold = false

  constructor (t: Test, bench: Bench, ring: { path: string, slots?: number, kind?: 'memory' | 'file' | 'device' }, options: Partial<RingSourceOptions> = {}) {
    this.source = new RingSource({
      addon, vault: bench.vault, clock: systemClock, sealing: () => ({ sealer: bench.sealer, keySlot: 1 }),
      ring: { linkId: LINK, rememberedFrames: 1 << 16, fingerprintKey: fingerprintKey(), ...ring }, ...options,
    })
    t.teardown(() => { this.source.close() })
  }

  start (): this {
    this.source.start({
      batch: (batch) => { this.take(batch) },
      report: (report) => { this.reports.push(report) },
      notice: (notice) => { this.notices.push(notice) },
    })
    return this
  }

  kinds (): string[] { return this.notices.map((notice) => notice.type === 'incident' ? notice.incident.kind : notice.type) }
  told (): string[] { return this.reports.map(({ type }) => type.slice('device.'.length)) }

  private take (batch: RingBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const header = Buffer.from(batch.records.buffer, batch.records.byteOffset + i * RECORD_STRIDE, RECORD_HEADER_BYTES)
      const name = header.toString('hex', 4, 28)
      if (this.frames.has(name)) this.twice += 1
      this.frames.set(name, header.toString('hex', 48, 56))
    }
    if (this.hold) this.held.push(batch)
    else setImmediate(() => { batch.acknowledge() })
  }
}

/** Frames that both ends have: how many, and how many of them with other bytes. */
export const compare = (a: Listener, b: Listener): { common: number, different: number } => {
  let common = 0, different = 0
  for (const [name, fingerprint] of a.frames) {
    const other = b.frames.get(name)
    if (other === undefined) continue
    common += 1
    if (other !== fingerprint) different += 1
  }
  return { common, different }
}

const MAIN = fileURLToPath(new URL('../../sim/device/main.js', import.meta.url))

/** The device process as its users start it. */
export class DeviceProcess {
  readonly child: ChildProcess
  readonly events: Record<string, unknown>[] = []
  errors = ''
  private readonly controlPath: string

  constructor (t: Test, dir: string, args: readonly string[]) {
    this.controlPath = join(dir, 'c')
    this.child = spawn(process.execPath, [MAIN, '--link', String(LINK), '--control', this.controlPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let rest = ''
    this.child.stdout!.setEncoding('utf8').on('data', (part: string) => {
      const lines = (rest + part).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.events.push(JSON.parse(line) as Record<string, unknown>)
    })
    this.child.stderr!.setEncoding('utf8').on('data', (part: string) => { this.errors += part })
    t.teardown(() => { this.child.kill('SIGKILL') })
  }

  async ended (): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await new Promise((resolve) => { this.child.once('exit', resolve) })
    return this.child.exitCode
  }

  attached (): Promise<void> { return until(() => this.events.filter(({ event }) => event === 'attached').length >= 2, `both ends attach ${this.errors}`) }

  /** Sends one line; resolves with the parsed answer. */
  async send (command: Record<string, unknown> | string): Promise<Record<string, unknown>> {
    const socket = connect(this.controlPath).setEncoding('utf8')
    try {
      return await new Promise((resolve, reject) => {
        let text = ''
        socket.on('error', reject)
        socket.on('data', (part: string) => { text += part; if (text.includes('\n')) resolve(JSON.parse(text) as Record<string, unknown>) })
        socket.write(`${typeof command === 'string' ? command : JSON.stringify(command)}\n`)
      })
    } finally { socket.destroy() }
  }
}

/** 1.6 s of the rate below: a test that is held up for as long drops nothing. */
export const SLOTS = 1_024

/** Two ends and the devices between them. */
export const world = async (t: Test, args: readonly string[] = []) => {
  const dir = folder(t), parts = bench(), ringA = join(dir, 'a'), ringB = join(dir, 'b')
  const a = new Listener(t, parts, { path: ringA, slots: SLOTS }, { stalledMs: 1_000 }).start(), b = new Listener(t, parts, { path: ringB, slots: SLOTS }, { stalledMs: 1_000 }).start()
  const device = new DeviceProcess(t, dir, ['--ring-a', ringA, '--ring-b', ringB, '--rate', '20M', '--seed', 'test', ...args])
  await device.attached()
  await until(() => a.frames.size > 20 && b.frames.size > 20, 'frames')
  return { dir, parts, ringA, ringB, a, b, device }
}
/** Waits until a listener has so many more frames. */
export const more = async (listener: Listener, frames: number): Promise<void> => {
  const goal = listener.frames.size + frames
  await until(() => listener.frames.size >= goal, `${frames} more frames`)
}
