/**
 * The reading side for the measurements of the ring, as a process: the ring source and the store of a KME and nothing else.
 * `node dist/bench/ring-sink.js <folder> <socket> <store|latency|bell> <pairs> <slice ms>` prints one JSON object.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadNative, META_NUMBERS, RECORD_STRIDE } from '../src/device/native.js'
import type { RingBatch } from '../src/device/ring-batches.js'
import { RingSource } from '../src/device/ring-source.js'
import { FrameRows } from '../src/pool/frame-rows.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { openLmdbKv } from '../src/store/lmdb.js'
import { openLmdb } from '../src/store/lmdb-batch.js'
import { recordsKey, SHARED_RECORDS_MAX } from '../src/store/shared-records.js'
import { runPairs } from './figures.js'

const [folder = '', socket = '', what = 'store', pairs = '9', sliceMs = '1000'] = process.argv.slice(2)
const NAMES = 65_536 // LMDB alone writes records round and round: 256 MiB.
const ROWS = NAMES / SHARED_RECORDS_MAX // So many are kept: they go again as those of a KME do.
const RECORD_BYTES = 64 + 12 + 3_968 + 16
const BATCH = 256
const WARM_FRAMES = 2_000

const vault = loadNative().createVault({ arenaBytes: 1_048_576, allowUnlockedMemory: true })
const sealer = vault.createSealer(vault.newKey(), 1)
const kv = await openLmdbKv({ folder: join(folder, 'kv'), mapBytes: 4 * 2 ** 30, reserveBytes: 0 })
const source = new RingSource({
  addon: loadNative(), vault, clock: systemClock, sealing: () => ({ sealer, keySlot: 1 }),
  ring: { path: socket, linkId: 1, slots: 4_096, fingerprintKey: randomBytes(32) },
})

const frameRows = new FrameRows(), rows: number[] = []
let durableBytes = 0, holding = false
const held: RingBatch[] = []
const latenciesMs: number[] = []
/** Processor time of all threads per frame, in microseconds: what counts on a machine that does other work, too. */
const cpuUs: { ours: number[], plain: number[] } = { ours: [], plain: [] }
const usedUs = (since?: NodeJS.CpuUsage): number => { const { user, system } = process.cpuUsage(since); return user + system }

/** The block id of a stamped frame begins with the monotonic time of its publication. */
const madeAtNs = (batch: RingBatch, i: number): bigint => Buffer.from(batch.records.buffer, batch.records.byteOffset + i * RECORD_STRIDE, 64).readBigUInt64LE(8)
const sinceMs = (ns: bigint): number => Number(process.hrtime.bigint() - ns) / 1e6

const store = (batch: RingBatch): void => {
  kv.transact((tx) => {
    rows.push(...new Set(frameRows.put(tx, batch.records, batch.meta, batch.count).map((frame) => frame.at?.row ?? 0)))
    for (const row of rows.splice(0, Math.max(0, rows.length - ROWS))) tx.remove(recordsKey(1, row))
  })
  const bytes = Array.from({ length: batch.count }, (_, i) => batch.meta[i * META_NUMBERS + 1]!)
  const madeNs = what === 'latency' ? bytes.map((_, i) => madeAtNs(batch, i)) : []
  batch.release()
  void kv.flushed().then(() => {
    durableBytes += bytes.reduce((sum, n) => sum + n, 0)
    for (const ns of madeNs) if (latenciesMs.length < 200_000) latenciesMs.push(sinceMs(ns))
    batch.acknowledge()
  })
}

const onBatch = (batch: RingBatch): void => {
  if (what === 'bell') {
    for (let i = 0; i < batch.count; i++) latenciesMs.push(sinceMs(madeAtNs(batch, i)))
    batch.acknowledge()
  } else if (holding) held.push(batch)
  else store(batch)
}

/** Payload bits that became durable, per second. The ring is held before and after, so that nothing else runs beside the baseline. */
const ours = async (): Promise<number> => {
  holding = false
  for (const batch of held.splice(0)) store(batch)
  const startMs = systemClock.monoMs(), before = durableBytes, cpu = process.cpuUsage()
  await sleep(Number(sliceMs))
  cpuUs.ours.push(usedUs(cpu) / Math.max(1, (durableBytes - before) / 3_968))
  const bitsPerS = (durableBytes - before) * 8_000 / (systemClock.monoMs() - startMs)
  holding = true
  await sleep(200)
  return bitsPerS
}

const db = openLmdb(join(folder, 'plain'), 4 * 2 ** 30)
const records = Array.from({ length: BATCH }, () => randomBytes(RECORD_BYTES))
let plainName = 0

/** LMDB alone: the same records, ready made, each transaction synced before the next. */
const plain = async (): Promise<number> => {
  const startMs = systemClock.monoMs(), cpu = process.cpuUsage()
  let count = 0
  while (systemClock.monoMs() - startMs < Number(sliceMs)) {
    db.transactionSync(() => {
      for (const record of records) {
        const key = Buffer.alloc(8)
        key.writeDoubleBE(++plainName % NAMES)
        db.putSync(key, record)
      }
    })
    count += BATCH
    await sleep(0)
  }
  cpuUs.plain.push(usedUs(cpu) / count)
  return count * 3_968 * 8_000 / (systemClock.monoMs() - startMs)
}

source.start({ batch: onBatch, report: () => {}, notice: (notice) => { if (notice.type === 'quarantined') throw new Error(`quarantined: ${notice.reason}`) } })
const tick = setInterval(() => {}, 1_000)
// The device sends so many first.
while (what === 'store' ? durableBytes === 0 : latenciesMs.length < WARM_FRAMES) await sleep(20)
await sleep(500)
latenciesMs.length = 0
if (what !== 'store') await sleep(Number(sliceMs))
const found = what !== 'store' ? [] : await runPairs(Number(pairs), ours, plain)
clearInterval(tick)
latenciesMs.sort((a, b) => a - b)
const at = (part: number): number => latenciesMs[Math.floor(part * (latenciesMs.length - 1))] ?? NaN
process.stdout.write(`${JSON.stringify({ pairs: found, cpuUs, frames: latenciesMs.length, p50Ms: at(0.5), p99Ms: at(0.99) })}\n`, () => { process.exit(0) })
