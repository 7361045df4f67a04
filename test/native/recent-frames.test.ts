import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TICK_NUMBERS, type BlockHandle } from '../../src/device/native.js'
import { makeRecordHeader, recordName } from '../../src/store/record.js'
import { encodeFrames, frameNames } from '../../src/pool/row-codec.js'
import type { FrameRef } from '../../src/pool/rows.js'
import { addon, bench, folder, frameHeader, LINK, payload, Reader, type Record } from './ring-support.js'

const FRAME_BYTES = 3_968, UNITS = 124, BENCH_CELLS = 256
const m = new Uint8Array([1, 2, 3])

const open = (t: Test) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path, slots: 512 }), { vault, key } = reader.bench
  const producer = addon.openRingProducer({ path, linkId: LINK })
  t.teardown(() => { producer.close() })
  /** Frames of one device block, as they are drained. */
  const drained = (from: number, count: number): Record[] => {
    for (let i = from; i < from + count; i++) producer.publish(frameHeader(7, i * UNITS), payload(i + 1))
    const out: Record[] = []
    while (out.length < count) out.push(...reader.drain().records)
    return out
  }
  const refs = (records: readonly Record[]): FrameRef[] => records.map(({ header }) => ({ ...recordName(header), length: FRAME_BYTES }))
  const blockOf = (frames: readonly FrameRef[]): BlockHandle => vault.createBlock(1, 0, Uint32Array.from(frames, (f) => f.length))
  const take = (block: BlockHandle, frames: readonly FrameRef[]): number => {
    const { names, stride } = frameNames(encodeFrames(frames))
    return vault.loadRecent(block, names, stride)
  }
  return { reader, vault, key, drained, refs, blockOf, take }
}

t.test('what was drained a moment ago makes the same block as its records, once', async (t) => {
  const { vault, key, drained, refs, blockOf, take } = open(t)
  const records = drained(0, 20), frames = refs(records).slice(2, 18), block = blockOf(frames), again = blockOf(frames)
  t.equal(take(block, frames.map((f, i) => ({ ...f, at: { row: 1, index: i } }))), 16, 'names of frames that share rows')
  for (const [i, { bytes }] of records.slice(2, 18).entries()) vault.loadFrame(again, i, key, bytes)
  t.same(vault.confirmTag(block, 1, m), vault.confirmTag(again, 1, m), 'the same bytes')
  vault.dropBlock(again)
  const second = blockOf(frames)
  t.equal(take(second, frames), 0, 'they are gone from there')
  vault.dropBlock(block)
  t.equal(vault.stats().cellsUsed, 4, 'and with their block; the others wait')
  vault.loadFrame(second, 0, key, records[2]!.bytes)
  t.equal(take(second, frames), 1, 'what is open already counts')
  t.throws(() => vault.loadRecent(second, new Uint8Array(16 * 28 - 1), 28), /invariant violated/)
  t.throws(() => vault.loadRecent(second, new Uint8Array(16 * 28), 27), /invariant violated/)
})

t.test('only the very frame that is named', async (t) => {
  const { drained, refs, take, vault } = open(t)
  const [frame] = refs(drained(0, 1))
  const shape = (length: number): BlockHandle => vault.createBlock(1, 0, Uint32Array.of(length))
  for (const other of [{ link: LINK + 1 }, { offset: 1 }, { id: 'f'.repeat(32) }]) t.equal(take(shape(FRAME_BYTES), [{ ...frame!, ...other }]), 0, Object.keys(other).join())
  t.equal(take(shape(FRAME_BYTES - 8), [{ ...frame!, length: FRAME_BYTES - 8 }]), 0, 'shorter')
  t.equal(take(shape(FRAME_BYTES - 8), [frame!]), 0, 'longer than the block says')
  t.equal(take(shape(FRAME_BYTES), [frame!]), 1)
})

t.test('at most a quarter of the arena, the newest; none when every cell is pinned', async (t) => {
  const { vault, key, reader, drained, refs, blockOf, take } = open(t)
  const frames = refs(drained(0, BENCH_CELLS / 4 + 10))
  t.equal(vault.stats().cellsUsed, BENCH_CELLS / 4)
  t.equal(take(blockOf(frames.slice(8, 12)), frames.slice(8, 12)), 2, 'the first ten are gone')
  const record = new Uint8Array(4_096), header = makeRecordHeader(2, { link: 0, id: '0'.repeat(32), offset: 0 }, 16, 1, 1), length = vault.sealRandom(reader.bench.sealer, header, 16, record)
  for (let n = 0; n < BENCH_CELLS / 16; n++) {
    const block = vault.createBlock(2, 0, new Uint32Array(16).fill(16))
    for (let i = 0; i < 16; i++) { vault.loadFrame(block, i, key, record.subarray(0, length)); vault.pinFrame(block, i) }
  }
  t.equal(vault.stats().cellsPinned, BENCH_CELLS)
  const more = refs(drained(200, 5))
  t.equal(take(blockOf(more), more), 0, 'drained all the same')
})

t.test('nobody takes it: wiped after a second', async (t) => {
  const { vault, reader, drained } = open(t), numbers = new Uint32Array(TICK_NUMBERS)
  drained(0, 5)
  reader.consumer.tick(numbers)
  t.equal(vault.stats().cellsUsed, 5)
  await sleep(1_050)
  drained(5, 1)
  reader.consumer.tick(numbers)
  t.equal(vault.stats().cellsUsed, 1)
})

t.test('wiped all the same when the sealer of an hour is gone, and at once when the ring is closed', async (t) => {
  const { vault, reader, drained } = open(t), numbers = new Uint32Array(TICK_NUMBERS)
  drained(0, 5)
  vault.dropSealer(reader.bench.sealer)
  await sleep(1_050)
  t.equal(vault.stats().cellsUsed, 5)
  reader.consumer.tick(numbers)
  t.equal(vault.stats().cellsUsed, 0)
  const next = open(t)
  next.drained(0, 3)
  t.equal(next.vault.stats().cellsUsed, 3)
  next.reader.consumer.close()
  t.equal(next.vault.stats().cellsUsed, 0)
})
