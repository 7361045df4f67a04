import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createActor } from 'xstate'
import { deviceMachine } from '../../machines/device.js'
import { RingBatches, type RingBatch } from '../../src/device/ring-batches.js'
import { createRingActor } from '../../src/device/ring-actor.js'
import type { DeviceSource } from '../../src/device/adapter.js'
import { addon, bench, folder, frameHeader, LINK, payload, plan, until } from '../native/ring-support.js'
import { Listener } from './source-support.js'

t.test('batches are acknowledged to the device in order, whatever the order of the store', async (t) => {
  const told: number[] = []
  let freed = 0
  const batches = new RingBatches(3, (ticket) => { told.push(ticket) }, () => { freed += 1 })
  const [a, b, c] = [batches.borrow()!, batches.borrow()!, batches.borrow()!]
  t.equal(batches.borrow(), undefined, 'the bound holds')
  const mark = { epoch: 1, sequence: 7 }
  const one = batches.issue(a, 1, 10, mark), two = batches.issue(b, 1, 11, mark), bare = batches.issue(c, 0, 12, mark)
  t.same(bare.mark, mark)
  bare.acknowledge()
  two.acknowledge()
  t.same(told, [], 'the first is not durable yet')
  one.acknowledge()
  t.same(told, [12])
  t.same([freed, batches.inFlight], [3, 0])
  t.throws(() => { one.acknowledge() }, /once/)
})

t.test('the memory of a batch that was copied serves the next drain; what is not durable stays bounded', async (t) => {
  const told: number[] = [], mark = { epoch: 1, sequence: 7 }
  let freed = 0
  const batches = new RingBatches(1, (ticket) => { told.push(ticket) }, () => { freed += 1 })
  const issued: RingBatch[] = []
  for (let buffers = batches.borrow(); buffers !== undefined; buffers = batches.borrow()) {
    const batch = batches.issue(buffers, 1, issued.length, mark)
    issued.push(batch)
    batch.release()
  }
  t.equal(new Set(issued.map(({ records }) => records)).size, 1, 'one memory')
  t.same([issued.length, batches.inFlight, freed], [9, 9, 9], 'eight in the store, one on its way')
  issued[0]!.acknowledge()
  t.same([told, batches.inFlight, freed], [[0], 8, 10])
  t.ok(batches.borrow(), 'there is room again')
  t.throws(() => { issued[1]!.release() }, /once/)
})

t.test('while the store is behind, frames stay in the ring: never more batches than allowed', async (t) => {
  const path = join(folder(t), 's'), listener = new Listener(t, bench(), { path, slots: 1_024 }, { batchesMax: 2, gatherMs: 0 })
  listener.hold = true
  listener.start()
  const producer = addon.openRingProducer({ path, linkId: LINK }), source = addon.createFrameSource()
  producer.generate(source, plan(1, 0, 1_024, 4_096))
  await until(() => listener.held.length === 2, 'two batches')
  await new Promise((resolve) => { setTimeout(resolve, 700) })
  t.equal(listener.held.length, 2)
  t.equal(listener.source.view().batchesInFlight, 2)
  t.ok(listener.frames.size <= 512 && listener.frames.size > 0, 'at most 256 frames a batch')
  t.ok(producer.generate(source, plan(1, 1_024, 1_024, 4_096)) <= 512, 'the ring gives backpressure')
  listener.hold = false
  for (const batch of listener.held.splice(0)) batch.acknowledge()
  await until(() => listener.source.view().batchesInFlight === 0 && listener.frames.size >= 1_024, 'the rest flows')
  t.equal(listener.twice, 0)
  t.match(listener.notices[0], { type: 'watermark', level: 4 })
  await until(() => listener.notices.at(-1)?.type === 'watermark', 'it ends')
  producer.close()
})

t.test('the life of a device: absent, attached, frames, drained, stalled, absent', async (t) => {
  const path = join(folder(t), 's'), listener = new Listener(t, bench(), { path, slots: 64 }, { stalledMs: 1_500 }).start() // Thirty beats: one that is late on a busy machine is no silence.
  t.match(listener.reports, [{ type: 'device.absent', reason: /no device is connected/ }])
  const producer = addon.openRingProducer({ path, linkId: LINK }), state = new Float64Array(8)
  const beat = setInterval(() => { producer.state(state, own) }, 50)
  let own = 1
  await until(() => listener.told().includes('attached'), 'attached')
  t.equal(listener.source.view().state, 'attached')
  producer.publish(frameHeader(1, 0), payload(1))
  producer.publish(frameHeader(2, 0), payload(2))
  await until(() => listener.told().includes('frames'), 'frames')
  t.equal(listener.source.view().state, 'running')
  own = 2
  await until(() => listener.told().includes('drained'), 'drained')
  own = 1
  producer.state(state, own) // Not at the next beat, which may be the one that never comes.
  producer.publish(frameHeader(3, 0), payload(3))
  await until(() => listener.told().filter((type) => type === 'frames').length === 2, 'frames again')
  clearInterval(beat)
  await until(() => listener.told().includes('stalled'), 'stalled')
  producer.close()
  await until(() => listener.told().filter((type) => type === 'absent').length === 2, 'absent')
  t.same(listener.told().filter((type) => type !== 'gap'), ['absent', 'attached', 'frames', 'drained', 'frames', 'stalled', 'absent'])
})

t.test('a quarantine is told once, holds the ring, and ends by resume', async (t) => {
  const path = join(folder(t), 's'), listener = new Listener(t, bench(), { path, slots: 64 }).start()
  const producer = addon.openRingProducer({ path, linkId: LINK })
  producer.publish(frameHeader(1, 0), payload(1))
  producer.publish(frameHeader(1, 0), payload(2))
  await until(() => listener.kinds().includes('quarantined'), 'quarantine')
  producer.publish(frameHeader(2, 0), payload(3))
  await new Promise((resolve) => { setTimeout(resolve, 600) })
  t.equal(listener.frames.size, 1)
  t.equal(listener.source.view().quarantine, 'other-bytes')
  listener.source.resume()
  producer.publish(frameHeader(4, 0), payload(4))
  await until(() => listener.frames.size === 2, 'it goes on')
  t.equal(listener.source.counters()['discardedFrames'], 1, 'what waited is gone')
  producer.publish(frameHeader(3, 0), payload(4))
  await until(() => listener.kinds().filter((kind) => kind === 'quarantined').length === 2, 'the next one is told too')
  t.same(listener.kinds(), ['other-bytes', 'quarantined', 'replay', 'quarantined'])
  producer.close()
})

t.test('memory without a bell is polled', async (t) => {
  const path = join(folder(t), 'r'), maker = new Listener(t, bench(), { path, slots: 64, kind: 'file' })
  maker.source.close()
  const listener = new Listener(t, bench(), { path, kind: 'device' }).start()
  const producer = addon.openRingProducer({ path, linkId: LINK })
  producer.publish(frameHeader(1, 0), payload(1))
  await until(() => listener.frames.size === 1, 'polled')
  producer.close()
})

t.test('the device machine drives a ring: attached, running, a fault closes and opens it anew', async (t) => {
  const path = join(folder(t), 'r'), parts = bench()
  let opened: DeviceSource | undefined, opens = 0
  const ring = createRingActor(() => {
    opens += 1
    return new Listener(t, parts, { path, slots: 64, kind: 'file' }).source
  }, { batch: (batch) => { batch.acknowledge() }, notice: () => {}, opened: (source) => { opened = source } })
  const limits = { reopenMs: 50, faultMinMs: 50, faultMaxMs: 100, stableMs: 60_000 }
  const actor = createActor(deviceMachine.provide({ actors: { ring } }), { input: { device: 'd', limits } }).start()
  t.teardown(() => { actor.stop() })
  await until(() => opened !== undefined, 'opened')
  const producer = addon.openRingProducer({ path, linkId: LINK })
  producer.publish(frameHeader(1, 0), payload(1))
  await until(() => actor.getSnapshot().value === 'running', 'running')
  t.equal(opens, 1)
  truncateSync(path, 8_192)
  producer.close()
  await until(() => actor.getSnapshot().value === 'faulty', 'the cut file is a fault')
  t.equal(opened, undefined)
  t.match(actor.getSnapshot().context.reason, /region-lost|region is shorter/)
  await until(() => opens > 1, 'it tries again')
})
