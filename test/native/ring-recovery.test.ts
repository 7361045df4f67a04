import { closeSync, openSync, readSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PRODUCER, PRODUCER_NUMBERS, SIDE_STATE, type NativeRingProducer } from '../../src/device/native.js'
import { addon, bench, crc32c, folder, frameHeader, LINK, payload, Reader, until } from './ring-support.js'

const poke = (path: string, at: number, bytes: Uint8Array): void => {
  const file = openSync(path, 'r+')
  try { writeSync(file, bytes, 0, bytes.length, at) } finally { closeSync(file) }
}
const u32 = (value: number): Uint8Array => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value >>> 0); return bytes }
const u64 = (value: bigint): Uint8Array => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(value); return bytes }
const stateOf = (producer: NativeRingProducer): Float64Array => {
  const state = new Float64Array(PRODUCER_NUMBERS)
  producer.state(state, SIDE_STATE.run)
  return state
}
const durable = (producer: NativeRingProducer): number => stateOf(producer)[PRODUCER.durable]!

t.test('durable is what was acknowledged, in the order of the tickets', async (t) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  const tickets = [1, 2, 3].map((i) => { producer.publish(frameHeader(i, 0), payload(i)); return reader.drain().ticket })
  t.equal(durable(producer), 0)
  reader.consumer.acknowledge(tickets[1]!)
  t.equal(durable(producer), 2)
  reader.consumer.acknowledge(tickets[0]!)
  t.equal(durable(producer), 2, 'an older ticket takes nothing back')
  reader.consumer.acknowledge(tickets[2]!)
  t.equal(durable(producer), 3)
  producer.close()
})

t.test('the KME dies: a ring file keeps the frames, and what was read but not durable is a gap', async (t) => {
  const path = join(folder(t), 'r'), first = new Reader(t, bench(), { path, kind: 'file' })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  producer.publish(frameHeader(1, 0), payload(1))
  first.consumer.acknowledge(first.drain().ticket)
  producer.publish(frameHeader(2, 0), payload(2))
  t.equal(first.drain().records.length, 1)
  producer.publish(frameHeader(3, 0), payload(3))
  first.consumer.close()
  const second = new Reader(t, first.bench, { path, kind: 'file' })
  t.equal(second.consumer.header()['durableSequence'], 1, 'the witness of a store that was rolled back')
  const done = second.drain()
  t.equal(done.records.length, 1)
  t.match(second.incidents(), [{ kind: 'gap', detail: 1 }])
  t.equal(stateOf(producer)[PRODUCER.consumerGone], 1, 'its bell is gone: the device attaches anew')
  producer.close()
  const again = addon.openRingProducer({ path, linkId: LINK })
  again.publish(frameHeader(2, 0), payload(2)) // resent: it was not durable
  t.equal(second.drain().records.length, 1)
  t.match(second.incidents(), [{ kind: 'restarted', detail: 1, epoch: 2 }])
  again.close()
})

t.test('a device that restarts takes the next place; names that are known are repeats', async (t) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path })
  for (let epoch = 1; epoch <= 70; epoch++) { // more than the ring has slots
    const producer = addon.openRingProducer({ path, linkId: LINK })
    t.equal(stateOf(producer)[PRODUCER.epoch], epoch)
    producer.publish(frameHeader(epoch - 1, 0), payload(epoch - 1))
    producer.publish(frameHeader(epoch, 0), payload(epoch))
    const done = reader.drain()
    t.same([done.records.length, done.repeats], epoch === 1 ? [2, 0] : [1, 1])
    reader.consumer.acknowledge(done.ticket)
    t.equal(durable(producer), 2)
    producer.close()
    await until(() => { const health = new Uint32Array(6); reader.consumer.tick(health); return health[0] === 0 }, 'the device is gone')
  }
})

t.test('an epoch stays above what the device knows, also in a new region', async (t) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path })
  const producer = addon.openRingProducer({ path, linkId: LINK, epochAfter: 41 })
  producer.witness(41, 2 ** 40)
  t.equal(stateOf(producer)[PRODUCER.epoch], 42)
  t.match(reader.consumer.header(), { epoch: 42, witnessEpoch: 41, witnessSequence: 2 ** 40 })
  producer.close()
})

t.test('a ring file whose header lies is refused, with the reason', async (t) => {
  const lies: [number, Uint8Array, RegExp][] = [
    [0x00, u32(1), /magic/], [0x08, u32(9), /version/], [0x0C, u32(0), /slots/], [0x0C, u32(63), /slots/], [0x0C, u32(1 << 31), /slots/],
    [0x0C, u32(128), /shorter/], [0x10, u32(0xFFFFFFC0), /stride/], [0x10, u32(64), /stride/], [0x14, u32(0), /offset/],
    [0x14, u32(0xFFFFFFC0), /offset/], [0x20, u64(1n << 60n), /length/], [0x28, u32(99), /link 99/],
  ]
  for (const [at, bytes, message] of lies) {
    const path = join(folder(t), 'r')
    new Reader(t, bench(), { path, kind: 'file' }).consumer.close()
    poke(path, at, bytes)
    const header = Buffer.alloc(44) // the liar sums up his lie
    const file = openSync(path, 'r')
    readSync(file, header, 0, 44, 0)
    closeSync(file)
    header.fill(0, 0x18, 0x20)
    poke(path, 0x2C, u32(crc32c(header)))
    t.throws(() => new Reader(t, bench(), { path, kind: 'file' }), { code: 'RING_INVALID', message })
    t.throws(() => addon.openRingProducer({ path, linkId: LINK }), { code: 'RING_INVALID' })
  }
})

t.test('changes of the header after it was read change nothing', async (t) => {
  const path = join(folder(t), 'r'), reader = new Reader(t, bench(), { path, kind: 'file' })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  for (const [at, value] of [[0x0C, 1 << 30], [0x10, 64], [0x14, 0], [0x28, 1]] as const) poke(path, at, u32(value))
  for (const at of [0x80, 0x100]) poke(path, at, u64(0xFFFFFFFFFFFFFFFFn)) // head and tail are hints
  for (let i = 0; i < 200; i++) {
    t.ok(producer.publish(frameHeader(i, 0), payload(i)))
    const done = reader.drain()
    t.equal(done.records.length, 1)
    reader.consumer.acknowledge(done.ticket)
  }
  producer.close()
})

t.test('turn words that lie stop the ring with a fault; a new reader refuses them', async (t) => {
  for (const lie of [2n, 128n, 0xFFFFFFFFFFFFFFFFn]) {
    const path = join(folder(t), 'r'), reader = new Reader(t, bench(), { path, kind: 'file' })
    poke(path, 4_096, u64(lie))
    t.match(reader.drain(), { records: { length: 0 }, fault: 'bad-turn' })
    reader.consumer.close()
    t.throws(() => new Reader(t, bench(), { path, kind: 'file' }), { code: 'RING_INVALID', message: /turn words/ })
  }
})

t.test('a ring file that is cut: a fault, never a crash', async (t) => {
  const path = join(folder(t), 'r'), reader = new Reader(t, bench(), { path, kind: 'file' })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  for (let i = 0; i < 20; i++) producer.publish(frameHeader(i, 0), payload(i))
  truncateSync(path, 4_096 + 5 * 4_096)
  const done = reader.drain()
  t.equal(done.fault, 'region-lost')
  truncateSync(path, 0)
  t.equal(reader.drain().fault, 'region-lost')
  t.equal(stateOf(producer)[PRODUCER.consumerGone], 1)
  t.notOk(producer.publish(frameHeader(99, 0), payload(99)))
  reader.consumer.tick(new Uint32Array(6))
  producer.close()
})

t.test('paths that cannot be: each with its reason', async (t) => {
  const dir = folder(t), path = join(dir, 's'), reader = new Reader(t, bench(), { path })
  t.throws(() => new Reader(t, reader.bench, { path }), { code: 'RING_INVALID', message: /another process serves this ring/ })
  t.throws(() => new Reader(t, reader.bench, { path: join(dir, 'x'.repeat(120)) }), { code: 'RING_INVALID', message: /107 bytes/ })
  t.throws(() => new Reader(t, reader.bench, { path: join(dir, 'q'), slots: 100 }), { code: 'RING_INVALID', message: /power of two/ })
  t.throws(() => addon.openRingProducer({ path: join(dir, 'none'), linkId: LINK }), { code: 'RING_INVALID', message: /No such file/ })
  t.throws(() => addon.openRingProducer({ path, linkId: LINK + 1 }), { code: 'RING_INVALID', message: /is the ring of link 5, not of link 6/ })
  await until(() => { const health = new Uint32Array(6); reader.consumer.tick(health); return health[0] === 0 }, 'that device is gone')
  const producer = addon.openRingProducer({ path, linkId: LINK })
  t.throws(() => addon.openRingProducer({ path, linkId: LINK }), { code: 'RING_INVALID', message: /another device/ })
  producer.close()
})
