import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs'
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

const descriptors = (): number => readdirSync('/proc/self/fd').length

t.test('a ring that was closed holds no descriptor, whenever its object is collected', t => {
  const { vault } = bench(), at = folder(t)
  const options = { path: 'a test', linkId: LINK, slots: 64, rememberedFrames: 4_096, fingerprintKey: new Uint8Array(32) }
  const before = descriptors()
  for (let i = 0; i < 8; i++) {
    const consumer = addon.openRingConsumer(vault, { ...options, kind: 'private' })
    const producer = addon.openRingProducer({ path: 'a test', linkId: LINK, shared: consumer.share() })
    consumer.start(() => {})
    producer.close()
    consumer.close()
    addon.openRingConsumer(vault, { ...options, path: join(at, 's') }).close()
  }
  t.equal(descriptors(), before)
  t.end()
})

t.test('a bell that cannot be watched is told', t => {
  const consumer = addon.openRingConsumer(bench().vault, { kind: 'private', path: 'a test', linkId: LINK, slots: 64, rememberedFrames: 4_096, fingerprintKey: new Uint8Array(32) })
  const given = consumer.share(), file = join(folder(t), 'file')
  writeFileSync(file, '')
  closeSync(given.space)
  const producer = addon.openRingProducer({ path: 'a test', linkId: LINK, shared: { ...given, space: openSync(file, 'r') } })
  t.throws(() => { producer.start(() => {}) }, { code: 'RING_INVALID', message: /bell cannot be watched/ })
  producer.close()
  consumer.close()
  t.end()
})

t.test('without a descriptor left, a ring refuses to be shared, and the process lives on', t => {
  const script = `
    const { loadNative } = await import(${JSON.stringify(new URL('../../src/device/native.js', import.meta.url).href)})
    const { openSync } = await import('node:fs')
    const addon = loadNative(), vault = addon.createVault({ arenaBytes: 1 << 20, allowUnlockedMemory: true })
    const ring = addon.openRingConsumer(vault, { kind: 'private', path: 'a test', linkId: ${LINK}, slots: 64, rememberedFrames: 4096, fingerprintKey: new Uint8Array(32) })
    try { for (;;) openSync('/dev/null') } catch {}
    try { ring.share() } catch (error) { console.log(error.code) }`
  const run = spawnSync('sh', ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, script], { encoding: 'utf8' })
  t.match(run, { status: 0, stdout: 'RING_INVALID\n' })
  t.end()
})
