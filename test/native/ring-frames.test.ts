import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { addon, bench, folder, frameHeader, LINK, payload, plan, rawFrame, Reader } from './ring-support.js'

const FLAG_LAST = 1, FLAG_TEST = 4, FLAG_ABORTED = 8, FLAG_GAP = 16
const open = (t: Test, slots = 64) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path, slots })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  t.teardown(() => { producer.close() })
  return { reader, producer, path }
}

t.test('a good frame becomes a record: sealed, with its name, verified under the key and no other', async (t) => {
  const { reader, producer } = open(t)
  t.ok(producer.publish(frameHeader(7, 124, FLAG_LAST), payload(1)))
  const { records } = reader.drain()
  t.equal(records.length, 1)
  const { header, bytes } = records[0]!
  const view = new DataView(header.buffer, header.byteOffset)
  t.equal(bytes.length, 64 + 12 + 3_968 + 16)
  t.same([view.getUint8(0), view.getUint8(1), view.getUint16(2, true), view.getUint32(4, true), view.getUint32(8, true)], [1, 1, FLAG_LAST, LINK, 7])
  t.same([view.getUint32(24, true), view.getUint32(28, true), view.getUint32(32, true)], [124, 3_968, 3])
  t.same([view.getBigUint64(40, true), view.getUint32(56, true), view.getUint32(60, true)], [1n, 20_000, 1])
  t.ok(reader.bench.vault.verifyRecord(reader.bench.key, bytes))
  t.notOk(reader.bench.vault.verifyRecord(reader.bench.vault.newKey(), bytes))
  t.notOk(Buffer.from(bytes).includes(Buffer.from(payload(1).subarray(0, 16))), 'no plaintext')
})

t.test('every flip of one bit of a frame is refused', async (t) => {
  const { reader, producer } = open(t)
  const good = rawFrame({ block: 1, sequence: 1, epoch: 1, bytes: payload(9, 40) })
  let stored = 0, refused = 0
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = good.slice()
    bad[bit >> 3]! ^= 1 << (bit & 7)
    producer.publishRaw(bad)
    const done = reader.drain()
    stored += done.records.length
    refused += done.refused
    reader.consumer.acknowledge(done.ticket)
    reader.consumer.resume()
  }
  t.same([stored, refused], [0, good.length * 8])
  producer.publishRaw(good)
  t.equal(reader.drain().records.length, 1, 'the frame itself is good')
})

t.test('other link, other epoch, wrong lengths: refused and counted', async (t) => {
  const { reader, producer } = open(t)
  producer.publishRaw(rawFrame({ block: 1, sequence: 1, epoch: 1, link: LINK + 1, bytes: payload(1, 64) }))
  producer.publishRaw(rawFrame({ block: 1, sequence: 1, epoch: 2, bytes: payload(1, 64) }))
  reader.drain()
  reader.consumer.resume()
  const long = rawFrame({ block: 1, sequence: 1, epoch: 1, bytes: payload(1, 64) })
  new DataView(long.buffer).setUint32(48, 3_969, true)
  producer.publishRaw(long)
  reader.drain()
  const { badLink, badEpoch, badForm, refusedFrames, acceptedFrames } = reader.consumer.counters()
  t.same({ badLink, badEpoch, badForm, refusedFrames, acceptedFrames }, { badLink: 1, badEpoch: 1, badForm: 1, refusedFrames: 3, acceptedFrames: 0 })
})

t.test('a name is taken once: same bytes repeat, other bytes quarantine, nothing more is taken until resume', async (t) => {
  const { reader, producer } = open(t)
  for (const seed of [1, 1, 2]) producer.publish(frameHeader(1, 0), payload(seed))
  producer.publish(frameHeader(2, 0), payload(3))
  const done = reader.drain()
  t.match(done, { repeats: 1, refused: 1, quarantine: 'other-bytes' })
  t.equal(done.records.length, 1)
  t.equal(reader.drain().records.length, 0)
  reader.consumer.resume()
  t.equal(reader.drain().records.length, 0, 'what waited behind it is discarded')
  t.equal(reader.consumer.counters()['discardedFrames'], 1)
  producer.publish(frameHeader(3, 0), payload(4))
  t.equal(reader.drain().records.length, 1)
})

t.test('a replay under a new name quarantines, also after a restart that remembers', async (t) => {
  const { reader, producer, path } = open(t)
  const source = addon.createFrameSource(new Uint8Array(32))
  t.equal(producer.generate(source, plan(1, 0, 4, 4)), 4)
  const { records } = reader.drain()
  t.equal(producer.generate(source, plan(2, 0, 4, 4, { payloadBlock: 1 })), 4)
  t.match(reader.drain(), { records: { length: 0 }, quarantine: 'replay' })
  t.match(reader.incidents(), [{ kind: 'replay', offset: 0 }])
  producer.close()
  reader.consumer.close()
  const again = new Reader(t, reader.bench, { path })
  for (const { header } of records) again.consumer.remember(header)
  const next = addon.openRingProducer({ path, linkId: LINK })
  t.teardown(() => { next.close() })
  next.generate(source, plan(3, 2, 2, 4, { payloadBlock: 1 }))
  t.match(again.drain(), { records: { length: 0 }, quarantine: 'replay' })
})

t.test('three bad frames in a row quarantine, a good one between them does not', async (t) => {
  const { reader, producer } = open(t)
  const source = addon.createFrameSource()
  const send = (block: number, flaw: number): void => { producer.generate(source, plan(block, 0, 1, 1, { flaw })) }
  for (const [i, flaw] of [1, 2, 0, 1, 2].entries()) send(i, flaw)
  t.match(reader.drain(), { refused: 4, quarantine: '' })
  send(9, 1)
  t.match(reader.drain(), { refused: 1, quarantine: 'three-bad' })
  t.same(reader.incidents().map(({ kind }) => kind), ['bad-frame', 'bad-frame', 'gap', 'bad-frame', 'bad-frame', 'bad-frame'])
})

t.test('a stuck byte and a stuck line quarantine', async (t) => {
  for (const flaw of [3, 4]) {
    const { reader, producer } = open(t)
    producer.generate(addon.createFrameSource(), plan(1, 0, 2, 2, { flaw }))
    t.match(reader.drain(), { records: { length: 0 }, quarantine: 'stuck' })
  }
})

t.test('flags: test data and aborted blocks are not stored; gaps and drops are told', async (t) => {
  const { reader, producer } = open(t)
  producer.publish(frameHeader(1, 0, FLAG_TEST), payload(1))
  producer.publish(frameHeader(2, 0), payload(2))
  producer.publish(frameHeader(2, 0, FLAG_ABORTED), payload(3))
  producer.skipSequence(4)
  producer.publish(frameHeader(2, 124), payload(4))
  producer.publish(frameHeader(3, 0, FLAG_GAP), payload(5))
  const done = reader.drain()
  t.equal(done.records.length, 2, 'frame 2/0 before it was aborted, and 3/0')
  t.same(reader.incidents().map(({ kind, detail }) => [kind, detail]), [['test-data', 20_000], ['aborted', 0], ['gap', 4], ['aborted', 0], ['device-dropped', 0]])
})

t.test('with a MAC key only frames with a right MAC are taken', async (t) => {
  const dir = folder(t), macKeyPath = join(dir, 'k'), other = join(dir, 'o'), wide = join(dir, 'w')
  writeFileSync(macKeyPath, payload(1, 32), { mode: 0o600 })
  writeFileSync(other, payload(2, 32), { mode: 0o600 })
  writeFileSync(wide, payload(2, 31), { mode: 0o600 })
  const path = join(dir, 's'), reader = new Reader(t, bench(), { path, macKeyPath })
  const sends = [[macKeyPath, 1], [other, 0], [undefined, 0]] as const
  for (const [i, [key, stored]] of sends.entries()) {
    const producer = addon.openRingProducer({ path, linkId: LINK, ...(key === undefined ? {} : { macKeyPath: key }) })
    producer.publish(frameHeader(i, 0), payload(i, 3_952))
    t.equal(reader.drain().records.length, stored)
    producer.close()
  }
  t.equal(reader.consumer.counters()['badMac'], 2)
  t.throws(() => new Reader(t, reader.bench, { path: join(dir, 'x'), macKeyPath: wide }), { code: 'RING_INVALID', message: /32 bytes/ })
  chmodSync(other, 0o644)
  t.throws(() => new Reader(t, reader.bench, { path: join(dir, 'y'), macKeyPath: other }), { code: /./ })
})
