import { join } from 'node:path'
import t from 'tap'
import { addon, bench, folder, frameHeader, LINK, payload, Reader, until } from './ring-support.js'

t.test('an idle consumer is woken by each frame, never lost', async (t) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  let got = 0, wakes = 0
  reader.consumer.start(() => {
    wakes += 1
    for (let more = true; more;) {
      const done = reader.drain()
      got += done.records.length
      reader.consumer.acknowledge(done.ticket)
      more = done.more
    }
  })
  await until(() => wakes > 0, 'the device came: a bell')
  for (let i = 0; i < 300; i++) {
    producer.publish(frameHeader(i, 0), payload(i))
    await until(() => got === i + 1, `frame ${i}`)
  }
  producer.close()
  reader.consumer.close()
})

t.test('no bell while the consumer is awake', async (t) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  let wakes = 0
  reader.consumer.start(() => { wakes += 1 })
  await until(() => wakes > 0, 'the device came')
  t.notOk(reader.drain().more)
  for (let i = 0; i < 50; i++) producer.publish(frameHeader(i, 0), payload(i))
  await until(() => wakes > 1, 'the first of them rings')
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  t.equal(wakes, 2, 'the others do not: nobody has announced sleep since')
  t.equal(reader.drain().records.length, 50)
  producer.close()
  reader.consumer.close()
})

t.test('a device that sleeps on a full ring is woken by the drain', async (t) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path, slots: 8 })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  let space = 0
  producer.start(() => { space += 1 })
  t.notOk(producer.sleep(), 'there is room: no sleep')
  for (let i = 0; i < 8; i++) t.ok(producer.publish(frameHeader(i, 0), payload(i)))
  t.notOk(producer.publish(frameHeader(8, 0), payload(8)), 'full: refused, nothing overwritten')
  t.ok(producer.sleep())
  t.equal(reader.drain().records.length, 8)
  await until(() => space === 1, 'the bell of space')
  t.ok(producer.publish(frameHeader(8, 0), payload(8)))
  producer.close()
})

t.test('a bell may close its own ring, and an error in it is not swallowed', async (t) => {
  const path = join(folder(t), 's'), reader = new Reader(t, bench(), { path })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  let thrown: unknown
  process.once('uncaughtException', (error) => { thrown = error })
  let wakes = 0
  reader.consumer.start(() => {
    wakes += 1
    reader.consumer.close()
    throw new Error('from the bell')
  })
  await until(() => thrown !== undefined, 'the error')
  t.match(thrown, { message: 'from the bell' })
  t.equal(wakes, 1)
  t.throws(() => reader.drain(), /the ring is open/)
  producer.close()
})
