/**
 * `npm run test:qemu`: the device path against devices that nobody here wrote. Two guests run the real Node, addon and LMDB:
 *   1 ivshmem's BAR, filled by a process of this machine; a power cut; and edu's DMA through UIO
 *   2 ivshmem's interrupts both ways, and edu's DMA through VFIO behind an IOMMU
 * Where QEMU cannot be had it says so in one line and ends well. `--limit <s>` (continuous integration) ends it after that time,
 * and a slow machine is no failure then; without it ten minutes count as one.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/kernel/system-clock.js'
import { openRing } from '../../src/device/ring-adapter.js'
import { digestOf, framesIn, GuestKme, openStore, until } from './guest-store.js'
import { compileTool, makeImage, stateOf } from './image.js'
import { Machine, type GuestEvent } from './machine.js'
import { findTools, Unavailable, type Tools } from './packages.js'

const PROJECT = fileURLToPath(new URL('../../../', import.meta.url))
const BAR_FRAMES = 300, BAR_SLOTS = 128, DOORBELL_FRAMES = 160, DOORBELL_SLOTS = 16
const BAR_BYTES = 2 << 20

let passed = 0, failed = 0, isOver = false
const check = (what: string, holds: boolean, evidence?: unknown): void => {
  if (holds) passed++; else failed++
  process.stdout.write(`${holds ? 'ok' : 'not ok'} ${what}${holds ? '' : ` — ${JSON.stringify(evidence)}`}\n`)
}

const startedMs = systemClock.monoMs()
const seconds = (): string => ((systemClock.monoMs() - startedMs) / 1_000).toFixed(1)

/** The process that stands for a device. */
class DeviceProcess {
  readonly events: GuestEvent[] = []
  errors = ''
  private readonly child: ChildProcess
  constructor (program: string, args: readonly (string | number)[]) {
    this.child = spawn(program, args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] })
    let rest = ''
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.events.push(JSON.parse(line) as GuestEvent)
    })
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => { this.errors += text })
  }

  async event (name: string): Promise<GuestEvent | undefined> {
    const found = (): GuestEvent | undefined => this.events.find(({ event }) => event === name)
    await until(() => found() !== undefined || this.child.exitCode !== null)
    return found()
  }

  async cut (): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => { this.child.once('exit', () => { resolve() }) })
    this.child.kill('SIGKILL')
    await ended
  }
}

/** Names and fingerprints of the same frames, taken from the same program through an ordinary ring of this machine. */
const expected = async (device: string, work: string, frames: number): Promise<string> => {
  if (isOver) await new Promise<never>(() => {}) // The limit has come: its handler ends the process.
  const path = join(work, `reference-${frames}`), kme = await GuestKme.open(join(work, `reference-store-${frames}`))
  const source = openRing({ path, kind: 'file', slots: 256 }, kme.deps())
  kme.start(source)
  const process = new DeviceProcess(device, [path, 256, frames])
  await until(() => kme.frames.size === frames)
  source.close()
  await process.cut()
  await kme.close()
  return digestOf(kme.frames)
}

const memoryFile = (path: string): string => {
  writeFileSync(path, '')
  truncateSync(path, BAR_BYTES)
  return path
}

interface Place { readonly tools: Tools, readonly work: string, readonly image: string, readonly device: string, readonly running: Set<{ cut (): Promise<void> }> }

const guestFailed = (machine: Machine): void => {
  for (const { event, ...rest } of machine.events) if (event === 'failed') check(`scenario ${String(rest['scenario'])} runs`, false, rest)
  if (!machine.events.some(({ event }) => event === 'done')) check('the guest runs to its end', false, machine.log.slice(-3_000))
}

const tellTimes = (name: string, { events }: Machine): void => {
  process.stdout.write(`# ${name}, seconds since its start: ${events.map(({ event, upS }) => `${event} ${String(upS)}`).join(', ')}; all together ${seconds()} s\n`)
}

const plainGuest = async ({ tools, work, image, device, running }: Place): Promise<void> => {
  const memory = memoryFile(join(work, 'bar')), disk = join(work, 'plain.img')
  copyFileSync(image, disk)
  const producer = new DeviceProcess(device, [memory, BAR_SLOTS, BAR_FRAMES])
  const machine = new Machine(tools, {
    image: disk, forget: false, memoryMb: 640, kernelArgs: [], guestArgs: [String(BAR_FRAMES), 'bar', 'uio'],
    devices: ['-object', `memory-backend-file,id=bar,mem-path=${memory},size=${BAR_BYTES},share=on`, '-device', 'ivshmem-plain,memdev=bar', '-device', 'edu,dma_mask=0xffffffffffff'],
  })
  running.add(machine)
  running.add(producer)
  const bar = await machine.event('bar'), durable = bar === undefined ? undefined : await producer.event('durable'), uio = await machine.event('uio')
  // All is said to be durable, so the power may go at this moment.
  await machine.cut()
  await producer.cut()
  const digest = await expected(device, work, BAR_FRAMES)
  check(`ivshmem BAR: ${BAR_FRAMES} frames of a process of this machine, with their names and bytes`, bar?.['frames'] === BAR_FRAMES && bar['digest'] === digest && bar['taken'] === digest, bar)
  check('ivshmem BAR: the device reads in its own memory that all of them are durable', durable?.['frames'] === BAR_FRAMES, producer.errors)
  check('ivshmem BAR: the store, opened again, opens every sealed record', bar?.['verified'] === BAR_FRAMES, bar)
  const kept = await openStore(stateOf(disk, 'bar', join(work, 'after')))
  check('after a power cut the disk holds all that was called durable', digestOf(framesIn(kept)) === digest, framesIn(kept).size)
  await kept.close()
  check('edu through UIO: registers answer', uio?.['alive'] === true, uio)
  check('edu through UIO: frames written by DMA are stored, byte for byte', uio?.['bytesEqual'] === true && uio['verified'] === uio['records'] && uio['records'] === 2, uio)
  check('edu through UIO: each frame came with an interrupt that was taken back', Number(uio?.['interrupts']) === 2, uio)
  check('edu through UIO: it may reach memory while it is open, and not after', uio?.['masterBefore'] === true && uio['masterAfter'] === false, uio)
  if (bar === undefined || uio === undefined) guestFailed(machine)
  tellTimes('guest 1', machine)
}

const iommuGuest = async ({ tools, work, image, device, running }: Place): Promise<void> => {
  const memory = memoryFile(join(work, 'shared')), socket = join(work, 'iv.sock')
  const producer = new DeviceProcess(device, [memory, DOORBELL_SLOTS, DOORBELL_FRAMES, socket])
  await producer.event('listening')
  const machine = new Machine(tools, {
    image, forget: true, memoryMb: 640, kernelArgs: ['intel_iommu=on'], guestArgs: [String(DOORBELL_FRAMES), 'doorbell', 'vfio'],
    devices: ['-device', 'intel-iommu,intremap=on', '-chardev', `socket,path=${socket},id=iv`, '-device', 'ivshmem-doorbell,vectors=1,chardev=iv', '-device', 'edu,dma_mask=0xffffffffffff'],
  })
  running.add(machine)
  running.add(producer)
  const doorbell = await machine.event('doorbell'), durable = doorbell === undefined ? undefined : await producer.event('durable'), vfio = await machine.event('vfio')
  await machine.cut()
  await producer.cut()
  const digest = await expected(device, work, DOORBELL_FRAMES)
  check(`ivshmem doorbell: ${DOORBELL_FRAMES} frames through a ring of ${DOORBELL_SLOTS} slots, with their names and bytes`, doorbell?.['frames'] === DOORBELL_FRAMES && doorbell['digest'] === digest && doorbell['verified'] === DOORBELL_FRAMES, doorbell)
  check('ivshmem doorbell: the host\'s interrupts arrived (MSI-X through VFIO)', Number(doorbell?.['interrupts']) > 0 && Number(durable?.['interrupts']) > 0, { doorbell, durable })
  check('ivshmem doorbell: the guest rang whenever a full ring had room again', Number(durable?.['doorbells']) > 0, { durable, errors: producer.errors })
  check('edu through VFIO: registers answer', vfio?.['alive'] === true, vfio)
  check('edu through VFIO: frames written by DMA through the IOMMU are stored, byte for byte', vfio?.['bytesEqual'] === true && vfio['verified'] === 2, vfio)
  check('edu through VFIO: MSI rings the ring\'s eventfd', Number(vfio?.['interrupts']) >= 2, vfio)
  check('edu through VFIO: DMA to an address that is not mapped is blocked and reported', String(vfio?.['reason']).includes('the IOMMU blocked its DMA write at 0x900000') && Number(vfio?.['blocked']) >= 1 && JSON.stringify(vfio?.['told']).includes('device.dma-blocked high'), vfio)
  check('edu through VFIO: after that it may reach no memory at all', vfio?.['masterBefore'] === true && vfio['masterAfter'] === false, vfio)
  if (doorbell === undefined || vfio === undefined) guestFailed(machine)
  tellTimes('guest 2', machine)
}

const limitAt = process.argv.indexOf('--limit')
const limitS = limitAt < 0 ? 600 : Number(process.argv[limitAt + 1])

/** Ends the process, with the line that .ci/run adds up. */
const finish = (): never => {
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  process.exit(failed === 0 ? 0 : 1)
}

const run = async (): Promise<void> => {
  const running = new Set<{ cut (): Promise<void> }>()
  const leftMs = (): number => limitS * 1_000 - (systemClock.monoMs() - startedMs)
  const tools = findTools(leftMs), work = mkdtempSync(join(tmpdir(), 'qkme-qemu-'))
  const clean = async (): Promise<void> => {
    await Promise.all([...running].map(async (part) => { await part.cut() }))
    rmSync(work, { recursive: true, force: true })
  }
  const stopWaiting = systemClock.after(Math.max(1, leftMs()), () => {
    isOver = true
    if (limitAt < 0) check(`the proof ends within ${limitS} s`, false)
    else process.stdout.write(`skipped: the rest of the QEMU proof; this machine did not get through it in ${limitS} s\n`)
    void clean().finally(finish)
  })
  try {
    const device = compileTool(PROJECT, ['test/qemu/device.cc', 'native/ring.cc', 'native/crc32c.cc'], join(work, 'device'))
    const place = { tools, work, device, image: makeImage(PROJECT, tools, work), running }
    process.stdout.write(`# tools and disk are ready after ${seconds()} s\n`)
    // Side by side: each guest has one processor.
    await Promise.all([plainGuest(place), iommuGuest(place)])
  } finally {
    stopWaiting()
    await clean()
  }
}

try {
  await run()
} catch (error) {
  if (!(error instanceof Unavailable)) throw error
  process.stdout.write(`skipped: the QEMU proof cannot run here: ${error.message}\n`)
}
finish()
