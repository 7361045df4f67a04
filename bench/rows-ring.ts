/** Rows of the device side: ring to durable store, and the doorbell. The device is a process of its own on the load's core. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { median, ratioFigure, valueFigure, type Figure, type Pair } from './figures.js'
import { drainPerSecond, wakeMedianUs } from './load.js'
import { Part } from './process.js'
import { dist, LOAD_CORE, SERVER_CORE } from './site.js'

/** Secret bits of the fastest link published. */
const RECORD_LINK_BPS = 115.8e6
const FRAME_BITS = 3_968 * 8

interface Ring { readonly pairs: number, readonly sliceMs: number }
interface Found { readonly pairs: readonly Pair[], readonly cpuUs: { readonly ours: number[], readonly plain: number[] }, readonly frames: number, readonly p50Ms: number, readonly p99Ms: number }

/** @param cores  The sink's; the store has a thread of its own. */
const measure = async (ring: Ring, what: 'store' | 'latency' | 'bell', rate: string, cores: string): Promise<Found> => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-ring-')), socket = join(folder, 'ring')
  const device = Part.start(LOAD_CORE, [join(dist, 'bench/ring-device.js'), socket, rate], join(folder, 'device.log'))
  try {
    const { stdout } = await promisify(execFile)('taskset', ['-c', cores, process.execPath, join(dist, 'bench/ring-sink.js'), folder, socket, what, `${ring.pairs}`, `${ring.sliceMs}`], { timeout: 120_000 })
    return JSON.parse(stdout) as Found
  } finally {
    await device.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

const both = `${SERVER_CORE},${LOAD_CORE}`

const gbit = ({ value, baseline }: Pair): Pair => ({ value: value / 1e9, baseline: baseline / 1e9 })

export const ringThroughput = async (ring: Ring): Promise<Figure> => {
  const { pairs } = await measure(ring, 'store', 'max', both)
  const figures = pairs.map(gbit)
  return valueFigure('ring to durable store', 'Gbit/s', figures.map((p) => p.value), { atLeast: 2.5 }, `device on one core, sink on both; LMDB alone ${median(figures.map((p) => p.baseline)).toFixed(2)}`)
}

export const ringRatio = async (ring: Ring): Promise<Figure> => {
  const { pairs, cpuUs } = await measure(ring, 'store', 'max', both)
  const cpu = `${median(cpuUs.ours).toFixed(1)} us of processor per frame against ${median(cpuUs.plain).toFixed(1)}`
  return ratioFigure('ring to durable store / LMDB', 'Gbit/s', pairs.map(gbit), 0.7, `LMDB: the same records ready made, 256 a transaction, synced; ${cpu}`)
}

export const ringLatency = async (ring: Ring): Promise<Figure> => {
  const found: Found[] = []
  for (let i = 0; i < ring.pairs; i++) found.push(await measure({ ...ring, pairs: 1 }, 'latency', `${RECORD_LINK_BPS / FRAME_BITS}`, both))
  return valueFigure('frame to durable, p99', 'ms', found.map((f) => f.p99Ms), { atMost: 5 }, `at 115.8 Mbit/s; p50 ${median(found.map((f) => f.p50Ms)).toFixed(2)} ms`)
}

/** Beside the bell of the ring, in turn, a thread that does nothing but wait for one: below that no doorbell comes. */
export const doorbell = async (ring: Ring): Promise<Figure> => {
  const found: Found[] = [], bareUs: number[] = []
  for (let i = 0; i < ring.pairs; i++) {
    bareUs.push(wakeMedianUs(SERVER_CORE, LOAD_CORE, 50, 20_000))
    found.push(await measure(ring, 'bell', '50', `${SERVER_CORE}`))
  }
  const note = `from publication to the sealed frame in JavaScript, 50 frames/s; p99 ${Math.round(median(found.map((f) => f.p99Ms)) * 1_000)} us; baseline: a thread of C++ that waits for an eventfd`
  const figure = valueFigure('doorbell, idle consumer, p50', 'us', found.map((f) => f.p50Ms * 1_000), { atMost: 50 }, note)
  return { ...figure, baseline: median(bareUs), ratio: figure.value / median(bareUs) }
}

/** The reading side alone, in C++: frames of 3968 bytes, CRC, health tests, fingerprint, names; then the same with sealing. */
export const drain = async ({ pairs, sliceMs }: Ring): Promise<Figure[]> => {
  const of = (seal: boolean): number[] => Array.from({ length: pairs }, () => drainPerSecond(FRAME_BITS / 8, seal, sliceMs))
  const note = 'one thread, no JavaScript; processor time of the draining alone'
  return [
    valueFigure('drain and check', 'frames/s', of(false), { atLeast: 500_000 }, note),
    valueFigure('drain, check and seal', 'frames/s', of(true), { atLeast: 250_000 }, note),
  ]
}
